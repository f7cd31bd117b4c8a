"""HTTP: many devices at once."""

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.errors import InvalidValueError
from fleetwire.features.areas.rules import MAX_PATH_CHARS
from fleetwire.features.devices.bulk import MAX_LINES, BulkImport, Line, Outcome
from fleetwire.features.devices.rules import MAX_TAGS
from fleetwire.features.devices.schemas import CredentialView
from fleetwire.features.jobs.service import JobService
from fleetwire.kit.http import Asks, service

router = APIRouter(prefix="/api/v1/device-imports", tags=["devices"])

IMPORT_JOB = "device.import"

TheImport = Annotated[BulkImport, service(BulkImport)]
TheJobs = Annotated[JobService, service(JobService)]


class ImportLine(BaseModel):
    """What a device shall be; what is not sent stays. A fault refuses this line alone."""

    # A name that is not ours would be dropped, and its sender would not know.
    model_config = ConfigDict(extra="forbid")

    app: str
    device_id: str
    type: str
    name: str | None = None
    attributes: dict[str, Any] | None = None
    tags: list[str] | None = Field(None, max_length=MAX_TAGS)
    area: str | None = Field(
        None,
        max_length=MAX_PATH_CHARS,
        description='a path, of which is made what is missing; "" takes it out of its area',
    )


class Portion(BaseModel):
    """Up to 100 lines. Longer lists are sent in portions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "devices": [
                        {
                            "app": "medical",
                            "device_id": "bp-1",
                            "type": "blood_pressure_monitor",
                            "attributes": {"floor": 2},
                            "tags": ["ward-3"],
                            "area": "Clinic/Floor 2",
                        }
                    ]
                }
            ]
        }
    )

    devices: list[ImportLine] = Field(min_length=1, max_length=MAX_LINES)


class OutcomeView(BaseModel):
    """What became of a line. The password of a new device is in this answer only."""

    device_id: str
    outcome: str = Field(description="created, changed, unchanged or refused")
    reason: str | None
    field: str | None
    credential: CredentialView | None

    @classmethod
    def of(cls, outcome: Outcome) -> "OutcomeView":
        """Return the view of an outcome."""
        given = outcome.credential
        return cls(
            device_id=outcome.device_id,
            outcome=outcome.outcome,
            reason=outcome.reason,
            field=outcome.field,
            credential=None if given is None else CredentialView.of(given),
        )


class Outcomes(BaseModel):
    """One outcome for each line, in their order."""

    items: list[OutcomeView]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"model": Outcomes, "description": "A dry run: nothing was changed"},
        404: {"description": "There is no such job"},
    },
)
async def import_devices(
    body: Portion,
    caller: Asks,
    bulk: TheImport,
    jobs: TheJobs,
    response: Response,
    dry_run: Annotated[bool, Query(description="say what would become of each line")] = False,
    job: Annotated[
        str | None, Query(max_length=32, description="a job that these devices are part of")
    ] = None,
) -> Outcomes:
    """Register and change devices, each line for itself. Sent again, it changes nothing more.

    Long lists are sent in portions; `job`, begun with `POST /api/v1/jobs`, tells how far they are.
    """
    if job is not None:
        if dry_run:
            raise InvalidValueError("A dry run is no part of a job", field="job")
        await jobs.check(caller, job, IMPORT_JOB, len(body.devices))
    lines = [Line(**line.model_dump()) for line in body.devices]
    outcomes = await bulk.run(caller, lines, dry_run=dry_run)
    if dry_run:
        response.status_code = status.HTTP_200_OK
    if job is not None:
        counts = Counter(outcome.outcome for outcome in outcomes)
        await jobs.advance(job, len(outcomes), counts)
    return Outcomes(items=[OutcomeView.of(outcome) for outcome in outcomes])
