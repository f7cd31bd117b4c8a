"""Jobs: long work that people can watch, and stop."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from fleetwire.kit.caller import Caller


class Job(msgspec.Struct, frozen=True):
    """How far long work has come. Instants are microseconds UTC.

    `state` is running, succeeded, failed, cancelled or interrupted. An interrupted job was cut off,
    by the end of the server or of whoever led it; what it had counted is done, and going on with it
    makes it run again.
    """

    id: str
    organization_id: int
    kind: str  # device.import, quarantine.rerun
    state: str
    done: int
    total: int | None  # None = nobody knows beforehand
    counts: dict[str, int]  # by outcome: created, refused
    error: str | None
    created_by: str
    created_at: int
    updated_at: int
    ended_at: int | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in ("succeeded", "failed", "cancelled")


class Jobs(ABC):
    """Rows that outlive the process: begin one, advance it with each portion, end it."""

    @abstractmethod
    async def begin(
        self, caller: Caller, kind: str, *, total: int | None, read: str, write: str
    ) -> Job:
        """Store a running job; `read` and `write` are the permissions to see it and to stop it.

        Raises TooManyError when the organisation has enough of them under way.
        """

    @abstractmethod
    async def advance(self, job_id: str, done: int, counts: Mapping[str, int]) -> Job:
        """Add what was done; with the last of `total` the job has succeeded.

        Raises ConflictError if it was cancelled or has ended otherwise: stop then.
        """

    @abstractmethod
    async def end(self, job_id: str, error: str | None = None) -> None:
        """Note that a job has succeeded or, with an error, failed. Does nothing to an ended one."""

    @abstractmethod
    async def get(self, caller: Caller, job_id: str) -> Job:
        """Return a job of the caller's organisation. Raises NotFoundError, ForbiddenError."""
