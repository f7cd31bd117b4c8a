"""Commands as HTTP takes and shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.kit.instants import iso
from fleetwire.kit.services import CommandRecord


class CommandRequest(BaseModel):
    """A command to be sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "start_monitoring",
                    "parameters": {"interval": 30, "duration": 3600},
                    "expires_in": "60s",
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=128)
    parameters: dict[str, Any] = {}
    expires_in: str = Field("60s", description="1s to 30d; not delivered after that")


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
