"""HTTP: orders. Whoever knows an order's id may see it; it cannot be guessed."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.apps.vending import machines, orders, states
from fleetwire.apps.vending.endpoints.depends import (
    ORDERS_PER_MINUTE,
    PER_MINUTE,
    READ,
    Limit,
    Offset,
    TheStore,
    require_machine,
    scope_of,
)
from fleetwire.apps.vending.endpoints.lenient import LenientRoute
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.shop import Shop
from fleetwire.kit import Asks, Visitor, open_to_all

Method = Literal["qris", "va", "gopay", "shopeepay"]
Phone = Annotated[str | None, Field(max_length=32, pattern=r"^[0-9+() -]*$")]
SlotId = Annotated[int, Field(ge=1, le=2**53)]
Quantity = Annotated[int, Field(ge=1, le=10)]
OrderId = Annotated[str, Path(min_length=1, max_length=40)]
MachineId = Annotated[str, Path(min_length=1, max_length=128)]

_ONE: dict[str, Any] = {"slot_id": 1, "quantity": 1, "payment_method": "qris"}
_MANY: dict[str, Any] = {
    "items": [{"slot_id": 1, "quantity": 1}, {"slot_id": 2, "quantity": 2}],
    "payment_method": "gopay",
}


class NewOrder(BaseModel):
    """One product, so many times."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ONE]})

    slot_id: SlotId
    quantity: Quantity = 1
    customer_phone: Phone = None
    payment_method: Method


class Item(BaseModel):
    """A slot, so many times."""

    slot_id: SlotId
    quantity: Quantity = 1


class NewOrderOfMany(BaseModel):
    """Several products of one machine."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MANY]})

    items: list[Item] = Field(min_length=1, max_length=10)
    customer_phone: Phone = None
    payment_method: Method


_CREATED: dict[int | str, dict[str, Any]] = {
    400: {"description": "There are not so many, or a value does not fit"},
    404: {"description": "No such slot sells anything"},
    502: {"description": "The payment gateway failed"},
}


def routes(the_shop: Any) -> APIRouter:
    """Return the routes."""
    router = APIRouter(route_class=LenientRoute, prefix="/api/orders", tags=["orders"])
    creating = [open_to_all(per_minute=ORDERS_PER_MINUTE)]

    @router.post("", status_code=201, dependencies=creating, responses=_CREATED)
    async def create_order(
        visitor: Visitor, body: NewOrder, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Order, with the stock set aside for 15 minutes; the answer says how to pay."""
        return await shop.open_order(
            [(body.slot_id, body.quantity)], body.payment_method, body.customer_phone
        )

    @router.post("/multi", status_code=201, dependencies=creating, responses=_CREATED)
    async def create_order_of_many(
        visitor: Visitor, body: NewOrderOfMany, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Order several products of one machine at once."""
        wanted = [(item.slot_id, item.quantity) for item in body.items]
        return await shop.open_order(wanted, body.payment_method, body.customer_phone)

    @router.get("/machine/{machine_id}")
    async def list_orders(
        caller: Asks,
        machine_id: MachineId,
        store: TheStore,
        status: Annotated[str | None, Query(max_length=20)] = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> dict[str, Any]:
        """List a machine's orders, newest first."""
        require_machine(caller, machine_id, READ)
        if status is not None and status.upper() not in states.ALL:
            raise RefusedError(f"status must be one of {', '.join(sorted(states.ALL))}")

        def work(connection: Any) -> dict[str, Any]:
            machines.find(connection, caller.organization_id, machine_id)
            return orders.of_machine(
                connection,
                machine_id,
                status=None if status is None else status.upper(),
                limit=limit,
                offset=offset,
            )

        return await store.read(work)

    @router.get("/{order_id}", dependencies=[open_to_all(per_minute=PER_MINUTE)])
    async def read_order(
        visitor: Visitor, order_id: OrderId, shop: Annotated[Shop, the_shop]
    ) -> dict[str, Any]:
        """Return an order."""
        return await shop.order(order_id, scope_of(visitor))

    return router
