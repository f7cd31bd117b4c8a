"""Engine: reads what was committed, in the order of commits, and runs the chains that it wakes.

    readings (stored) -> Feed -> Trigger -> Variables -> Program -> one transaction: log, effects,
                                                                    parcels, and how far it has read

Theory of operation. The engine stands beside the road, not in it. It knows by a cursor how far it
has read, and reads on when RuleTap tells it that something was stored which a chain names; readings
that nobody names it does not read at all. Runs that do something are stored with their effects and
the new cursor in one transaction. So after a kill it goes on behind the last of them: what was
committed gets its runs, and no run is done twice. Runs that did nothing are gathered for a second.

When messages come faster than chains can be run, ingest goes first: while messages wait, the engine
pauses after each page for twice as long as that has taken, so that it has a third of the time at
most. It falls behind then, and catches up from the store.

One run is under way at a time, also of those that people ask for.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from fleetwire.errors import DomainError, InvalidValueError, StoreUnavailableError, TooManyError
from fleetwire.features.devices.registry import Registry
from fleetwire.features.rules import repository
from fleetwire.features.rules.doings import Doings, Run, refuse
from fleetwire.features.rules.lineage import MOST, Lineage
from fleetwire.features.rules.logbook import Logbook
from fleetwire.features.rules.program import ABORTED, FAILED, STOPPED, Finding, Program
from fleetwire.features.rules.repository import StoredChain
from fleetwire.features.rules.run import Trigger, View
from fleetwire.features.rules.schedule import Schedule
from fleetwire.features.rules.triggers import triggers, whole
from fleetwire.features.rules.values import load_values
from fleetwire.features.rules.variables import Variables
from fleetwire.features.telemetry.feed import FedReading, Feed
from fleetwire.kit.store import Result, Store
from fleetwire.kit.transaction import Transaction
from fleetwire.store.database import Database

log = structlog.get_logger("fleetwire.rules")

PAGE: Final = 1000  # readings at once
RUNS: Final = 100  # of one transaction
SLICE_S: Final = 0.005  # of work, until others get their turn
PAUSE: Final = 2.0  # for each second of work, while messages wait
LONGEST_PAUSE_S: Final = 0.5
LOOK_S: Final = 1.0  # at the clock
ASKED_MOST: Final = 1000
SAME_LOG_S: Final = 60.0
FAULT: Final = "it failed within the server, which has logged why"


class Engine:
    """All chains that are enabled."""

    def __init__(
        self,
        db: Database,
        registry: Registry,
        doings: Doings,
        lineage: Lineage,
        clock: Callable[[], int],
    ) -> None:
        self.variables = Variables(registry.find)
        self.cursor = 0  # up to here readings have woken what they wake
        self.runs = 0  # since the start, those that did nothing included
        self._db = db
        self._store: Store | None = None
        self._registry = registry
        self._doings = doings
        self._lineage = lineage
        self._clock = clock
        self._is_busy: Callable[[], bool] = bool
        self._feed = Feed()
        self._logbook = Logbook(db, doings, clock)
        self._schedule = Schedule()
        self._programs: dict[int, Program] = {}
        self._asked: deque[tuple[StoredChain, Trigger, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._told_loop_at = 0.0
        self._last = 0  # cursor that the tap has told of
        self._has_new_variables = False
        self._is_settling = False
        registry.watchers.append(self._device_changed)

    def join(self, store: Store, is_busy: Callable[[], bool]) -> None:
        """Be given where runs are stored, and who says whether messages wait to be stored."""
        self._store = store
        self._is_busy = is_busy

    @property
    def feed(self) -> Feed:
        """Where readings come from."""
        return self._feed

    @property
    def behind(self) -> int:
        """By how many places of the order of commits it is behind what the tap has told of."""
        return max(0, self._last - self.cursor) if self._programs else 0

    def __len__(self) -> int:
        return len(self._programs)

    # --- which chains ---

    async def load(self) -> None:
        """Take up what is stored, before anybody is served. Raises StoreUnavailableError."""
        self.cursor = await self._db.read(repository.position)
        for stored in await self._db.read(repository.all_chains):
            self.put(stored)
        if self._programs:
            self.cursor = max(self.cursor, min(each.since for each in self._programs.values()))

    def put(self, stored: StoredChain) -> None:
        """Take up a chain as it is from now on."""
        self.drop(stored.key)
        if not stored.chain.draft.enabled:
            return
        try:
            program = Program(
                stored.key, stored.organization_id, stored.chain, self.variables, stored.since
            )
            self._schedule.put(
                stored.key, stored.chain.draft, stored.scheduled_at or stored.chain.created_at
            )
        except InvalidValueError as error:
            log.error(
                "a rule chain cannot be run",
                app=stored.chain.app, chain=stored.chain.id, reason=error.message,
            )  # fmt: skip
            return
        if not self._programs:
            self.cursor = max(self.cursor, stored.since)
        program.install()
        self._programs[stored.key] = program
        self._has_new_variables = True
        self._stir()

    def drop(self, key: int) -> None:
        """Forget a chain."""
        self._schedule.drop(key)
        program = self._programs.pop(key, None)
        if program is not None:
            program.remove()

    def woken_by(self, organization_id: int, app: str, device_id: str, metric: str) -> list[str]:
        """Return the ids of the app's chains that such a reading would wake."""
        device = self._registry.find(app, device_id)
        if device is None or device.organization_id != organization_id:
            return []
        variable = self.variables.watched.get(device.id, {}).get(metric)
        programs = [] if variable is None else variable.programs.values()
        return [each.chain.id for each in programs if each.chain.app == app]

    def stored(self, is_wanted: bool, cursor: int) -> None:
        """Hear from the tap that readings were committed."""
        self._last = cursor
        if is_wanted:
            self._stir()
        elif self._idle.is_set() and cursor > self.cursor:
            self.cursor = cursor  # nobody names any of them

    def _device_changed(self, id: int, field: str) -> None:
        if field:
            return
        device = self._registry.by_id(id)
        if device is None:
            self.variables.device_removed(id)
        else:
            self.variables.device_added(device)

    # --- who asks ---

    async def ask(self, stored: StoredChain, trigger: Trigger) -> None:
        """Run a chain, also one that is not enabled, and return once that is stored.

        Raises TooManyError, StoreUnavailableError.
        """
        if len(self._asked) >= ASKED_MOST:
            raise TooManyError(f"{ASKED_MOST} runs wait already.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append((stored, trigger, done))
        self._stir()
        await done

    async def settle(self) -> None:
        """Return once what was committed before has woken what it wakes, and is in the log."""
        self._is_settling = True
        self._stir()
        await self._idle.wait()

    async def flush(self) -> None:
        """Store what was gathered, at the end. Raises StoreUnavailableError."""
        await self._logbook.flush(self.cursor)

    def _stir(self) -> None:
        self._idle.clear()
        self._wake.set()

    # --- the loop ---

    async def run(self) -> None:
        """Run chains, until cancelled."""
        is_held_up = False
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                await self._look()
            except Exception as error:
                # Whatever it is, it is no reason to take no more messages.
                if not is_held_up:
                    is_away = isinstance(error, StoreUnavailableError)
                    log.error(
                        "rule chains are held up",
                        reason=str(error),
                        exc_info=None if is_away else error,
                    )
                is_held_up = True
                await asyncio.sleep(LOOK_S)
                self._wake.set()
            else:
                if is_held_up:
                    log.info("rule chains run again")
                is_held_up = False

    async def _look(self) -> None:
        if self._programs:
            await self._read_on()
            await self._keep_schedules()
        await self._answer()
        if self._programs and (self._is_settling or self._logbook.is_due(self.cursor)):
            await self._logbook.flush(self.cursor)
        await self._logbook.prune()
        if not self._wake.is_set():
            self._is_settling = False
            self._idle.set()

    async def _read_on(self) -> None:
        """Deal with the readings that were committed since the last time."""
        while True:
            began = time.monotonic()
            cursor = self.cursor
            page = await self._db.read(lambda c, cursor=cursor: self._feed.after(c, cursor, PAGE))  # type: ignore[misc]  # mypy cannot infer a lambda's default
            if self._has_new_variables:
                await self._load_values(cursor)
            if not page:
                return
            await self._deal_with(whole(page, PAGE))
            if self._logbook.is_due(self.cursor):
                await self._logbook.flush(self.cursor)
            if len(page) < PAGE:
                return
            took_s = time.monotonic() - began
            await asyncio.sleep(min(PAUSE * took_s, LONGEST_PAUSE_S) if self._is_busy() else 0)

    async def _load_values(self, cursor: int) -> None:
        self._has_new_variables = False
        try:
            await load_values(self._db, self._feed, self._registry, self.variables, cursor)
        except StoreUnavailableError:
            self._has_new_variables = True
            raise

    async def _deal_with(self, page: Sequence[FedReading]) -> None:
        acting: list[Run] = []
        began = time.monotonic()
        for trigger in triggers(page, self.variables, self._registry):
            trigger.depth = self._depth_of(trigger)
            acting += self._woken(trigger)
            if len(acting) >= RUNS:
                await self._store_runs(acting, trigger.cursor)
                acting = []
            if time.monotonic() - began > SLICE_S:
                await asyncio.sleep(0)
                began = time.monotonic()
        last = page[-1].id
        if acting:
            await self._store_runs(acting, last)
        self.cursor = max(self.cursor, last)

    def _woken(self, trigger: Trigger) -> list[Run]:
        """Return the runs that a trigger leads to, of those that do something."""
        programs: dict[int, Program] = {}
        for variable, seen in trigger.values.items():
            variable.note(seen)
            programs |= variable.programs
        acting = []
        view = View(trigger)
        for program in programs.values():
            if trigger.cursor <= program.since:
                continue  # it was stored before there was this chain
            self.runs += 1
            if trigger.depth >= MOST:
                acting.append(Run(program, trigger, Finding(ABORTED, aborted_reason="loop")))
                self._tell_loop(program)
                continue
            try:
                is_stopped = program.is_stopped_at_once(view)
            except Exception:  # it is met again, and told, in the run
                is_stopped = False
            finding = Finding(STOPPED) if is_stopped else _run(program, trigger)
            if finding.outcome == STOPPED and not finding.planned:
                self._logbook.stopped(program, trigger, _run)
                continue
            acting.append(Run(program, trigger, finding))
        return acting

    def _depth_of(self, trigger: Trigger) -> int:
        device = trigger.device
        if device is None:
            return 0
        now = self._clock()
        return max(
            self._lineage.depth_of(device.id, variable.name.key, seen.value, now)
            for variable, seen in trigger.values.items()
        )

    def _tell_loop(self, program: Program) -> None:
        now = time.monotonic()
        if now - self._told_loop_at >= SAME_LOG_S:
            self._told_loop_at = now
            log.warning(
                "rule chains wake each other in a circle; it was cut",
                app=program.chain.app, chain=program.chain.id, chains=MOST,
            )  # fmt: skip

    async def _keep_schedules(self) -> None:
        now = self._clock()
        runs = []
        for key, due_at in self._schedule.due(now):
            program = self._programs[key]
            trigger = Trigger(f"schedule:{due_at}", "schedule", now)
            runs.append(Run(program, trigger, _run(program, trigger), scheduled_at=now))
            self.runs += 1
        if not runs:
            return
        try:
            await self._store_runs(runs, None)
        except StoreUnavailableError:
            for run in runs:  # of those that were stored the log has a run already
                due_at = int(run.trigger.id.partition(":")[2])
                self._schedule.put(run.program.key, run.program.chain.draft, due_at - 1)
            raise

    async def _answer(self) -> None:
        while self._asked:
            stored, trigger, done = self._asked.popleft()
            try:
                await self._run_asked(stored, trigger)
            except Exception as error:
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(None)

    async def _run_asked(self, stored: StoredChain, trigger: Trigger) -> None:
        program = self._programs.get(stored.key)
        if program is None:
            own = Variables(self._registry.find)
            program = Program(stored.key, stored.organization_id, stored.chain, own)
            program.install()
            last = await self._db.read(self._feed.last)
            await load_values(self._db, self._feed, self._registry, own, last)
        self.runs += 1
        await self._store_runs([Run(program, trigger, _run(program, trigger))], None)

    # --- what they do ---

    async def _store_runs(self, runs: list[Run], cursor: int | None) -> None:
        """Store runs with what they do; `cursor`: up to there readings are dealt with then.

        Raises StoreUnavailableError; nothing of them is done then.
        """
        for run in runs:
            self._doings.check(run)
        try:
            await self._apply(runs, cursor)
        except StoreUnavailableError:
            raise
        except Exception as error:
            if len(runs) == 1:
                await self._store_refused(runs[0], error, cursor)
            else:
                # One of them is at fault: each for itself. Whichever is stored is not run again.
                for run in runs:
                    await self._store_runs([run], None)
                if cursor is not None:
                    await self._db.write(lambda tx: repository.move(tx, cursor))
        for run in runs:
            self._logbook.acted(run.program.key, cursor or 0)

    async def _store_refused(self, run: Run, error: Exception, cursor: int | None) -> None:
        if isinstance(error, DomainError):
            refuse(run, error.message)
        else:
            refuse(run, FAULT)
            _tell_fault(run.program, error)
        await self._apply([run], cursor)

    async def _apply(self, runs: list[Run], cursor: int | None) -> None:
        def work(tx: Transaction) -> Result[None]:
            effects = self._doings.write(tx, runs)
            if cursor is not None:
                repository.move(tx, cursor)
            return Result(None, effects)

        assert self._store is not None, "join() comes first"
        await self._store.apply(work)


def _run(program: Program, trigger: Trigger) -> Finding:
    """Run a program; a fault in it is an outcome, and no reason to stop others."""
    try:
        return program.run(View(trigger))
    except Exception as error:
        _tell_fault(program, error)
        return Finding(FAILED, error=FAULT)


def _tell_fault(program: Program, error: Exception) -> None:
    log.error("a rule chain fails", app=program.chain.app, chain=program.chain.id, exc_info=error)
