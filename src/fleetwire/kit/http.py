"""How an app's HTTP and WebSocket routes learn who asks, and reach the services.

@router.get("/devices/{device_id}")
async def read(device_id: str, caller: Asks, devices: Annotated[Devices, service(Devices)]): ...
"""

import re
from abc import ABC, abstractmethod
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from fleetwire.kit.services import Audit, Caller

_PLACE = re.compile(r"\{(\w+)\}")

T = TypeVar("T")


class Gate(ABC):
    """Finds out who asks.

    The web layer puts one at `app.state.gate`, and the services at `app.state.services`.
    """

    @abstractmethod
    async def caller(self, connection: HTTPConnection) -> Caller:
        """Return the caller by Bearer token (or `?token=` on WebSockets).

        Raises UnauthenticatedError.
        """


class _Bearer(SecurityBase):
    """Tells the OpenAPI document which calls want a token; the gate is what reads it."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = "bearer"

    def __call__(self) -> None:
        return None


async def who_asks(
    connection: HTTPConnection, _: Annotated[None, Depends(_Bearer())] = None
) -> Caller:
    """Return the signed-in caller; raises UnauthenticatedError (401)."""
    gate: Gate = connection.app.state.gate
    return await gate.caller(connection)


Asks = Annotated[Caller, Depends(who_asks)]


def reads(action: str, subject: str = "") -> Any:
    """Return a dependency for a route that shows sensitive data: who asks is put on record first.

    `subject` is filled from the path and the query: `patient:{patient_id}`. If the record cannot be
    written nothing is shown.

    @router.get("/patients/{id}", dependencies=[reads("patient.read", "patient:{id}")])
    """

    async def record(connection: HTTPConnection, caller: Asks) -> None:
        audit: Audit = connection.app.state.services[Audit]
        values = {**connection.query_params, **connection.path_params}
        named = _PLACE.sub(lambda place: str(values.get(place[1], "")), subject)
        await audit.record(caller, action, named or None, detail={"path": connection.url.path})

    return Depends(record)


def service(kind: type[T]) -> Any:
    """Return a dependency that gives the house's implementation of a service interface."""

    def find(connection: HTTPConnection) -> T:
        found: T = connection.app.state.services[kind]
        return found

    return Depends(find)
