"""Rerun: refused messages carried up the road once more, after what was wrong has been mended.

What a message leads to is what it would lead to if it came now, by the same handlers and sinks and
in one transaction with its leaving quarantine; only when it was received stays as it was. Its
sender's rights are those of now, too. What is refused again stays, with the new reason.

Does not: bring back the properties of an MQTT 5 message, which quarantine does not keep; or carry
what was longer than quarantine keeps.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import structlog

from fleetwire.broker.delivery import Delivery
from fleetwire.errors import (
    ConflictError,
    DomainError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
)
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.paging import decode_cursor, encode_cursor
from fleetwire.features.quarantine.ledger import QuarantineLedger, delivery_of, is_whole
from fleetwire.features.quarantine.search import RefusedMessage
from fleetwire.features.quarantine.selection import Selection, newest_id
from fleetwire.features.quarantine.sink import QuarantineSqlSink
from fleetwire.ingest.preparation import Batch
from fleetwire.ingest.road import Road
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.effects import Effect
from fleetwire.kit.jobs import Jobs
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Database

log = structlog.get_logger("fleetwire.quarantine")

READ = "quarantine.read"
WRITE = "quarantine.write"
KIND = "quarantine.rerun"  # of its job

AT_ONCE: Final = 100  # messages in one transaction: what comes now waits for that long
REHEARSED_MOST: Final = 100
WAITING_MOST: Final = 16  # jobs
KEPT_JOBS: Final = 200

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"  # again, perhaps for another reason
CUT: Final = "cut"  # not all of it was kept
GONE: Final = "gone"  # somebody else was faster


class _CancelledError(Exception):
    """Somebody wants no more of this job."""


class Judge(ABC):
    """Knows what senders may do now."""

    @abstractmethod
    def objection(self, identity: str, client_id: str, topic: str) -> str:
        """Return why a sender may not publish to a topic, "" if he may."""


class Outcome(msgspec.Struct):
    """What becomes of one message, or would. `effects` are what its handler wishes to be true."""

    id: int
    topic: str
    result: str
    app: str | None = None
    reason: str | None = None
    effects: list[dict[str, Any]] = []


class RerunJob(msgspec.Struct):
    """Many messages under way; the instants are microseconds UTC, 0 = not yet.

    `state` is waiting, running, done, cancelled or failed; then `error` says why.
    """

    id: str
    organization_id: int
    state: str
    started_at: int
    ended_at: int = 0
    looked_at: int = 0
    accepted: int = 0
    refused: int = 0
    left_alone: int = 0  # cut or gone
    error: str | None = None


class Rerun:
    """Rehearses at once, and carries in jobs, one after the other.

    They end with the process; a job that was cut off has done what it had counted until then, and
    its row says that it was interrupted. Who wants the rest done starts another one.
    """

    def __init__(
        self,
        db: Database,
        road: Road,
        sink: QuarantineSqlSink,
        judge: Judge,
        audit: SqlAudit,
        rows: Jobs,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._rows = rows
        self._road = road
        self._sink = sink
        self._judge = judge
        self._audit = audit
        self._clock = clock
        self._jobs: dict[str, RerunJob] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._waiting: deque[tuple[RerunJob, Caller, Selection, int]] = deque()
        self._wake = asyncio.Event()

    # --- what would become of them ---

    async def rehearse(
        self, caller: Caller, selection: Selection, *, limit: int = 20, cursor: str | None = None
    ) -> Page[Outcome]:
        """Return what would become of messages, in the order they came. Nothing is changed."""
        caller.require(WRITE)
        selection.check()
        after = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        many = max(1, min(limit, REHEARSED_MOST))
        messages, position = await self._db.read(
            lambda c: selection.find(c, caller, many, after, newest_id(c))
        )
        outcomes = await self._try(messages, is_real=False)
        return Page(outcomes, None if position is None else encode_cursor(position))

    # --- jobs ---

    async def start(self, caller: Caller, selection: Selection) -> RerunJob:
        """Begin to carry messages; that somebody asked for it is on record.

        Raises TooManyError when enough jobs wait already.
        """
        caller.require(WRITE)
        selection.check()
        if len(self._waiting) >= WAITING_MOST:
            raise TooManyError(f"{WAITING_MOST} re-runs wait already. Try again later.")
        through_id = await self._db.read(newest_id)
        row = await self._rows.begin(caller, KIND, total=None, read=READ, write=WRITE)
        job = RerunJob(row.id, caller.organization_id, "waiting", self._clock())
        await self._audit.record(
            caller, "quarantine.rerun", f"rerun:{job.id}", detail=selection.given()
        )
        self._forget_old()
        self._jobs[job.id] = job
        self._ended[job.id] = asyncio.Event()
        self._waiting.append((job, caller, selection, through_id))
        self._wake.set()
        return job

    async def wait(self, job: RerunJob, timeout_s: float) -> None:
        """Return when the job has ended, or when time is up."""
        ended = self._ended.get(job.id)
        if ended is None:
            return
        try:
            await asyncio.wait_for(ended.wait(), timeout_s)
        except TimeoutError:
            return

    def get(self, caller: Caller, id: str) -> RerunJob:
        """Return a job of the caller's organisation."""
        caller.require(READ)
        job = self._jobs.get(id)
        if job is None or job.organization_id != caller.organization_id:
            raise NotFoundError(f"There is no re-run {id[:32]!r}.")
        return job

    def jobs(self, caller: Caller) -> Sequence[RerunJob]:
        """Return the jobs of the caller's organisation since start, newest first, some hundred."""
        caller.require(READ)
        own = [job for job in self._jobs.values() if job.organization_id == caller.organization_id]
        return own[::-1]

    async def run(self) -> None:
        """Carry what waits, until cancelled."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            job, caller, selection, through_id = self._waiting.popleft()
            job.state = "running"
            try:
                await self._carry_all(job, caller, selection, through_id)
                job.state = "done"
            except _CancelledError:
                job.state = "cancelled"
            except StoreUnavailableError as error:
                job.state, job.error = "failed", str(error)
            except Exception as error:  # the next one must not wait for ever
                log.exception("a re-run failed", rerun=job.id)
                job.state, job.error = "failed", type(error).__name__
            with contextlib.suppress(StoreUnavailableError):  # it will count as left alone
                await self._rows.end(job.id, job.error)
            job.ended_at = self._clock()
            self._ended[job.id].set()
            log.info(
                "re-run ended",
                rerun=job.id,
                state=job.state,
                accepted=job.accepted,
                refused=job.refused,
            )

    def _forget_old(self) -> None:
        for id in [id for id, job in self._jobs.items() if job.ended_at]:
            if len(self._jobs) < KEPT_JOBS:
                return
            del self._jobs[id], self._ended[id]

    async def _carry_all(
        self, job: RerunJob, caller: Caller, selection: Selection, through_id: int
    ) -> None:
        position: int | None = 0
        await self._advance(job, [])  # perhaps it was cancelled while it waited
        while position is not None:
            messages, position = await self._db.read(
                lambda c, after=position: selection.find(c, caller, AT_ONCE, after, through_id)  # type: ignore[misc]  # mypy cannot infer a lambda's default
            )
            outcomes = await self._try(messages, is_real=True)
            for outcome in outcomes:
                job.looked_at += 1
                if outcome.result == ACCEPTED:
                    job.accepted += 1
                elif outcome.result == REFUSED:
                    job.refused += 1
                else:
                    job.left_alone += 1
            await self._advance(job, outcomes)
        detail = {"accepted": job.accepted, "refused": job.refused, "left_alone": job.left_alone}
        await self._audit.record(caller, "quarantine.rerun_ended", f"rerun:{job.id}", detail=detail)

    async def _advance(self, job: RerunJob, outcomes: Sequence[Outcome]) -> None:
        try:
            counts = Counter(outcome.result for outcome in outcomes)
            await self._rows.advance(job.id, len(outcomes), counts)
        except ConflictError:
            raise _CancelledError from None

    # --- one batch ---

    async def _try(self, messages: Sequence[RefusedMessage], *, is_real: bool) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        held: dict[Delivery, RefusedMessage] = {}
        for message in messages:
            if is_whole(message):
                refused = self._judge.objection(message.identity, message.client_id, message.topic)
                held[delivery_of(message, refused)] = message
            else:
                reason = "More was sent than quarantine keeps, so it cannot be carried again"
                outcomes[message.id] = Outcome(message.id, message.topic, CUT, reason=reason)
        if held:
            await self._carry(held, outcomes, is_real=is_real)
        return [outcomes[message.id] for message in messages]

    async def _carry(
        self,
        held: dict[Delivery, RefusedMessage],
        outcomes: dict[int, Outcome],
        *,
        is_real: bool,
    ) -> None:
        deliveries = list(held)
        try:
            if is_real:
                ledger = QuarantineLedger(self._sink, held)
                # Once begun it must be told to the sinks how it ended.
                batch = await asyncio.shield(self._road.again(deliveries, ledger))
            else:
                batch = await self._road.rehearse(deliveries)
        except StoreUnavailableError:
            raise
        except Exception as error:
            await self._halve(held, outcomes, error, is_real=is_real)
        else:
            _note(batch, held, outcomes)

    async def _halve(
        self,
        held: dict[Delivery, RefusedMessage],
        outcomes: dict[int, Outcome],
        error: Exception,
        *,
        is_real: bool,
    ) -> None:
        """One of them cannot be carried: find which, and keep it with the reason."""
        items = list(held.items())
        if len(items) > 1:
            middle = len(items) // 2
            for part in (items[:middle], items[middle:]):
                await self._carry(dict(part), outcomes, is_real=is_real)
            return
        ((delivery, message),) = items
        if isinstance(error, ConflictError) and not delivery.refused:
            outcomes[message.id] = Outcome(message.id, message.topic, GONE, reason=error.message)
            return
        if delivery.refused:
            raise error
        if isinstance(error, DomainError):
            delivery.refused = error.message
        else:
            log.error("a message could not be carried again", id=message.id, error=repr(error))
            delivery.refused = f"It could not be stored: {type(error).__name__}"
        await self._carry(held, outcomes, is_real=is_real)


def _note(batch: Batch, held: dict[Delivery, RefusedMessage], outcomes: dict[int, Outcome]) -> None:
    for entry in batch.accepted:
        message = held[entry.delivery]
        effects = [described(effect, message.received_at) for effect in entry.effects]
        outcomes[message.id] = Outcome(
            message.id, message.topic, ACCEPTED, entry.app, effects=effects
        )
    for each in batch.refused:
        message = held[each.delivery]
        outcomes[message.id] = Outcome(message.id, message.topic, REFUSED, each.app, each.reason)


def described(effect: Effect, received_at: int) -> dict[str, Any]:
    """Return an effect as JSON: its kind, its device as `app/device_id`, then its fields."""
    found: dict[str, Any] = {"effect": type(effect).__name__.lower()}
    for kind in reversed(type(effect).__mro__):
        for name in getattr(kind, "__slots__", ()):
            value = getattr(effect, name)
            if isinstance(value, Device):
                value = f"{value.app}/{value.device_id}"
            elif name == "at":
                value = instants.iso(received_at if value is None else value)
            elif isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            found[name] = value
    return found
