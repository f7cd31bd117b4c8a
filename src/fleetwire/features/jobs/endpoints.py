"""HTTP: long work, how far it is, and its end before its time."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, status

from fleetwire.features.jobs.schemas import JobPage, JobView, NewJob
from fleetwire.features.jobs.service import JobService
from fleetwire.kit.http import Asks, service

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

TheJobs = Annotated[JobService, service(JobService)]

# By kind of what a client leads: the permissions to see it, and to do and to stop it.
_PERMISSIONS = {"device.import": ("device.read", "device.write")}


@router.post("", status_code=status.HTTP_201_CREATED)
async def begin_job(body: NewJob, caller: Asks, jobs: TheJobs) -> JobView:
    """Begin work in portions: `POST /api/v1/device-imports?job=…` counts each towards its total.

    It runs until the total is reached. Left alone for ten minutes, or when the server is restarted,
    it is `interrupted`; the next portion goes on with it.
    """
    read, write = _PERMISSIONS[body.kind]
    return JobView.of(await jobs.begin(caller, body.kind, total=body.total, read=read, write=write))


@router.get("")
async def list_jobs(
    caller: Asks,
    jobs: TheJobs,
    kind: Annotated[str | None, Query(max_length=64, examples=["device.import"])] = None,
    state: Literal["running", "interrupted", "succeeded", "failed", "cancelled"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> JobPage:
    """List the organisation's jobs of the last 30 days that you may see, newest first."""
    page = await jobs.list(caller, kind=kind, state=state, limit=limit, cursor=cursor)
    return JobPage(items=[JobView.of(job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/{job_id}")
async def read_job(job_id: str, caller: Asks, jobs: TheJobs) -> JobView:
    """Return how far a job has come."""
    return JobView.of(await jobs.get(caller, job_id))


@router.post("/{job_id}/cancel")
async def cancel_job(job_id: str, caller: Asks, jobs: TheJobs) -> JobView:
    """Stop a job: its next portion is refused. What was done stays done."""
    return JobView.of(await jobs.cancel(caller, job_id))
