"""What all routes share: the services they are given, the form of answers and errors, `/health`."""

import time
from typing import Annotated, Any

from fastapi import APIRouter

from fleetwire.kit import (
    Audit,
    Clock,
    Commands,
    Devices,
    DomainError,
    ErrorForm,
    Health,
    People,
    Store,
    service,
)
from fleetwire.kit.instants import iso

TheStore = Annotated[Store, service(Store)]
TheDevices = Annotated[Devices, service(Devices)]
TheCommands = Annotated[Commands, service(Commands)]
ThePeople = Annotated[People, service(People)]
TheAudit = Annotated[Audit, service(Audit)]
TheHealth = Annotated[Health, service(Health)]
TheClock = Annotated[Clock, service(Clock)]
Answer = dict[str, Any]


class UnavailableError(DomainError):
    """Some of several things cannot be had; `details` says of each why."""

    status = 400

    def __init__(
        self, message: str, details: list[dict[str, Any]], *, field: str | None = None
    ) -> None:
        super().__init__(message, field=field)
        self.details = details


class BadRequestError(DomainError):
    """The request cannot be carried out as things are."""

    status = 400


class BrokerUnavailableError(DomainError):
    """Nothing can be sent to tablets just now."""

    status = 503


def error_answer(error: DomainError) -> tuple[int, dict[str, Any]]:
    """Return the status and `{"error": …}`, with the field at fault where there is one."""
    content: dict[str, Any] = {"error": error.message}
    if error.field is not None:
        content["field"] = error.field
    if isinstance(error, UnavailableError):
        content["details"] = error.details
    # The field's clients know 400 for whatever is wrong with a request.
    return (400 if error.status == 422 else error.status), content


# What every route with parameters or a body can answer.
WRONG_REQUEST: dict[int | str, dict[str, Any]] = {
    400: {"description": "Something in the request is wrong or missing: `field` names it"}
}

ERRORS = ErrorForm(
    error_answer,
    {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string"},
            "field": {"type": "string"},
            "details": {"type": "array", "items": {"type": "object"}},
        },
    },
)


def health_routes() -> APIRouter:
    """Return the route; `uptime` counts from now, in seconds."""
    router = APIRouter(tags=["health"])
    began = time.monotonic()

    @router.get("/health")
    async def read_health(health: TheHealth, clock: TheClock) -> Answer:
        """Say that the listener answers, and whether tablets can be reached."""
        return {
            "status": "ok",
            "timestamp": iso(clock.now()),
            "uptime": round(time.monotonic() - began, 3),
            "mqtt": {"connected": health.is_connected()},
        }

    return router
