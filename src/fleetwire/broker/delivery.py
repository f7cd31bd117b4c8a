"""Delivery and Ticket: a message handed to a taker, and the only way back to its sender."""

from abc import ABC, abstractmethod

from fleetwire.protocol.packets import Publish


class Ticket(ABC):
    """The sender's acknowledgement, still to come. It goes once."""

    __slots__ = ()

    @abstractmethod
    def release(self, reason_code: int) -> None:
        """Let the PUBACK or PUBREC leave. A second release does nothing."""


class Delivery:
    """One application message in a taker's queue.

    `received_at` is in microseconds UTC. `device` is the sender's device by its grant (our integer
    key, 0 = none); `identity` says who sent it in words for logs, audit and quarantine.
    `refused` is "" or why the broker did not let the message pass: such a message goes to
    quarantine and nowhere else, as one of `organization_id`, the sender's (0 = nobody's).
    """

    __slots__ = (
        "client_id",
        "device",
        "identity",
        "organization_id",
        "publish",
        "received_at",
        "refused",
        "ticket",
    )

    def __init__(
        self,
        publish: Publish,
        client_id: str,
        identity: str,
        device: int,
        received_at: int,
        ticket: Ticket | None,
        refused: str = "",
        organization_id: int = 0,
    ) -> None:
        self.publish = publish
        self.client_id = client_id
        self.identity = identity
        self.device = device
        self.received_at = received_at
        self.ticket = ticket
        self.refused = refused
        self.organization_id = organization_id
