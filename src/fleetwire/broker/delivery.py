"""Delivery and Ticket: a message handed to a taker, and the only way back to its sender."""

from abc import ABC, abstractmethod

from fleetwire.protocol.packets import Publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.broker.session import Session


class Ticket(ABC):
    """The sender's acknowledgement, still to come. It goes once."""

    __slots__ = ()

    @abstractmethod
    def release(self, reason_code: int) -> None:
        """Let the PUBACK or PUBREC leave. A second release does nothing."""

    def release_stored(self, count: int) -> None:
        """So many of its messages are stored; a ticket is for one unless it says otherwise."""
        self.release(0)

    def release_one(self, packet_id: int, reason_code: int) -> None:
        """One of its messages is settled, with this reason code."""
        self.release(reason_code)

    def refuse(self, packet_id: int, reason_code: int, reason: str, field: str | None) -> None:
        """One of its messages was refused; a sender that can be told why is told the code alone."""
        self.release_one(packet_id, reason_code)

    @abstractmethod
    def fail(self) -> None:
        """What it stands for cannot be stored: it must not leave, in any protocol version."""


class Delivery:
    """One application message in a taker's queue.

    `received_at` is in microseconds UTC. `refused` is "" or why the broker did not let the message
    pass: such a message goes to quarantine and nowhere else.
    """

    __slots__ = ("publish", "received_at", "refused", "sender", "ticket")

    def __init__(
        self,
        publish: Publish,
        sender: "Session",
        received_at: int,
        ticket: Ticket | None,
        refused: str = "",
    ) -> None:
        self.publish = publish
        self.sender = sender
        self.received_at = received_at
        self.ticket = ticket
        self.refused = refused

    @property
    def client_id(self) -> str:
        """The sender's Client Identifier; "" is the house itself."""
        return self.sender.client_id

    @property
    def identity(self) -> str:
        """Who sent it, in words for logs, audit and quarantine."""
        return self.sender.grant.identity

    @property
    def device(self) -> int:
        """Our integer key of the sender's device, 0 = it is none."""
        return self.sender.grant.device

    @property
    def organization_id(self) -> int:
        """The sender's organisation, 0 = none."""
        return self.sender.grant.organization_id
