"""Sender: publishes, sends again what was not acknowledged, checks the order of what comes back."""

from collections import deque

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish
from tests.property.client import Client
from tests.property.messages import Book, Message, demand

PACKET_IDS = 6  # few, so that they are soon used again


class Sender(Client):
    """A client that publishes. `outbox`: by packet id, what is not finished; None after PUBREC."""

    def __init__(self, client_id: str, version: int, book: Book) -> None:
        super().__init__(client_id, version, book)
        self.outbox: dict[int, Message | None] = {}
        self._last_id = 0
        # The acknowledgements that are due, in their order, for either QoS [MQTT-4.6.0-2].
        self._due: dict[int, deque[int]] = {c.PUBACK: deque(), c.PUBREC: deque()}

    def publish(self, messages: list[Message], now: int) -> list[Message]:
        """Send new messages in one run; return those for which there was a packet id."""
        run: list[Publish] = []
        sent = []
        for message in messages:
            packet_id = 0
            if message.qos:
                packet_id = self._free_id()
                if not packet_id:
                    continue
                self._expect(message, packet_id)
            run.append(self._book.send(message, packet_id))
            sent.append(message)
        if run:
            self.broker.publish(self.session, run, now)
        return sent

    def read(self, now: int) -> None:
        """Take what the server has written."""
        for packet in self.link.read():
            assert isinstance(packet, Ack)
            self._take(packet, now)

    def session_lost(self) -> None:
        self.outbox.clear()

    def connected(self, session_present: bool, receive_maximum: int) -> None:
        for due in self._due.values():
            due.clear()

    def send_again(self, now: int) -> list[Message]:
        """Repeat what is not acknowledged, in its order; return the messages among it."""
        again = []
        for packet_id, message in list(self.outbox.items()):
            if message is None:
                self.answer(c.PUBREL, packet_id, now)
                continue
            self._expect(message, packet_id)
            self.broker.publish(self.session, [self._book.send(message, packet_id)], now)
            again.append(message)
        return again

    def _free_id(self) -> int:
        for _ in range(PACKET_IDS):
            self._last_id = self._last_id % PACKET_IDS + 1
            if self._last_id not in self.outbox:
                return self._last_id
        return 0

    def _expect(self, message: Message, packet_id: int) -> None:
        self.outbox[packet_id] = message
        self._due[c.PUBACK if message.qos == 1 else c.PUBREC].append(packet_id)

    def _take(self, ack: Ack, now: int) -> None:
        who = f"{self.client_id}, packet id {ack.packet_id}"
        demand(ack.packet_id in self.outbox, f"{who}: acknowledged, but not under way")
        message = self.outbox[ack.packet_id]
        if ack.type == c.PUBCOMP:
            demand(message is None, f"{who}: PUBCOMP without PUBREL")
            del self.outbox[ack.packet_id]
            return
        assert message is not None
        due = self._due[ack.type]
        demand(
            bool(due) and due.popleft() == ack.packet_id, f"{who}: acknowledged out of its order"
        )
        message.is_acknowledged = True
        if message.qos == 1:
            del self.outbox[ack.packet_id]
        else:
            self.outbox[ack.packet_id] = None
            self.answer(c.PUBREL, ack.packet_id, now)
