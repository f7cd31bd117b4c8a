"""Logbook: runs that did nothing, kept few, and old runs, forgotten.

Most runs end at their first filter. Of those a chain stores one each second, which says how many
more there were like it; runs that did something are all stored.
"""

from collections.abc import Callable
from typing import Final

from fleetwire.features.rules import repository
from fleetwire.features.rules.doings import Doings, Run
from fleetwire.features.rules.program import Finding, Program
from fleetwire.features.rules.run import Trigger
from fleetwire.kit.transaction import Transaction
from fleetwire.store.database import Database

EVERY_US: Final = 1_000_000
MOVED_EVERY_US: Final = 10_000_000  # where nothing but the position is to be stored
PRUNE_EVERY_US: Final = 60_000_000
PRUNE_ROWS: Final = 20_000  # or when so many runs have been stored
KEPT_RUNS: Final = 500  # of a chain, that did something
KEPT_STOPPED: Final = 50  # of a chain, that did nothing
KEPT_US: Final = 30 * 86_400 * 1_000_000


class Logbook:
    """Gathers what can wait for a moment before it is stored."""

    def __init__(self, db: Database, doings: Doings, clock: Callable[[], int]) -> None:
        self._db = db
        self._doings = doings
        self._clock = clock
        self._stopped: dict[int, Run] = {}  # by chain
        self._stored: set[int] = set()  # chains with new rows since the last pruning
        self._rows = 0
        self._flushed_at = self._pruned_at = clock()
        self._cursor = 0  # as stored

    def stopped(
        self, program: Program, trigger: Trigger, look: Callable[[Program, Trigger], Finding]
    ) -> None:
        """Note a run that did nothing; `look` says what its nodes saw, if it is to be stored."""
        run = self._stopped.get(program.key)
        if run is None:
            self._stopped[program.key] = Run(program, trigger, look(program, trigger))
        else:
            run.repeats += 1

    def acted(self, chain: int, cursor: int) -> None:
        """Note that a run was stored, and with it how far readings have been dealt with."""
        self._stored.add(chain)
        self._rows += 1
        self._cursor = max(self._cursor, cursor)

    def is_due(self, cursor: int) -> bool:
        """Say whether something should be stored now."""
        waited_us = self._clock() - self._flushed_at
        if self._stopped:
            return waited_us >= EVERY_US
        return cursor != self._cursor and waited_us >= MOVED_EVERY_US

    async def flush(self, cursor: int) -> None:
        """Store what was gathered and how far readings are dealt with.

        Raises StoreUnavailableError; what was gathered is kept then.
        """
        self._flushed_at = self._clock()
        runs = list(self._stopped.values())
        if not runs and cursor == self._cursor:
            return

        def work(tx: Transaction) -> None:
            self._doings.write(tx, runs)
            repository.move(tx, cursor)

        await self._db.write(work)
        for run in runs:
            del self._stopped[run.program.key]
            self.acted(run.program.key, cursor)
        self._cursor = cursor

    async def prune(self) -> None:
        """Forget old runs, now and then. Raises StoreUnavailableError."""
        now = self._clock()
        if not self._stored or (now - self._pruned_at < PRUNE_EVERY_US and self._rows < PRUNE_ROWS):
            return
        chains, self._stored = self._stored, set()
        self._pruned_at, self._rows = now, 0
        before_at = now - KEPT_US
        for chain in chains:  # each for itself: messages need not wait for all of them
            await self._db.write(
                lambda tx, chain=chain: repository.prune(  # type: ignore[misc]  # mypy cannot infer a lambda's default
                    tx, chain, KEPT_RUNS, KEPT_STOPPED, before_at
                )
            )
