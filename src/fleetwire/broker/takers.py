"""Taker: somebody within the house who takes messages."""

from abc import ABC, abstractmethod

from fleetwire.broker.delivery import Delivery, Ticket
from fleetwire.protocol.packets import Publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.broker.session import Session


class Taker(ABC):
    """Takes messages as they come.

    With `holds_tickets` the sender's acknowledgement waits until the taker has released the
    delivery's ticket; without, the taker only looks on. One that `takes_runs` settles messages
    that came together at about the same time: it is given them at once, with one ticket for all.
    """

    holds_tickets: bool = False
    takes_runs: bool = False

    @abstractmethod
    def take(self, delivery: Delivery) -> None:
        """Accept one delivery; must return at once, and release its ticket later, not in here."""

    def take_run(self, run: list[Publish], sender: "Session", now: int, ticket: Ticket) -> None:
        """Accept QoS 1 messages of one topic, in order; a ticket for all of them."""
        for publish in run:
            self.take(Delivery(publish, sender, now, ticket))
