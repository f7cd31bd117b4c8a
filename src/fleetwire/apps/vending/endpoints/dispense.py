"""HTTP: dispensing. In development these need no credentials on the house's own machine."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from fleetwire.apps.vending import attempts, dispensing, machines, orders
from fleetwire.apps.vending.attempts import Outcome
from fleetwire.apps.vending.endpoints.common import (
    OPERATE,
    READ,
    LenientRoute,
    Limit,
    MachineId,
    Offset,
    OrderId,
    TheHealth,
    TheStore,
    require_machine,
)
from fleetwire.apps.vending.errors import UnavailableError
from fleetwire.apps.vending.shop import Shop
from fleetwire.apps.vending.states import PENDING_DISPENSE
from fleetwire.apps.vending.tables import dispense_logs
from fleetwire.kit import AsksOrDevelops, Caller, ForbiddenError, Health


class Trigger(BaseModel):
    """A paid order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"order_id": "test-order-123"}]})

    order_id: str = Field(min_length=1, max_length=40)


class Confirmation(BaseModel):
    """What came of an attempt, as somebody saw it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "order_id": "test-order-123",
                    "slot_number": 1,
                    "success": True,
                    "drop_detected": True,
                    "duration_ms": 1850,
                }
            ]
        }
    )

    order_id: str = Field(min_length=1, max_length=40)
    slot_number: int | None = Field(None, ge=0, le=10_000)
    success: bool
    drop_detected: bool | None = None
    dropped: int | None = Field(None, ge=0, le=1000, description="Units, of an item of several")
    duration_ms: int | None = Field(None, ge=0, le=3_600_000)
    error_message: str | None = Field(None, max_length=200)


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The order is not in a state for it; `status` says which it is in"},
    404: {"description": "No such order"},
    429: {"description": "The machine has too many open commands"},
    503: {"description": "The broker is away; the order is PENDING_DISPENSE"},
}


def routes(the_shop: Any) -> APIRouter:
    """Return the routes."""
    router = APIRouter(route_class=LenientRoute, prefix="/api/dispense", tags=["dispensing"])

    @router.post("/trigger", responses=_REFUSALS)
    async def trigger(
        caller: AsksOrDevelops, body: Trigger, shop: Annotated[Shop, the_shop], health: TheHealth
    ) -> dict[str, Any]:
        """Dispense a paid order, once, however often this is called."""
        answer = await _trigger(shop, health, caller, body.order_id)
        return {**answer, "command": answer["commands"][0]}

    @router.post("/multi", responses=_REFUSALS)
    async def trigger_many(
        caller: AsksOrDevelops, body: Trigger, shop: Annotated[Shop, the_shop], health: TheHealth
    ) -> dict[str, Any]:
        """Dispense all items of a paid order."""
        answer = await _trigger(shop, health, caller, body.order_id)
        return {**answer, "total_items": len(answer["commands"])}

    @router.post("/retry", responses=_REFUSALS)
    async def retry(
        caller: AsksOrDevelops, body: Trigger, shop: Annotated[Shop, the_shop], health: TheHealth
    ) -> dict[str, Any]:
        """Try what has failed of an order once more, as a new attempt."""
        return await _trigger(shop, health, caller, body.order_id, again=True)

    @router.post("/confirm", responses={404: {"description": "Nothing of it was dispensed"}})
    async def confirm(
        caller: AsksOrDevelops, body: Confirmation, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Say what came of an attempt, where the machine did not."""
        order = await shop.order(body.order_id, caller.organization_id)
        await _require(shop, caller, order, "dispense.confirm")
        outcome = Outcome(
            body.order_id,
            body.success,
            drop_detected=body.drop_detected,
            dropped=body.dropped,
            slot_number=body.slot_number,
            duration_ms=body.duration_ms,
            error=body.error_message,
        )
        await shop.take_result(outcome, caller.actor, caller.organization_id)
        order = await shop.order(body.order_id)
        return {"success": True, "order_id": body.order_id, "status": order["status"]}

    @router.get("/status/{order_id}")
    async def read_status(
        caller: AsksOrDevelops, order_id: OrderId, store: TheStore
    ) -> dict[str, Any]:
        """Return an order with its attempts."""

        def work(connection: Any) -> dict[str, Any]:
            order = orders.find(connection, order_id, caller.organization_id)
            require_machine(caller, order.machine_id, READ)
            shown = orders.shown(order, orders.items_of(connection, order_id))
            logs = [attempts.shown(log) for log in dispensing.attempts_of(connection, order_id)]
            return {**shown, "attempts": logs, "dispense_log": logs[-1] if logs else None}

        return await store.read(work)

    @router.get("/logs/{machine_id}")
    async def list_logs(
        caller: AsksOrDevelops,
        machine_id: MachineId,
        store: TheStore,
        limit: Limit = 50,
        offset: Offset = 0,
        unconfirmed: bool = False,
    ) -> dict[str, Any]:
        """List a machine's attempts, newest first.

        `unconfirmed=true`: those of which nobody has said what came of them. Somebody looks, and
        says it to `/api/dispense/confirm`.
        """
        require_machine(caller, machine_id, READ)

        def work(connection: Any) -> dict[str, Any]:
            machines.find(connection, caller.organization_id, machine_id)
            own = dispense_logs.c.machine_id == machine_id
            if unconfirmed:
                own &= dispensing.UNCONFIRMED
            total = connection.execute(
                select(func.count()).select_from(dispense_logs).where(own)
            ).scalar_one()
            rows = connection.execute(
                select(dispense_logs)
                .where(own)
                .order_by(dispense_logs.c.created_at.desc(), dispense_logs.c.id.desc())
                .limit(limit)
                .offset(offset)
            )
            logs = [attempts.shown(row) for row in rows]
            return {"logs": logs, "total": total, "limit": limit, "offset": offset}

        return await store.read(work)

    return router


async def _require(shop: Shop, caller: Caller, order: dict[str, Any], action: str) -> None:
    """Who may not is refused, and that is put on record. A retry is a person's decision."""
    try:
        if action == "dispense.retry":
            caller.require(OPERATE)
        else:
            require_machine(caller, order["machine_id"], OPERATE)
    except ForbiddenError:
        await shop.audit.record(caller, action, f"order:{order['order_id']}", outcome="refused")
        raise


async def _trigger(
    shop: Shop, health: Health, caller: Caller, order_id: str, *, again: bool = False
) -> dict[str, Any]:
    order = await shop.order(order_id, caller.organization_id)
    await _require(shop, caller, order, "dispense.retry" if again else "dispense.trigger")
    commands = await shop.trigger(
        order_id, caller.actor, organization_id=caller.organization_id, again=again
    )
    order = await shop.once_sent(order_id)
    waits = order["status"] == PENDING_DISPENSE
    if waits and not health.is_connected():
        raise UnavailableError(
            "The broker is away; it is dispensed when it returns",
            order_id=order_id,
            status=order["status"],
        )
    return {
        "order_id": order_id,
        "slot_number": commands[0]["slot"],
        "commands": commands,
        "status": order["status"],
        "message": "The machine is away; it is dispensed when it returns"
        if waits
        else "Dispense command sent",
    }
