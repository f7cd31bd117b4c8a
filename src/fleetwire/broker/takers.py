"""Taker: somebody within the house who takes messages."""

from abc import ABC, abstractmethod

from fleetwire.broker.delivery import Delivery


class Taker(ABC):
    """Takes messages as they come.

    With `holds_tickets` the sender's acknowledgement waits until the taker has released the
    delivery's ticket; without, the taker only looks on.
    """

    holds_tickets: bool = False

    @abstractmethod
    def take(self, delivery: Delivery) -> None:
        """Accept one delivery; must return at once, and release its ticket later, not in here."""
