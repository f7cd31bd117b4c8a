"""What one transaction of the road carries, and who turns it into rows."""

from abc import ABC, abstractmethod
from collections.abc import Sequence as SequenceOf

import msgspec

from fleetwire.broker.delivery import Delivery
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Effect, Event
from fleetwire.store.database import Transaction


class Accepted(msgspec.Struct, gc=False):
    """A message that a handler accepted, with its effects. `cursor` is set by the sinks."""

    app: str
    delivery: Delivery
    effects: list[Effect]
    cursor: int = 0  # id of its last row; 0 = it stored nothing new


class Refused:
    """A message that nobody accepted: a quarantine row, and a reason code for its sender."""

    __slots__ = ("app", "delivery", "field", "organization_id", "reason", "reason_code")

    def __init__(
        self,
        app: str | None,
        delivery: Delivery,
        reason: str,
        reason_code: int,
        organization_id: int | None = None,
        field: str | None = None,
    ) -> None:
        self.field = field  # of the payload, where one is at fault
        self.app = app
        self.delivery = delivery
        self.reason = reason
        self.reason_code = reason_code
        self.organization_id = organization_id


class Sink(ABC):
    """Turns the effects of one type into rows, on the writer's thread, in the batch's transaction.

    What it remembers of the database (ids it inserted) counts only from `committed()` on.
    """

    @abstractmethod
    def write(
        self, tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], sequence: Sequence
    ) -> list[tuple[Event, Accepted]]:
        """Write the rows; return events that became true by them (a command that was closed)."""

    def committed(self) -> None:
        """The transaction of the last write was committed."""

    def rolled_back(self) -> None:
        """The transaction of the last write was rolled back."""


class QuarantineSink(ABC):
    """Turns refused messages into quarantine rows."""

    @abstractmethod
    def write(self, tx: Transaction, refused: SequenceOf[Refused]) -> None: ...


class Ledger(ABC):
    """Where messages wait that were refused once and are carried again."""

    @abstractmethod
    def claim(self, tx: Transaction, deliveries: SequenceOf[Delivery]) -> None:
        """Make sure that all of them still wait. Raises ConflictError: then nothing is carried."""

    @abstractmethod
    def settle(
        self, tx: Transaction, accepted: SequenceOf[Accepted], refused: SequenceOf[Refused]
    ) -> None:
        """Take out what was accepted, and note why the others were not."""
