"""Jobs as rows."""

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from fleetwire.errors import ConflictError, NotFoundError
from fleetwire.features.jobs.tables import jobs
from fleetwire.kit.jobs import Job
from fleetwire.store.database import Transaction

RUNNING: Final = "running"
INTERRUPTED: Final = "interrupted"
SUCCEEDED: Final = "succeeded"
OPEN: Final = (RUNNING, INTERRUPTED)
STATES: Final = (*OPEN, SUCCEEDED, "failed", "cancelled")


class Row(NamedTuple):
    """A job with what its readers are not shown: its place, and who may see and stop it."""

    job: Job
    key: int
    read: str
    write: str


def insert_job(tx: Transaction, row: Mapping[str, Any]) -> Job:
    """Store a new job and return it."""
    tx.execute(insert(jobs).values(row))
    return _by_id(tx.connection, str(row["id"])).job


def find_job(connection: Connection, job_id: str, organization_id: int) -> Row | None:
    """Return an organisation's job."""
    row = connection.execute(
        select(jobs).where(jobs.c.id == job_id, jobs.c.organization_id == organization_id)
    ).one_or_none()
    return None if row is None else _row(row)


def list_jobs(
    connection: Connection,
    organization_id: int,
    permissions: Collection[str],
    *,
    kind: str | None,
    state: str | None,
    before: int | None,
    limit: int,
) -> list[Row]:
    """Return an organisation's jobs that these permissions show, newest first."""
    query = select(jobs).where(
        jobs.c.organization_id == organization_id,
        jobs.c.read_permission.in_(sorted(permissions)),
    )
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if before is not None:
        query = query.where(jobs.c.key < before)
    return [_row(row) for row in connection.execute(query.order_by(jobs.c.key.desc()).limit(limit))]


def advance(tx: Transaction, job_id: str, done: int, counts: Mapping[str, int], at: int) -> Job:
    """Add what was done; raises ConflictError if the job is over."""
    job = _by_id(tx.connection, job_id).job
    if job.has_ended:
        raise ConflictError(f"This job is over: it is {job.state}.", field="job")
    so_far = dict(job.counts)
    for outcome, count in counts.items():
        so_far[outcome] = so_far.get(outcome, 0) + count
    is_whole = job.total is not None and job.done + done >= job.total
    tx.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            done=job.done + done,
            counts=so_far,
            state=SUCCEEDED if is_whole else RUNNING,
            error=None,
            updated_at=at,
            ended_at=at if is_whole else None,
        )
    )
    return _by_id(tx.connection, job_id).job


def end(tx: Transaction, job_id: str, state: str, error: str | None, at: int) -> bool:
    """Say how a job ended; False if it had already."""
    ended = tx.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_(OPEN))
        .values(state=state, error=error, updated_at=at, ended_at=at)
    )
    return ended.rowcount > 0


def interrupt(tx: Transaction, silent_at: int | None, reason: str) -> int:
    """Note that running jobs are led by nobody: those not advanced since, or all; return how many.

    When they were advanced last stays as it was.
    """
    left = update(jobs).where(jobs.c.state == RUNNING)
    if silent_at is not None:
        left = left.where(jobs.c.updated_at <= silent_at)
    return tx.execute(left.values(state=INTERRUPTED, error=reason)).rowcount


def forget(tx: Transaction, before_at: int) -> None:
    """Remove what nobody has advanced since, whether it ended or was left alone."""
    tx.execute(delete(jobs).where(jobs.c.state != RUNNING, jobs.c.updated_at < before_at))


def _by_id(connection: Connection, job_id: str) -> Row:
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no job {job_id[:32]!r}.", field="job")
    return _row(row)


def _row(row: Any) -> Row:
    job = Job(
        id=row.id,
        organization_id=row.organization_id,
        kind=row.kind,
        state=row.state,
        done=row.done,
        total=row.total,
        counts=dict(row.counts),
        error=row.error,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
    )
    return Row(job, row.key, row.read_permission, row.write_permission)
