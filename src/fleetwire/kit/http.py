"""How an app's HTTP and WebSocket routes learn who asks, and reach the services.

    @router.get("/devices/{device_id}")
    async def read(device_id: str, caller: Asks, devices: Annotated[Devices, service(Devices)]): ...

Every route asks for credentials but those that say they are open:

    @router.get("/products", dependencies=[open_to_all(per_minute=120)])
    async def products(visitor: Visitor, ...): ...
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from ipaddress import ip_address
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from fleetwire.kit.audit import Audit
from fleetwire.kit.caller import Caller
from fleetwire.kit.mode import Mode
from fleetwire.kit.people import remote_of

_PLACE = re.compile(r"\{(\w+)\}")
# Headers by which a proxy tells that the request was somebody else's.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")

# For `openapi_extra=` of a POST that creates though it answers 200: it takes an Idempotency-Key.
CREATES: Final = {"x-creates": True}

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Gate(ABC):
    """Finds out who asks.

    The web layer puts one at `app.state.gate`, and the services at `app.state.services`.
    """

    @abstractmethod
    async def caller(self, connection: HTTPConnection) -> Caller:
        """Return the caller by Bearer token (or `?token=` on WebSockets).

        Raises UnauthenticatedError.
        """


class Visits(ABC):
    """Counts who uses open routes. The web layer puts one at `app.state.visits`."""

    @abstractmethod
    def enter(self, remote: str, what: str, per_minute: int) -> None:
        """Count a call from an address. Raises TooManyError, with `retry_after_s`."""

    @abstractmethod
    def stay(self, remote: str, what: str, most: int) -> AbstractContextManager[None]:
        """Count an address for as long as it stays. Raises TooManyError if `most` are there."""


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


def can_answer(*statuses: int) -> Callable[[F], F]:
    """Let the OpenAPI document say of routes with this dependency that they answer these, too."""

    def mark(dependency: F) -> F:
        dependency.answers = statuses  # type: ignore[attr-defined]  # read by the web layer
        return dependency

    return mark


@can_answer(401)
async def who_visits(connection: HTTPConnection) -> Caller:
    """Return the caller of an open route: who he shows that he is, or nobody we know.

    Raises UnauthenticatedError if what he shows is wrong.
    """
    if _shows_credentials(connection):
        return await who_asks(connection)
    return Caller.anonymous(remote_of(connection))


@can_answer(401, 403)
async def who_develops(connection: HTTPConnection) -> Caller:
    """Return the signed-in caller; in development, from this machine, the house for nobody.

    The house then is that of the first organisation. A request that came through a proxy is not
    from this machine, whatever its address. Raises UnauthenticatedError.
    """
    if _shows_credentials(connection) or not is_at_workbench(connection):
        return await who_asks(connection)
    mode: Mode = connection.app.state.services[Mode]
    return Caller.system(mode.organization_id)


Asks = Annotated[Caller, Depends(who_asks)]
Visitor = Annotated[Caller, Depends(who_visits)]
AsksOrDevelops = Annotated[Caller, Depends(who_develops)]


def open_to_all(per_minute: int = 60) -> Any:
    """Return a dependency for a route that is open, so many times a minute from each address.

    Bursts of as many are let through. More is TooManyError (429) with Retry-After.
    """

    @can_answer(429)
    async def enter(connection: HTTPConnection) -> None:
        visits: Visits = connection.app.state.visits
        visits.enter(remote_of(connection), route_of(connection), per_minute)

    return Depends(enter)


def is_at_workbench(connection: HTTPConnection) -> bool:
    """Say whether the house is in development and the request comes from its own machine.

    A page of somebody else's, open in a browser on this machine, is not: its Origin, or the name it
    has found this machine by, says so.
    """
    mode: Mode | None = connection.app.state.services.get(Mode)
    headers = connection.headers
    return (
        mode is not None
        and mode.is_development
        and _is_this_machine(remote_of(connection))
        and _is_this_machine(urlsplit(f"//{headers.get('host', '')}").hostname)
        and ("origin" not in headers or _is_this_machine(urlsplit(headers["origin"]).hostname))
        and not any(name in headers for name in _FORWARDED)
    )


def _is_this_machine(name: str | None) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name or "").is_loopback
    except ValueError:
        return False


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

    # Async, though it waits for nothing: a plain function would be sent to a thread for each call.
    async def find(connection: HTTPConnection) -> T:
        found: T = connection.app.state.services[kind]
        return found

    return Depends(find)


def _shows_credentials(connection: HTTPConnection) -> bool:
    return "authorization" in connection.headers or (
        connection.scope["type"] == "websocket" and "token" in connection.query_params
    )


def route_of(connection: HTTPConnection) -> str:
    """Return the path of the route, with its places unfilled."""
    route = connection.scope.get("route")
    return str(getattr(route, "path", connection.url.path))
