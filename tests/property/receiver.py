"""Receiver: subscribes, acknowledges when it likes, and judges everything that comes."""

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish, Suback, Subscribe, Subscription, Unsubscribe
from fleetwire.protocol.topics import matches
from tests.property.client import Client
from tests.property.messages import Book, Message, demand


class Receiver(Client):
    """A client that subscribes. `confirmed`: the QoS of each Topic Filter whose SUBACK it has."""

    def __init__(self, client_id: str, version: int, book: Book, window: int) -> None:
        super().__init__(client_id, version, book)
        self.confirmed: dict[str, int] = {}
        self.replies: list[tuple[int, int]] = []  # (type, packet id) it owes the server
        self._largest_window = window
        self._window = window
        self._asked: dict[int, tuple[str, int]] = {}  # by packet id, on this connection
        self._last_asked = 0
        self._in_flight: set[int] = set()  # came by this connection, and are not finished
        self._unfinished: dict[int, Message] = {}  # of the session: QoS 1 until our PUBACK
        self._held: dict[int, Message] = {}  # QoS 2, between PUBLISH and PUBREL
        self._fresh: dict[Message, int] = {}  # came with DUP 0, so often
        self._latest: dict[tuple[str, str, int], Message] = {}
        self._seen: set[tuple[Message, int]] = set()

    def wants(self, topic: str) -> bool:
        """Whether it has the server's word that messages with QoS 1 or 2 reach it."""
        return any(qos and matches(name, topic) for name, qos in self.confirmed.items())

    def has(self, message: Message) -> bool:
        """Whether this session has got the message."""
        return any((message, qos) in self._seen for qos in (0, 1, 2))

    def subscribe(self, topic_filter: str, qos: int, now: int) -> None:
        """Ask for a subscription; it counts when its SUBACK is read."""
        if qos == 0:
            self._give_up(topic_filter)
        self._forget(topic_filter)
        self._last_asked += 1
        self._asked[self._last_asked] = (topic_filter, qos)
        packet = Subscribe(self._last_asked, [Subscription(topic_filter, qos)])
        self.broker.subscribe(self.session, packet, now)

    def unsubscribe(self, topic_filter: str) -> None:
        """End a subscription; what is under way may come or not."""
        self._give_up(topic_filter)
        self._forget(topic_filter)
        self._last_asked += 1
        self.broker.unsubscribe(self.session, Unsubscribe(self._last_asked, [topic_filter]))

    def read(self) -> None:
        """Take and judge what the server has written."""
        for packet in self.link.read():
            if isinstance(packet, Publish):
                self._take(packet)
            elif isinstance(packet, Ack):
                assert packet.type == c.PUBREL
                self._held.pop(packet.packet_id, None)
                self._owe(c.PUBCOMP, packet.packet_id)
            elif isinstance(packet, Suback):
                asked = self._asked.pop(packet.packet_id, None)
                if asked is not None:
                    self.confirmed[asked[0]] = asked[1]
                    self.survives = self.is_persistent  # it was stored with the subscription

    def reply(self, index: int, times: int, now: int) -> None:
        """Send one of the acknowledgements that are due, perhaps more than once."""
        kind, packet_id = self.replies.pop(index)
        if kind != c.PUBREC:
            self._in_flight.discard(packet_id)
        if kind == c.PUBACK:
            self._unfinished.pop(packet_id, None)
        for _ in range(times):
            self.answer(kind, packet_id, now)

    def session_lost(self) -> None:
        self._give_up("#")
        self.confirmed.clear()
        self._unfinished.clear()
        self._held.clear()
        self._fresh.clear()
        self._latest.clear()
        self._seen.clear()

    def connected(self, session_present: bool, receive_maximum: int) -> None:
        self._window = min(receive_maximum or self._largest_window, self._largest_window)
        self._asked.clear()
        self._in_flight.clear()
        self.replies.clear()  # what is not finished comes again

    def power_failed(self) -> None:
        super().power_failed()
        self._unfinished.clear()  # a QoS 1 message may come again under another packet id

    def _forget(self, topic_filter: str) -> None:
        self.confirmed.pop(topic_filter, None)
        self._asked = {n: asked for n, asked in self._asked.items() if asked[0] != topic_filter}

    def _give_up(self, topic_filter: str) -> None:
        for message in self._book.messages:
            if matches(topic_filter, message.topic):
                message.promised_to.discard(self.client_id)

    def _owe(self, kind: int, packet_id: int) -> None:
        if (kind, packet_id) not in self.replies:
            self.replies.append((kind, packet_id))

    def _take(self, publish: Publish) -> None:
        message = self._book.find(publish.payload)
        what = f"{self.client_id}: {message!r} as packet {publish.packet_id}"
        is_new = True
        if publish.qos:
            is_new = self._take_id(publish, message, what)
        if is_new:
            self._judge(publish, message, what)

    def _take_id(self, publish: Publish, message: Message, what: str) -> bool:
        """Judge a packet id; return False for a QoS 2 message that is known by it."""
        packet_id = publish.packet_id
        self._in_flight.add(packet_id)
        demand(len(self._in_flight) <= self._window, f"{what}: over its Receive Maximum")
        if publish.qos == 1:
            earlier = self._unfinished.get(packet_id, message)
            demand(earlier is message, f"{what}: this id is in flight for {earlier!r}")
            demand(packet_id not in self._held, f"{what}: this id is in flight with QoS 2")
            self._unfinished[packet_id] = message
            self._owe(c.PUBACK, packet_id)
            return True
        held = self._held.get(packet_id)
        demand(held is None or held is message, f"{what}: this id is in flight for {held!r}")
        demand(packet_id not in self._unfinished, f"{what}: this id is in flight with QoS 1")
        self._owe(c.PUBREC, packet_id)
        if held is not None:
            demand(publish.dup, f"{what}: sent again without DUP")
            return False
        self._held[packet_id] = message
        return True

    def _judge(self, publish: Publish, message: Message, what: str) -> None:
        lane = (message.sender, message.topic, publish.qos)
        is_first = (message, publish.qos) not in self._seen
        if publish.qos == 2:
            demand(is_first, f"{what}: QoS 2, and it comes twice")
        if not publish.dup:
            self._fresh[message] = self._fresh.get(message, 0) + 1
            demand(
                self._fresh[message] <= message.times_sent or self._book.power_cuts > 0,
                f"{what}: comes more often than it was sent",
            )
        if is_first:
            # Sent again it may be new to this receiver, who has subscribed since it was sent first.
            latest = self._latest.get(lane, message)
            demand(
                message.last_sent >= latest.first_sent,
                f"{what}: comes after {latest!r}, which was sent later",
            )
            self._latest[lane] = max(latest, message, key=_first_sent)
            self._seen.add((message, publish.qos))


def _first_sent(message: Message) -> int:
    return message.first_sent
