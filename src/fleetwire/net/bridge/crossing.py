"""Crossing: one connection of a bridge, joined to its session here, packet by packet.

Packets go across with their packet identifiers; topics and properties change. What is lost with the
connection is only what can be done again: the session here and the one there remember the rest.
"""

import asyncio
from collections import deque

import structlog

from fleetwire.net.bridge.local import LocalSession
from fleetwire.net.bridge.loops import Echoes, has_been_at, with_hop
from fleetwire.net.bridge.mapping import Mapping
from fleetwire.net.bridge.remote import Remote
from fleetwire.net.bridge.status import Counts
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_ack, encode_publish, encode_subscribe
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Packet,
    Properties,
    Publish,
    Suback,
    Subscription,
)

log = structlog.get_logger("fleetwire.bridge")

RECEIVE_MAXIMUM = 1024  # of what the other side sends and we have not acknowledged
# What a server below MQTT 5 takes unacknowledged it cannot say; mosquitto cuts the connection when
# it is more than 20.
OLD_RECEIVE_MAXIMUM = 20
FILTERS_AT_ONCE = 64  # in one SUBSCRIBE


class Crossing:
    """What happens over one connection.

    `server_id` and `remote_id` are the two sides in lists of hops; `subscribed` says that the other
    side's session, if it still has it, has our subscriptions. `granted` is done when it has them.
    """

    def __init__(
        self,
        name: str,
        remote: Remote,
        connack: Connack,
        local: LocalSession,
        mapping: Mapping,
        counts: Counts,
        server_id: str,
        remote_id: str,
        *,
        subscribed: bool,
        held: bool,
    ) -> None:
        said = connack.properties or {}
        self.remote = remote
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused: dict[str, str] = {}  # Topic Filters that it does not let us have, and why
        self._name = name
        self._session_present = connack.session_present
        self._local = local
        self._mapping = mapping
        self._counts = counts
        self._server_id = server_id
        self._remote_id = remote_id
        self._is_subscribed = subscribed and connack.session_present
        self._is_held = held
        most = c.LARGEST_RECEIVE_MAXIMUM if remote.version == c.V5 else OLD_RECEIVE_MAXIMUM
        self._receive_maximum = _number(said.get(c.RECEIVE_MAXIMUM), most)
        self._packet_size = _number(said.get(c.MAXIMUM_PACKET_SIZE), c.LARGEST_REMAINING_LENGTH)
        self._maximum_qos = _number(said.get(c.MAXIMUM_QOS), 2)
        self._retains = _number(said.get(c.RETAIN_AVAILABLE), 1) == 1
        self._unacknowledged: set[int] = set()  # sent, with QoS 1 or 2
        self._waiting: deque[tuple[int, bytes]] = deque()  # for room in its Receive Maximum
        self._passed_over: set[int] = set()  # of QoS 2 from there, until PUBREL
        self._asked: dict[int, list[str]] = {}  # SUBSCRIBE packets that are not answered
        self._echoes = Echoes()
        self._has_complained = False

    def begin(self) -> None:
        """Put the two ends together. Raises LocalSessionError."""
        if not self._session_present:
            # [MQTT-3.2.2-5] It knows nothing of what it sent us before.
            self._local.forget_received()
        self._local.attach(self._carry_out, self._receive_maximum)
        if self._is_subscribed or not self._mapping.remote_filters:
            self.granted.set_result(None)
        else:
            self._subscribe()
        self._local.resume(with_retained=not self._session_present)
        self.remote.begin(self._hear, self._turn)
        self._pace()

    def end(self) -> None:
        """The connection is over."""
        self.remote.end("the bridge begins anew")
        for packet_id in self._asked:
            self._local.session.packet_ids.release(packet_id)
        self._asked.clear()

    def hold(self, is_held: bool) -> None:
        """Stop, or begin again, to read."""
        self._is_held = is_held
        self._pace()

    def _subscribe(self) -> None:
        """Ask the other side for what is to come in; `granted` is done when all is answered."""
        asked = self._subscriptions()
        for first in range(0, len(asked), FILTERS_AT_ONCE):
            some = asked[first : first + FILTERS_AT_ONCE]
            packet_id = self._local.session.packet_ids.allocate()
            self._asked[packet_id] = [each.topic_filter for each in some]
            self.remote.write(encode_subscribe(packet_id, some, None, self.remote.version))

    def _subscriptions(self) -> list[Subscription]:
        # Retain Handling 1: what its session has had, it need not send again.
        return [
            Subscription(each, qos, True, True, 1)
            for each, qos in self._mapping.remote_filters.items()
        ]

    def _take_suback(self, suback: Suback) -> None:
        filters = self._asked.pop(suback.packet_id, None)
        if filters is None:
            return
        self._local.session.packet_ids.release(suback.packet_id)
        for topic_filter, code in zip(filters, suback.reason_codes, strict=False):
            if code >= c.UNSPECIFIED_ERROR:
                self.refused[topic_filter] = c.reason_name(code)
                log.warning(
                    "bridge subscription refused",
                    bridge=self._name,
                    topic_filter=topic_filter,
                    reason=c.reason_name(code),
                )
        if not self._asked and not self.granted.done():
            self._is_subscribed = True
            self.granted.set_result(None)

    # --- from here to there ---

    def _carry_out(self, packets: list[Packet]) -> None:
        """Pass on what the session here sends."""
        remote = self.remote
        for packet in packets:
            if isinstance(packet, Publish):
                self._send(packet)
            elif isinstance(packet, Ack):
                if packet.type == c.PUBREL and self._maximum_qos < 2:
                    # It went as QoS 1, or 0; the rest of the exchange is ours alone.
                    self._local.acknowledge([Ack(c.PUBCOMP, packet.packet_id)])
                    continue
                is_error = packet.reason_code >= c.UNSPECIFIED_ERROR
                if packet.type == c.PUBREC and is_error and remote.version != c.V5:
                    # An older server knows no error here, and goes on with PUBREL.
                    self._passed_over.add(packet.packet_id)
                if packet.type == c.PUBREL:
                    # Of an exchange that began over another connection it counts here, too.
                    self._unacknowledged.add(packet.packet_id)
                packet.properties = None
                remote.write(encode_ack(packet, remote.version))
        self._pace()

    def _send(self, publish: Publish) -> None:
        remote = self.remote
        topic_name = self._mapping.to_remote(publish.topic_name)
        properties = publish.properties
        if topic_name is None:
            self._local.give_up(publish)
            return
        if has_been_at(properties, self._server_id, self._remote_id):
            self._counts.drop("loop")
            self._local.give_up(publish)
            return
        qos = min(publish.qos, self._maximum_qos)
        try:
            data = encode_publish(
                topic_name,
                publish.payload,
                qos,
                publish.retain and self._retains,
                publish.dup and qos > 0,
                publish.packet_id,
                self._leaving(topic_name, properties) if remote.version == c.V5 else None,
                remote.version,
            )
        except ProtocolError as error:
            self._complain("a message cannot be sent", str(error))
            self._counts.drop("cannot be sent")
            self._local.give_up(publish)
            return
        if len(data) > self._packet_size:
            # [MQTT-3.2.2-15]
            self._complain("a message is too large", f"the other side takes {self._packet_size}")
            self._counts.drop("too large")
            self._local.give_up(publish)
            return
        if remote.version != c.V5 and self._is_subscribed and self._mapping.to_local(topic_name):
            self._echoes.expect(topic_name, publish.payload, asyncio.get_running_loop().time())
        if qos == 0:
            remote.write(data)
            self._counts.messages_out += 1
            if publish.qos:
                kind = c.PUBACK if publish.qos == 1 else c.PUBREC
                self._local.acknowledge([Ack(kind, publish.packet_id)])
        elif len(self._unacknowledged) < self._receive_maximum and not self._waiting:
            self._unacknowledged.add(publish.packet_id)
            remote.write(data)
        else:
            self._waiting.append((publish.packet_id, data))

    def _leaving(self, topic_name: str, properties: Properties | None) -> Properties | None:
        """Return the properties with which a message leaves us."""
        return with_hop(properties, self._server_id)

    def _take_ack(self, ack: Ack) -> Ack | None:
        """Note what an acknowledgement of the other side ends; return what the session is told."""
        packet_id = ack.packet_id
        if ack.type == c.PUBREL:
            if packet_id not in self._passed_over:
                return ack
            self._passed_over.discard(packet_id)
            self.remote.write(encode_ack(Ack(c.PUBCOMP, packet_id), self.remote.version))
            return None
        is_error = ack.reason_code >= c.UNSPECIFIED_ERROR
        if is_error and ack.type != c.PUBCOMP:
            self._counts.drop("refused by the other side")
            self._complain("the other side refuses messages", c.reason_name(ack.reason_code))
        if ack.type != c.PUBREC or is_error:
            self._done(packet_id, is_success=not is_error)
        if ack.type == c.PUBACK:
            outgoing = self._local.session.inflight.get(packet_id)
            if outgoing is not None and outgoing.qos == 2:
                return Ack(c.PUBREC, packet_id, ack.reason_code)  # it went as QoS 1
        return ack

    def _done(self, packet_id: int, *, is_success: bool) -> None:
        if packet_id in self._unacknowledged:
            self._unacknowledged.discard(packet_id)
            if is_success:
                self._counts.messages_out += 1
        while self._waiting and len(self._unacknowledged) < self._receive_maximum:
            waiting_id, data = self._waiting.popleft()
            self._unacknowledged.add(waiting_id)
            self.remote.write(data)

    # --- from there to here ---

    def _hear(self, packets: list[Packet]) -> None:
        """Hand what the other side sent to the session, in order and in runs."""
        publishes: list[Publish] = []
        acks: list[Ack] = []
        for packet in packets:
            if isinstance(packet, Publish):
                if acks:
                    self._local.acknowledge(acks)
                    acks = []
                mapped = self._mapped(packet)
                if mapped is not None:
                    publishes.append(mapped)
                    continue
                self._publish(publishes)
                publishes = []
                self._pass_over(packet)
            elif isinstance(packet, Ack):
                self._publish(publishes)
                publishes = []
                ack = self._take_ack(packet)
                if ack is not None:
                    acks.append(ack)
            elif isinstance(packet, Suback):
                self._take_suback(packet)
        self._publish(publishes)
        if acks:
            self._local.acknowledge(acks)
        self._pace()

    def _publish(self, publishes: list[Publish]) -> None:
        if publishes:
            self._counts.messages_in += len(publishes)
            self._local.publish(publishes)

    def _mapped(self, publish: Publish) -> Publish | None:
        """Return the message as it is here, None if it is not to come in."""
        topic_name = self._mapping.to_local(publish.topic_name)
        if topic_name is None:
            self._counts.drop("no rule")
            return None
        properties = publish.properties
        if self.remote.version != c.V5:
            now = asyncio.get_running_loop().time()
            if self._echoes.is_echo(publish.topic_name, publish.payload, now):
                self._counts.drop("echo")
                return None
        elif has_been_at(properties, self._server_id, self._remote_id):
            self._counts.drop("loop")
            return None
        return Publish(
            topic_name,
            publish.payload,
            publish.qos,
            publish.retain,
            publish.dup,
            publish.packet_id,
            with_hop(properties, self._remote_id),
        )

    def _pass_over(self, publish: Publish) -> None:
        if publish.qos == 0:
            return
        if publish.qos == 2:
            self._passed_over.add(publish.packet_id)
        self._local.pass_over(publish)

    # --- flow ---

    def _turn(self, congested: bool) -> None:
        self._local.turn(congested)
        self._pace()

    def _pace(self) -> None:
        """Read from the other side while we can take, and answer, what it sends."""
        remote = self.remote
        bound = RECEIVE_MAXIMUM if remote.is_reading else RECEIVE_MAXIMUM // 2
        waits = len(self._local.link.acks) >= bound
        remote.read(not (self._is_held or remote.is_congested or waits))

    def _complain(self, what: str, reason: str) -> None:
        """Log once for each connection; the rest is counted."""
        if not self._has_complained:
            self._has_complained = True
            log.warning(f"bridge: {what}", bridge=self._name, reason=reason)


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) else default
