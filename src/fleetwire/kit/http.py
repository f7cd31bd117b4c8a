"""How an app's HTTP and WebSocket routes learn who asks, and reach the services.

@router.get("/devices/{device_id}")
async def read(device_id: str, caller: Asks, devices: Annotated[Devices, service(Devices)]): ...
"""

from abc import ABC, abstractmethod
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from fleetwire.kit.services import Caller

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


def service(kind: type[T]) -> Any:
    """Return a dependency that gives the house's implementation of a service interface."""

    def find(connection: HTTPConnection) -> T:
        found: T = connection.app.state.services[kind]
        return found

    return Depends(find)
