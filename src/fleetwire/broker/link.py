"""Link: what the broker needs of one Network Connection."""

from abc import ABC, abstractmethod
from collections import deque

from fleetwire.broker.delivery import Ticket
from fleetwire.protocol.constants import UNSPECIFIED_ERROR, V5
from fleetwire.protocol.encoder import encode_puback, encode_pubacks, encode_pubrec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.broker.session import Session


class Link(ABC):
    """One live connection, as the broker sees it: bytes to write, and acknowledgements still due.

    `output` is what the edge writes at the end of the loop turn, in one write. `congested` is set
    by the edge while the far side does not read; `version` is the protocol version of its CONNECT.
    """

    __slots__ = ("acknowledged", "acks", "closed", "congested", "output", "version")

    def __init__(self) -> None:
        self.version = 0
        self.output: list[bytes] = []
        self.acks: deque[InboundTicket | RunTicket] = deque()
        self.congested = False
        self.closed = False
        self.acknowledged = 0  # sent since the edge last told the protocol (Receive Maximum)

    def write(self, data: bytes) -> None:
        """Queue bytes for the one write of this loop turn."""
        if self.closed:
            return
        if not self.output:
            self.wake()
        self.output.append(data)

    def write_all(self, packets: list[bytes]) -> None:
        """Queue several packets for the one write of this loop turn."""
        if self.closed:
            return
        if not self.output:
            self.wake()
        self.output += packets

    @abstractmethod
    def wake(self) -> None:
        """There is output; write it at the end of this loop turn."""

    @abstractmethod
    def close(self, reason_code: int, reason: str) -> None:
        """Write what is queued, tell an MQTT 5 client the reason code, and close."""


class InboundTicket(Ticket):
    """The acknowledgement of one received PUBLISH with QoS 1 or 2.

    Tickets leave in the order in which their PUBLISH packets came [MQTT-4.6.0-2] [MQTT-4.6.0-3]:
    one that is released early waits for those before it. A ticket belongs to the connection its
    packet came by (`link` None = one of before a restart). When that is gone a QoS 1 message is
    simply sent again; a QoS 2 message sent again finds its ticket in the session's `received` and
    moves it to the new connection.
    """

    __slots__ = ("link", "outstanding", "packet_id", "qos", "reason_code", "session")

    def __init__(self, link: Link | None, packet_id: int, qos: int, session: "Session") -> None:
        self.link = link
        self.packet_id = packet_id
        self.qos = qos
        self.outstanding = 0  # those who hold it and have not released it yet
        self.reason_code = 0
        self.session = session

    def release(self, reason_code: int) -> None:
        if self.outstanding <= 0:
            return
        if reason_code > self.reason_code:
            self.reason_code = reason_code
        self.outstanding -= 1
        if self.outstanding == 0:
            self.settle()

    def fail(self) -> None:
        # Below MQTT 5 an acknowledgement has no place for an error: only silence says no.
        if self.link is not None:
            self.link.close(UNSPECIFIED_ERROR, "a message could not be stored")

    def settle(self) -> None:
        """Nobody holds the ticket: answer it, and those behind it that waited for it."""
        link = self.link
        if link is None:
            return
        acks = link.acks
        if acks and acks[0] is self:
            _answer_settled(link)

    def answer(self, link: Link) -> None:
        """Write the PUBACK or PUBREC to this link."""
        code = self.reason_code
        if self.qos == 1:
            link.write(encode_puback(self.packet_id, code, link.version))
            link.acknowledged += 1
            return
        if code >= 0x80 and link.version == V5:
            # An error in PUBREC ends the exchange; the packet id is free again (§4.3.3).
            self.session.forget_received(self.packet_id)
            link.acknowledged += 1
        link.write(encode_pubrec(self.packet_id, code, link.version))


class RunTicket(Ticket):
    """The acknowledgements of QoS 1 messages that came in one read, for one taker of runs.

    They leave together, once all of them are settled, in their turn among the InboundTickets of the
    connection.
    """

    __slots__ = ("codes", "link", "outstanding", "packet_ids")

    def __init__(self, link: Link, packet_ids: list[int]) -> None:
        self.link = link
        self.packet_ids = packet_ids
        self.outstanding = len(packet_ids)
        self.codes: dict[int, int] = {}  # by packet id; who is not here gets 0

    def release(self, reason_code: int) -> None:
        if reason_code:
            for packet_id in self.packet_ids:
                self.codes.setdefault(packet_id, reason_code)
        self.release_stored(self.outstanding)

    def release_one(self, packet_id: int, reason_code: int) -> None:
        if reason_code:
            self.codes[packet_id] = reason_code
        self.release_stored(1)

    def release_stored(self, count: int) -> None:
        if self.outstanding <= 0:
            return
        self.outstanding -= count
        acks = self.link.acks
        if self.outstanding <= 0 and acks and acks[0] is self:
            _answer_settled(self.link)

    def fail(self) -> None:
        self.link.close(UNSPECIFIED_ERROR, "a message could not be stored")

    def answer(self, link: Link) -> None:
        """Write the PUBACKs to this link."""
        if not self.codes:
            link.write_all(encode_pubacks(self.packet_ids))
        else:
            for packet_id in self.packet_ids:
                link.write(encode_puback(packet_id, self.codes.get(packet_id, 0), link.version))
        link.acknowledged += len(self.packet_ids)


def _answer_settled(link: Link) -> None:
    """Answer the tickets at the head that nobody holds any more."""
    acks = link.acks
    while acks and acks[0].outstanding <= 0:
        acks.popleft().answer(link)
