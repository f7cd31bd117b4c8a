"""HTTP: goods: products, which anybody may read since kiosks have no login, and their stock."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from fleetwire.apps.vending import machines, products, stock
from fleetwire.apps.vending.endpoints.common import (
    MANAGE,
    OPERATE,
    PER_MINUTE,
    READ,
    LenientRoute,
    Limit,
    MachineId,
    Offset,
    TheAudit,
    TheClock,
    TheIntake,
    TheMode,
    TheStore,
    require_machine,
)
from fleetwire.apps.vending.endpoints.telemetry import send
from fleetwire.apps.vending.tables import stock_logs
from fleetwire.kit import Asks, Caller, Mode, Store, Visitor, open_to_all
from fleetwire.kit.instants import iso

Price = Annotated[int, Field(ge=0, le=10**12, description="Of the smallest unit: rupiah")]
ProductId = Annotated[int, Path(ge=1, le=2**53)]
OfMachine = Annotated[str | None, Query(min_length=1, max_length=128)]

_EXAMPLE: dict[str, Any] = {"name": "Mineral water 600 ml", "price": 5000, "category": "drinks"}


class NewProduct(BaseModel):
    """A product."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: str = Field(min_length=1, max_length=128)
    description: str = Field("", max_length=2000)
    price: Price
    image_url: str | None = Field(None, max_length=500)
    category: str | None = Field(None, max_length=64)
    is_active: bool = True


class ProductChange(BaseModel):
    """What is given replaces what was."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"price": 6000}]})

    name: str | None = Field(None, min_length=1, max_length=128)
    description: str | None = Field(None, max_length=2000)
    price: Price | None = None
    image_url: str | None = Field(None, max_length=500)
    category: str | None = Field(None, max_length=64)
    is_active: bool | None = None


products_router = APIRouter(route_class=LenientRoute, prefix="/api/products", tags=["products"])
_OPEN = [open_to_all(per_minute=PER_MINUTE)]


@products_router.get("", dependencies=_OPEN)
async def list_products(
    visitor: Visitor, store: TheStore, mode: TheMode, machine_id: OfMachine = None
) -> dict[str, Any]:
    """List the products that are sold, with their slots."""
    return await _offered(visitor, store, mode, machine_id)


@products_router.get("/all", dependencies=_OPEN)
async def list_all_products(
    visitor: Visitor, store: TheStore, mode: TheMode, machine_id: OfMachine = None
) -> dict[str, Any]:
    """List all products, also those that are not sold now."""
    return await _offered(visitor, store, mode, machine_id, with_inactive=True)


@products_router.get("/available", dependencies=_OPEN)
async def list_available_products(
    visitor: Visitor, store: TheStore, mode: TheMode, machine_id: OfMachine = None
) -> dict[str, Any]:
    """List what can be bought at this moment."""
    return await _offered(visitor, store, mode, machine_id, only_available=True)


@products_router.post("", status_code=201)
async def create_product(
    caller: Asks, body: NewProduct, store: TheStore, clock: TheClock
) -> dict[str, Any]:
    """Add a product."""
    caller.require(MANAGE)
    organization_id = caller.organization_id
    product_id = await store.write(
        lambda tx: products.create(tx, organization_id, body.model_dump(), clock.now())
    )
    return await _product(store, caller, product_id)


@products_router.put("/{product_id}")
async def change_product(
    caller: Asks, product_id: ProductId, body: ProductChange, store: TheStore, clock: TheClock
) -> dict[str, Any]:
    """Change a product; open orders keep the price they were made with."""
    caller.require(MANAGE)
    values = {
        name: value
        for name, value in body.model_dump(exclude_unset=True).items()
        if value is not None or name in ("image_url", "category")
    }
    await store.write(
        lambda tx: products.change(tx, caller.organization_id, product_id, values, clock.now())
    )
    return await _product(store, caller, product_id)


@products_router.delete("/{product_id}")
async def delete_product(caller: Asks, product_id: ProductId, store: TheStore) -> dict[str, Any]:
    """Remove a product; its slots are empty of a product then."""
    caller.require(MANAGE)
    await store.write(lambda tx: products.remove(tx, caller.organization_id, product_id))
    return {"success": True, "id": product_id}


async def _offered(
    visitor: Caller,
    store: Store,
    mode: Mode,
    machine_id: str | None,
    *,
    with_inactive: bool = False,
    only_available: bool = False,
) -> dict[str, Any]:
    def work(connection: Any) -> list[dict[str, Any]]:
        organization_id = visitor.organization_id
        if visitor.is_anonymous:
            organization_id = products.organization_of(connection, machine_id, mode.organization_id)
        return products.offered(
            connection,
            organization_id,
            machine_id,
            with_inactive=with_inactive,
            only_available=only_available,
        )

    found = await store.read(work)
    return {"success": True, "data": found, "products": found, "count": len(found)}


async def _product(store: Store, caller: Caller, product_id: int) -> dict[str, Any]:
    found = await store.read(
        lambda connection: products.find(connection, caller.organization_id, product_id)
    )
    return {"success": True, "data": found, "product": found}


class StockChange(BaseModel):
    """What somebody did at a slot: RESTOCK adds, REMOVE takes out, the others say how many are in.

    With `expected_current_stock` it is done only if the slot is as the caller believes.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"slot_id": 1, "quantity": 5, "change_type": "RESTOCK", "reason": "Monday round"}
            ]
        }
    )

    slot_id: int = Field(ge=1, le=2**53)
    quantity: int = Field(ge=0, le=100_000)
    change_type: Literal["RESTOCK", "MANUAL_ADJUST", "AUDIT", "REMOVE"]
    reason: str = Field("", max_length=200)
    expected_current_stock: int | None = Field(None, ge=0, le=100_000)
    performed_by: str | None = Field(None, max_length=100)


class SlotLevel(BaseModel):
    """How full a slot is."""

    slot_number: int = Field(ge=0, le=10_000)
    level: Literal["FULL", "HIGH", "MEDIUM", "LOW", "EMPTY"]


class StockReport(BaseModel):
    """What the machine's sensors see of its slots."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"slots": [{"slot_number": 1, "level": "LOW"}]}]}
    )

    slots: list[SlotLevel] = Field(min_length=1, max_length=100)


stock_router = APIRouter(route_class=LenientRoute, prefix="/api/stock", tags=["stock"])


@stock_router.post(
    "/update",
    responses={
        400: {"description": "The slot does not hold so many"},
        404: {"description": "No such slot"},
        409: {"description": "The stock is not the expected one; `current_stock` says what it is"},
    },
)
async def update_stock(
    caller: Asks, body: StockChange, store: TheStore, audit: TheAudit, clock: TheClock
) -> dict[str, Any]:
    """Change the count of a slot. The same within five seconds is done once."""
    caller.require(OPERATE)
    # Who is signed in stands beside the name that a client gives.
    by = caller.actor if not body.performed_by else f"{caller.actor} ({body.performed_by})"
    changed = await store.write(
        lambda tx: stock.change(
            tx,
            caller.organization_id,
            body.slot_id,
            body.change_type,
            body.quantity,
            reason=body.reason,
            by=by[:128],
            now=clock.now(),
            expected=body.expected_current_stock,
        )
    )
    if not changed["is_duplicate"]:
        detail = {"type": body.change_type, "after": changed["current_stock"]}
        await audit.record(caller, "stock.update", f"slot:{body.slot_id}", detail=detail)
    return changed


@stock_router.post("/report/{machine_id}", responses={400: {"description": "It was refused"}})
async def report_stock(
    caller: Asks,
    machine_id: MachineId,
    body: StockReport,
    store: TheStore,
    intake: TheIntake,
    audit: TheAudit,
) -> dict[str, Any]:
    """Say how full the slots are, as the machine's telemetry does."""
    levels = [{"id": each.slot_number, "level": each.level} for each in body.slots]
    await send(store, intake, audit, caller, machine_id, json.dumps({"slots": levels}))
    return await read_stock(caller, machine_id, store)


@stock_router.get("/logs/{machine_id}")
async def list_stock_logs(
    caller: Asks, machine_id: MachineId, store: TheStore, limit: Limit = 50, offset: Offset = 0
) -> dict[str, Any]:
    """List the changes of a machine's stock, newest first."""
    require_machine(caller, machine_id, READ)

    def work(connection: Any) -> dict[str, Any]:
        machines.find(connection, caller.organization_id, machine_id)
        own = stock_logs.c.machine_id == machine_id
        total = connection.execute(
            select(func.count()).select_from(stock_logs).where(own)
        ).scalar_one()
        rows = connection.execute(
            select(stock_logs)
            .where(own)
            .order_by(stock_logs.c.created_at.desc(), stock_logs.c.id.desc())
            .limit(limit)
            .offset(offset)
        ).mappings()
        logs = [{**row, "created_at": iso(row["created_at"])} for row in rows]
        return {"logs": logs, "total": total, "limit": limit, "offset": offset}

    return await store.read(work)


@stock_router.get("/{machine_id}")
async def read_stock(caller: Asks, machine_id: MachineId, store: TheStore) -> dict[str, Any]:
    """Return what is in a machine's slots."""
    require_machine(caller, machine_id, READ)

    def work(connection: Any) -> dict[str, Any]:
        machines.find(connection, caller.organization_id, machine_id)
        return stock.of_machine(connection, machine_id)

    return await store.read(work)
