"""RoadObserver: who wants to know how long each stage of a batch took."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fleetwire.broker.delivery import Delivery

if TYPE_CHECKING:
    from fleetwire.ingest.preparation import Batch


class RoadObserver(ABC):
    """Told once for each batch how far it is, and of one batch at a time. Must not raise.

    A batch that fails is prepared again, as a whole or in halves; each half is released for itself.
    """

    @abstractmethod
    def gathered(self, deliveries: Sequence[Delivery]) -> None:
        """Take note that these were taken from the source."""

    @abstractmethod
    def prepared(self) -> None:
        """Take note that their handlers have said what should become true."""

    @abstractmethod
    def stored(self) -> None:
        """Take note that all of it was written, on the writer's thread, before the commit."""

    @abstractmethod
    def committed(self) -> None:
        """Take note that it is on the disk."""

    @abstractmethod
    def released(self, deliveries: Sequence[Delivery], batch: "Batch") -> None:
        """Take note that the senders of these have their acknowledgements: they are over."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """Take note that it was rolled back."""
