"""RuleTap: tells the engine that readings were stored which somebody waits for.

It stands before the sink that stores them, and asks of each no more than whether its device is one
that a chain names. What they say the engine reads from the store, once it is committed: so nothing
is run for what was not stored, and ingest waits for no chain.
"""

from collections.abc import Callable, Sequence as SequenceOf

from fleetwire.features.rules.variables import Variables
from fleetwire.ingest.batch import Accepted, Sink
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Effect, Event
from fleetwire.store.database import Transaction


class RuleTap(Sink):
    """`stored` is called after a commit: is what it brought waited for, and its last cursor."""

    def __init__(
        self, readings: Sink, variables: Variables, stored: Callable[[bool, int], None]
    ) -> None:
        self._readings = readings
        self._variables = variables
        self._stored = stored
        self._is_wanted = False
        self._cursor = 0

    def write(
        self, tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], sequence: Sequence
    ) -> list[tuple[Event, Accepted]]:
        events = self._readings.write(tx, items, sequence)
        watched = self._variables.watched
        if watched:
            self._cursor = sequence.last
            self._is_wanted = any(
                effect.device.id in watched  # type: ignore[attr-defined]  # every effect has one
                for effect, _ in items
            )
        return events

    def committed(self) -> None:
        self._readings.committed()
        if self._cursor:
            self._stored(self._is_wanted, self._cursor)
            self._forget()

    def rolled_back(self) -> None:
        self._readings.rolled_back()
        self._forget()

    def _forget(self) -> None:
        self._is_wanted = False
        self._cursor = 0
