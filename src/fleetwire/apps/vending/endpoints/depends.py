"""What the routes have in common: the shop, who may what, and parts of lists."""

from typing import Annotated, Any

from fastapi import Depends, Query

from fleetwire.apps.vending.gateways import Gateway
from fleetwire.apps.vending.shop import Shop
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import (
    Audit,
    Caller,
    Commands,
    Devices,
    ForbiddenError,
    Health,
    Mode,
    NotFoundError,
    Store,
    service,
)

TheStore = Annotated[Store, service(Store)]
TheAudit = Annotated[Audit, service(Audit)]
TheDevices = Annotated[Devices, service(Devices)]
TheMode = Annotated[Mode, service(Mode)]

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
        commands: Annotated[Commands, service(Commands)],
        audit: TheAudit,
        health: Annotated[Health, service(Health)],
        mode: TheMode,
    ) -> Shop:
        return Shop(terms, gateway, store, devices, commands, audit, health, mode)

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
