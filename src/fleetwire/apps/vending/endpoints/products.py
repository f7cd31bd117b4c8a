"""HTTP: products. Reading is open, since kiosks have no login."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.apps.vending import products
from fleetwire.apps.vending.endpoints.depends import MANAGE, PER_MINUTE, TheMode, TheStore
from fleetwire.apps.vending.endpoints.lenient import LenientRoute
from fleetwire.kit import Asks, Caller, Mode, Store, Visitor, open_to_all
from fleetwire.kit.instants import now

Price = Annotated[int, Field(ge=0, le=10**12, description="Of the smallest unit: rupiah")]
ProductId = Annotated[int, Path(ge=1, le=2**53)]
MachineId = Annotated[str | None, Query(min_length=1, max_length=128)]

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


router = APIRouter(route_class=LenientRoute, prefix="/api/products", tags=["products"])
_OPEN = [open_to_all(per_minute=PER_MINUTE)]


@router.get("", dependencies=_OPEN)
async def list_products(
    visitor: Visitor, store: TheStore, mode: TheMode, machine_id: MachineId = None
) -> dict[str, Any]:
    """List the products that are sold, with their slots."""
    return await _offered(visitor, store, mode, machine_id)


@router.get("/all", dependencies=_OPEN)
async def list_all_products(
    visitor: Visitor, store: TheStore, mode: TheMode, machine_id: MachineId = None
) -> dict[str, Any]:
    """List all products, also those that are not sold now."""
    return await _offered(visitor, store, mode, machine_id, with_inactive=True)


@router.get("/available", dependencies=_OPEN)
async def list_available_products(
    visitor: Visitor, store: TheStore, mode: TheMode, machine_id: MachineId = None
) -> dict[str, Any]:
    """List what can be bought at this moment."""
    return await _offered(visitor, store, mode, machine_id, only_available=True)


@router.post("", status_code=201)
async def create_product(caller: Asks, body: NewProduct, store: TheStore) -> dict[str, Any]:
    """Add a product."""
    caller.require(MANAGE)
    organization_id = caller.organization_id
    product_id = await store.write(
        lambda tx: products.create(tx, organization_id, body.model_dump(), now())
    )
    return await _one(store, caller, product_id)


@router.put("/{product_id}")
async def change_product(
    caller: Asks, product_id: ProductId, body: ProductChange, store: TheStore
) -> dict[str, Any]:
    """Change a product; open orders keep the price they were made with."""
    caller.require(MANAGE)
    values = {
        name: value
        for name, value in body.model_dump(exclude_unset=True).items()
        if value is not None or name in ("image_url", "category")
    }
    await store.write(
        lambda tx: products.change(tx, caller.organization_id, product_id, values, now())
    )
    return await _one(store, caller, product_id)


@router.delete("/{product_id}")
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


async def _one(store: Store, caller: Caller, product_id: int) -> dict[str, Any]:
    found = await store.read(
        lambda connection: products.find(connection, caller.organization_id, product_id)
    )
    return {"success": True, "data": found, "product": found}
