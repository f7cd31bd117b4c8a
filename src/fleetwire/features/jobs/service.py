"""JobService: long work as rows, so that anybody can see how far it is, also after a restart.

Who does the work leads its job: he begins it, advances it with each portion, and ends it. A row
says that it runs only while somebody does lead it. What runs when the server starts was cut off by
its end, and what was not advanced for SILENT_S was left alone: both are interrupted, and the next
portion makes them run again.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from sqlalchemy import func, select

from fleetwire.errors import (
    ConflictError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
    TooManyError,
)
from fleetwire.features.jobs import repository
from fleetwire.features.jobs.repository import RUNNING, STATES, Row
from fleetwire.features.jobs.tables import jobs
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.caller import Caller
from fleetwire.kit.jobs import Job, Jobs
from fleetwire.kit.paging import Page
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.jobs")

SILENT_S: Final = 600
LOOK_S: Final = 60.0
KEPT_DAYS: Final = 30
MAX_RUNNING: Final = 50  # of an organisation: each is a person or a program at work
MAX_ERROR_CHARS: Final = 500
MAX_ACTOR_CHARS: Final = 200
DAY_US: Final = 86_400_000_000

CUT_OFF: Final = "The server ended before the work did."
LEFT_ALONE: Final = f"Nothing was heard of it for {SILENT_S // 60} minutes."


class JobService(Jobs):
    """Jobs of all organisations; each caller sees those of his own that he may."""

    def __init__(self, db: Database, clock: Callable[[], int] = instants.now) -> None:
        self._db = db
        self._clock = clock

    # --- for who leads one ---

    async def begin(
        self, caller: Caller, kind: str, *, total: int | None, read: str, write: str
    ) -> Job:
        caller.require(write)
        now = self._clock()
        row = {
            "id": secrets.token_hex(8),
            "organization_id": caller.organization_id,
            "kind": kind,
            "state": RUNNING,
            "done": 0,
            "total": total,
            "counts": {},
            "read_permission": read,
            "write_permission": write,
            "created_by": caller.actor[:MAX_ACTOR_CHARS],
            "created_at": now,
            "updated_at": now,
        }

        def work(tx: Transaction) -> Job:
            running = tx.connection.scalar(
                select(func.count()).where(
                    jobs.c.organization_id == caller.organization_id, jobs.c.state == RUNNING
                )
            )
            if (running or 0) >= MAX_RUNNING:
                raise TooManyError(f"{MAX_RUNNING} jobs run already, which is the most.")
            return repository.insert_job(tx, row)

        return await self._db.write(work)

    async def check(self, caller: Caller, job_id: str, kind: str, portion: int) -> None:
        """Return if a portion of this size can still become part of a job.

        Raises NotFoundError, ForbiddenError, ConflictError, InvalidValueError naming `job`.
        """
        row = await self._find(caller, job_id)
        caller.require(row.write)
        job = row.job
        if job.kind != kind:
            raise InvalidValueError(f"This job is of the kind {job.kind!r}.", field="job")
        if job.has_ended:
            raise ConflictError(f"This job is over: it is {job.state}.", field="job")
        if job.total is not None and job.done + portion > job.total:
            left = job.total - job.done
            raise InvalidValueError(f"This job has {left} left, not {portion}.", field="job")

    async def advance(self, job_id: str, done: int, counts: Mapping[str, int]) -> Job:
        now = self._clock()
        return await self._db.write(lambda tx: repository.advance(tx, job_id, done, counts, now))

    async def end(self, job_id: str, error: str | None = None) -> None:
        said = None if error is None else error[:MAX_ERROR_CHARS]
        now = self._clock()
        state = "succeeded" if error is None else "failed"
        await self._db.write(lambda tx: repository.end(tx, job_id, state, said, now))

    # --- for who watches ---

    async def get(self, caller: Caller, job_id: str) -> Job:
        row = await self._find(caller, job_id)
        caller.require(row.read)
        return row.job

    async def cancel(self, caller: Caller, job_id: str) -> Job:
        """Stop a job: its next portion is refused. What was done stays done.

        Raises ConflictError if it has ended.
        """
        row = await self._find(caller, job_id)
        caller.require(row.write)
        now = self._clock()
        by = f"Cancelled by {caller.actor}."[:MAX_ERROR_CHARS]
        ended = await self._db.write(lambda tx: repository.end(tx, job_id, "cancelled", by, now))
        found = (await self._find(caller, job_id)).job
        if not ended:
            raise ConflictError(f"This job is over: it is {found.state}.")
        return found

    async def list(
        self,
        caller: Caller,
        *,
        kind: str | None = None,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Return the organisation's jobs that the caller may see, newest first."""
        check_limit(limit)
        if state is not None and state not in STATES:
            raise InvalidValueError(f"state is one of {', '.join(STATES)}", field="state")
        before = None if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda c: repository.list_jobs(
                c,
                caller.organization_id,
                caller.permissions,
                kind=kind,
                state=state,
                before=before,
                limit=limit + 1,
            )
        )
        items = found[:limit]
        more = len(found) > limit
        return Page([row.job for row in items], encode_cursor(items[-1].key) if more else None)

    async def _find(self, caller: Caller, job_id: str) -> Row:
        row = await self._db.read(lambda c: repository.find_job(c, job_id, caller.organization_id))
        if row is None:
            raise NotFoundError(f"There is no job {job_id[:32]!r}.")
        return row

    # --- housekeeping ---

    async def load(self) -> None:
        """Note at the start that what ran was cut off. Raises StoreUnavailableError."""
        cut = await self._db.write(lambda tx: repository.interrupt(tx, None, CUT_OFF))
        if cut:
            log.warning("jobs were cut off by the end of the server", jobs=cut)

    async def tidy(self) -> None:
        """Note who was left alone, and forget what ended long ago. Raises StoreUnavailableError."""
        now = self._clock()
        silent_at = now - SILENT_S * 1_000_000
        left = await self._db.write(lambda tx: repository.interrupt(tx, silent_at, LEFT_ALONE))
        if left:
            log.info("jobs were left alone", jobs=left)
        await self._db.write(lambda tx: repository.forget(tx, now - KEPT_DAYS * DAY_US))

    async def run(self) -> None:
        """Tidy every minute, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.tidy()
            except StoreUnavailableError as error:
                log.warning("jobs could not be tidied", reason=str(error))
