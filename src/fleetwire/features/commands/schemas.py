"""Commands as HTTP takes and shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.kit.instants import iso
from fleetwire.kit.services import CommandBatch, CommandRecord


class CommandRequest(BaseModel):
    """A command to be sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "start_monitoring",
                    "parameters": {"interval": 30, "duration": 3600},
                    "expires_in": "60s",
                    "lane": "monitoring",
                    "supersede": True,
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=128)
    parameters: dict[str, Any] = {}
    expires_in: str = Field("60s", description="1s to 30d; not delivered after that")
    lane: str | None = Field(
        None, min_length=1, max_length=64, description="of a lane, one is under way at a time"
    )
    supersede: bool = Field(False, description="give up those that still wait in the lane")
    retry: bool | None = Field(
        None,
        description="send again where it is unknown whether the device has it; "
        "if not said, only a command without Idempotency-Key",
    )


class BatchRequest(CommandRequest):
    """A command to be sent to many devices: those named, those of a group, or those of a query.

    The devices of a group or a query are those of this moment. `app` may be left out for them if
    they all belong to one; with it, only that app's are told.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "app": "medical",
                    "devices": ["bp-1", "bp-2"],
                    "name": "start_monitoring",
                    "parameters": {"interval": 30},
                    "expires_in": "1h",
                },
                {"group": "cold-floor-2", "name": "restart", "expires_in": "1h"},
                {"query": "tag:cold and not connected:true", "name": "restart"},
            ]
        }
    )

    app: str | None = Field(None, min_length=1, max_length=64)
    devices: list[Annotated[str, Field(min_length=1, max_length=128)]] | None = Field(
        None, min_length=1, max_length=20_000
    )
    group: str | None = Field(None, min_length=1, max_length=64)
    query: str | None = Field(None, min_length=1, max_length=1000)


class LineView(BaseModel):
    """One line of a command's timeline."""

    state: str
    reason: str | None
    at: str


class CommandView(BaseModel):
    """A command and what became of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "9f86d081884c7d659a2feaa0c55ad015",
                    "device_id": "bp-1",
                    "name": "start_monitoring",
                    "parameters": {"interval": 30, "duration": 3600},
                    "state": "delivered",
                    "reason": None,
                    "result": None,
                    "attempts": 1,
                    "created_at": "2026-01-31T12:00:00.000Z",
                    "expires_at": "2026-01-31T12:01:00.000Z",
                    "updated_at": "2026-01-31T12:00:00.020Z",
                    "timeline": [
                        {"state": "queued", "reason": None, "at": "2026-01-31T12:00:00.000Z"},
                        {"state": "sent", "reason": None, "at": "2026-01-31T12:00:00.004Z"},
                        {"state": "delivered", "reason": None, "at": "2026-01-31T12:00:00.020Z"},
                    ],
                }
            ]
        }
    )

    id: str
    device_id: str
    name: str
    parameters: dict[str, Any]
    state: str
    reason: str | None
    result: Any
    attempts: int
    created_at: str
    expires_at: str
    updated_at: str
    timeline: list[LineView]

    @classmethod
    def of(cls, command: CommandRecord) -> "CommandView":
        """Return the view of a command."""
        return cls(
            id=command.id,
            device_id=command.device_id,
            name=command.name,
            parameters=command.parameters,
            state=command.state,
            reason=command.reason,
            result=command.result,
            attempts=command.attempts,
            created_at=iso(command.created_at),
            expires_at=iso(command.expires_at),
            updated_at=iso(command.updated_at),
            timeline=[
                LineView(state=line.state, reason=line.reason, at=iso(line.at))
                for line in command.timeline
            ],
        )


class CommandPage(BaseModel):
    """One page of a device's commands, newest first."""

    items: list[CommandView]
    next_cursor: str | None = None


class RefusedView(BaseModel):
    """A device that was given no command."""

    device_id: str
    reason: str


class BatchView(BaseModel):
    """A batch and how far it has come."""

    id: str
    app: str
    group: str | None = Field(description="whose devices it was sent to, as they were then")
    query: str | None
    name: str
    parameters: dict[str, Any]
    total: int = Field(description="devices")
    waiting: int = Field(description="devices that do not have their command yet")
    open_count: int = Field(
        description="devices of which an outcome is still to come, those that wait included"
    )
    states: dict[str, int] = Field(description="how many commands stand in which state")
    refused_count: int
    refused: list[RefusedView] = Field(description="the first of them")
    created_at: str
    spread_at: str | None = Field(description="when every device had its command")

    @classmethod
    def of(cls, batch: CommandBatch) -> "BatchView":
        """Return the view of a batch."""
        return cls(
            id=batch.id,
            app=batch.app,
            group=batch.group,
            query=batch.query,
            name=batch.name,
            parameters=batch.parameters,
            total=batch.total,
            waiting=batch.waiting,
            open_count=batch.open_count,
            states=batch.states,
            refused_count=batch.refused_count,
            refused=[
                RefusedView(device_id=device_id, reason=reason)
                for device_id, reason in batch.refused
            ],
            created_at=iso(batch.created_at),
            spread_at=None if batch.spread_at is None else iso(batch.spread_at),
        )
