"""What the routes have in common: how bodies are read, the shop, who may what, parts of lists."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response
from fastapi.routing import APIRoute

from fleetwire.apps.vending.gateways import Gateway
from fleetwire.apps.vending.shop import Shop
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import (
    Audit,
    Caller,
    Clock,
    Devices,
    ForbiddenError,
    Health,
    Intake,
    Mode,
    NotFoundError,
    Store,
    service,
)

TheStore = Annotated[Store, service(Store)]
TheAudit = Annotated[Audit, service(Audit)]
TheDevices = Annotated[Devices, service(Devices)]
TheClock = Annotated[Clock, service(Clock)]
TheHealth = Annotated[Health, service(Health)]
TheMode = Annotated[Mode, service(Mode)]
TheIntake = Annotated[Intake, service(Intake)]

OrderId = Annotated[str, Path(min_length=1, max_length=40)]
MachineId = Annotated[str, Path(min_length=1, max_length=128)]
Limit = Annotated[int, Query(ge=1, le=500)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]

READ = "device.read"
OPERATE = "command.send"
MANAGE = "device.write"

PER_MINUTE = 300  # a kiosk that asks for its products, and looks at its order once a second
ORDERS_PER_MINUTE = 60
WEBHOOKS_PER_MINUTE = 3000  # a gateway sends for all machines from few addresses


def shop_of(terms: Terms, gateway: Gateway) -> Any:
    """Return the dependency that gives the shop."""

    async def make(
        store: TheStore,
        devices: TheDevices,
        audit: TheAudit,
        mode: TheMode,
        clock: TheClock,
    ) -> Shop:
        return Shop(terms, gateway, store, devices, audit, mode, clock)

    return Depends(make)


def scope_of(visitor: Caller) -> int | None:
    """Return whose things somebody on an open route sees; None = anybody's whose id he knows."""
    return None if visitor.is_anonymous else visitor.organization_id


def require_machine(caller: Caller, machine_id: str, permission: str) -> None:
    """A machine may do this for itself; anybody else needs the permission."""
    if not caller.device_id:
        caller.require(permission)
    elif caller.device_id != machine_id:
        raise ForbiddenError("A machine may speak for itself only.")


def require_known(found: object, what: str) -> None:
    """Raise NotFoundError unless something was changed or found."""
    if not found:
        raise NotFoundError(f"{what} not found")


_FORM = (b"content-type", b"application/x-www-form-urlencoded")
_JSON = (b"content-type", b"application/json")


class LenientRoute(APIRoute):
    """A route of this app."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def take(request: Request) -> Response:
            headers: list[tuple[bytes, bytes]] = request.scope["headers"]
            if not any(name == b"origin" for name, _ in headers):
                scope = dict(request.scope)
                scope["headers"] = [
                    _JSON if (name, value) == _FORM else (name, value) for name, value in headers
                ]
                request = Request(scope, request.receive)
            return await handle(request)

        return take
