"""HTTP: whether a device is there, and since when it was or was not."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.devices.presence_history import PastChange
from fleetwire.features.devices.presence_service import Aspect, PresenceRecord, PresenceService
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import iso

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])

ThePresence = Annotated[PresenceService, service(PresenceService)]


class AspectView(BaseModel):
    """Whether something holds, since when and why."""

    holds: bool | None = Field(description="null = no setting says how often it is to send")
    since: str | None
    reason: str | None

    @classmethod
    def of(cls, aspect: Aspect) -> "AspectView":
        """Return the view of an aspect."""
        since_at = aspect.since_at
        return cls(
            holds=aspect.holds,
            since=None if since_at is None else iso(since_at),
            reason=aspect.reason,
        )


class PresenceView(BaseModel):
    """Whether a device is there, in each sense of the word."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "connected": {
                        "holds": True,
                        "since": "2026-01-31T12:00:00.000Z",
                        "reason": "connect",
                    },
                    "reporting": {
                        "holds": False,
                        "since": "2026-01-31T12:06:00.000Z",
                        "reason": "silent too long",
                    },
                    "fresh": {
                        "holds": False,
                        "since": "2026-01-31T12:06:00.000Z",
                        "reason": "silent too long",
                    },
                    "flapping": False,
                    "last_seen": "2026-01-31T12:01:00.000Z",
                }
            ]
        }
    )

    connected: AspectView = Field(description="it has a connection")
    reporting: AspectView = Field(description="it has one and is fresh")
    fresh: AspectView = Field(description="its last message is not older than expected")
    flapping: bool = Field(description="it comes and goes too often to tell each time")
    last_seen: str | None

    @classmethod
    def of(cls, presence: PresenceRecord) -> "PresenceView":
        """Return the view of a device's presence."""
        seen_at = presence.last_seen_at
        return cls(
            connected=AspectView.of(presence.connected),
            reporting=AspectView.of(presence.reporting),
            fresh=AspectView.of(presence.fresh),
            flapping=presence.is_flapping,
            last_seen=None if seen_at is None else iso(seen_at),
        )


class ChangeView(BaseModel):
    """One change: an aspect (connected, fresh, steady) began or ceased to hold."""

    aspect: str
    holds: bool
    reason: str
    at: str

    @classmethod
    def of(cls, change: PastChange) -> "ChangeView":
        """Return the view of a change."""
        return cls(
            aspect=change.aspect, holds=change.holds, reason=change.reason, at=iso(change.at)
        )


class ChangePage(BaseModel):
    """One page of a device's changes, newest first."""

    items: list[ChangeView]
    next_cursor: str | None = None


@router.get("/{app}/{device_id}/presence")
async def read_presence(
    app: str, device_id: str, caller: Asks, presence: ThePresence
) -> PresenceView:
    """Return whether a device is connected, reporting and fresh, each with since and why."""
    return PresenceView.of(await presence.get(caller, app, device_id))


@router.get("/{app}/{device_id}/presence/history")
async def list_presence(
    app: str,
    device_id: str,
    caller: Asks,
    presence: ThePresence,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> ChangePage:
    """List what changed of a device's presence, newest first; kept for 90 days."""
    page = await presence.history(caller, app, device_id, limit=limit, cursor=cursor)
    return ChangePage(
        items=[ChangeView.of(change) for change in page.items], next_cursor=page.next_cursor
    )
