"""What jobs look like over HTTP."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.kit.instants import iso
from fleetwire.kit.jobs import Job

MAX_TOTAL = 10_000_000


class NewJob(BaseModel):
    """Work that its sender will do in portions, each naming the job."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "device.import", "total": 10000}]},
    )

    kind: Literal["device.import"]
    total: int = Field(ge=1, le=MAX_TOTAL, description="how many devices will come")


class JobView(BaseModel):
    """How far a job has come; `done` of `total`, and what became of them in `counts`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "5f2a9c3d1e7b8a60",
                    "kind": "device.import",
                    "state": "running",
                    "done": 4200,
                    "total": 10000,
                    "counts": {"created": 4190, "refused": 10},
                    "error": None,
                    "created_by": "account:1",
                    "created_at": "2026-01-31T12:00:00.000Z",
                    "updated_at": "2026-01-31T12:00:21.500Z",
                    "ended_at": None,
                }
            ]
        }
    )

    id: str
    kind: str
    state: str = Field(description="running, interrupted, succeeded, failed or cancelled")
    done: int
    total: int | None = Field(description="null: nobody knows beforehand")
    counts: dict[str, int]
    error: str | None = Field(description="why it failed, was cancelled or interrupted")
    created_by: str
    created_at: str
    updated_at: str
    ended_at: str | None

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """Return the view of a job."""
        return cls(
            id=job.id,
            kind=job.kind,
            state=job.state,
            done=job.done,
            total=job.total,
            counts=job.counts,
            error=job.error,
            created_by=job.created_by,
            created_at=iso(job.created_at),
            updated_at=iso(job.updated_at),
            ended_at=None if job.ended_at is None else iso(job.ended_at),
        )


class JobPage(BaseModel):
    """One page of jobs, newest first."""

    items: list[JobView]
    next_cursor: str | None = None
