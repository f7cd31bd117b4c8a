"""HTTP: raised alarms."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from fleetwire.features.alarms.service import AlarmRecord, AlarmService
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import iso

router = APIRouter(prefix="/api/v1/alarms", tags=["alarms"])

TheAlarms = Annotated[AlarmService, service(AlarmService)]


class AlarmView(BaseModel):
    """An alarm that was raised."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 3,
                    "app": "medical",
                    "device_id": "bp-1",
                    "name": "out_of_range",
                    "severity": "warning",
                    "message": "systolic 310 mm[Hg] is outside 40 to 300",
                    "detail": {"metric": "systolic", "value": 310},
                    "raised_at": "2026-01-31T12:00:00.250Z",
                }
            ]
        }
    )

    id: int
    app: str
    device_id: str
    name: str
    severity: str
    message: str
    detail: dict[str, Any]
    raised_at: str

    @classmethod
    def of(cls, alarm: AlarmRecord) -> "AlarmView":
        """Return the view of an alarm."""
        return cls(
            id=alarm.id,
            app=alarm.app,
            device_id=alarm.device_id,
            name=alarm.name,
            severity=alarm.severity,
            message=alarm.message,
            detail=alarm.detail,
            raised_at=iso(alarm.raised_at),
        )


class AlarmPage(BaseModel):
    """One page of alarms, newest first."""

    items: list[AlarmView]
    next_cursor: str | None = None


@router.get("")
async def list_alarms(
    caller: Asks,
    alarms: TheAlarms,
    app: str | None = None,
    device_id: str | None = None,
    severity: Literal["info", "warning", "critical"] | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> AlarmPage:
    """List the organisation's alarms, newest first."""
    page = await alarms.list(
        caller, app=app, device_id=device_id, severity=severity, limit=limit, cursor=cursor
    )
    return AlarmPage(
        items=[AlarmView.of(alarm) for alarm in page.items], next_cursor=page.next_cursor
    )
