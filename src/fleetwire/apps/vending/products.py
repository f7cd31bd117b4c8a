"""Products: what the organisation sells, and in which slots of its machines."""

from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from fleetwire.apps.vending.tables import machines, products, slots
from fleetwire.kit import NotFoundError
from fleetwire.kit.instants import iso
from fleetwire.kit.transaction import Transaction


def organization_of(connection: Connection, machine_id: str | None, default: int) -> int:
    """Return whose products are shown to somebody without credentials: his machine's owner's."""
    if machine_id is None:
        return default
    found = connection.execute(
        select(machines.c.organization_id).where(machines.c.id == machine_id)
    ).scalar()
    if found is None:
        raise NotFoundError("Machine not found", field="machine_id")
    return int(found)


def offered(
    connection: Connection,
    organization_id: int,
    machine_id: str | None,
    *,
    with_inactive: bool = False,
    only_available: bool = False,
) -> list[dict[str, Any]]:
    """Return products with the slots they are in; one in no slot stands once, without."""
    held = slots.c.product_id == products.c.id
    if not with_inactive:
        held &= slots.c.is_active.is_(True)
    if machine_id is not None:
        held &= slots.c.machine_id == machine_id
    is_inner = machine_id is not None or only_available
    query = (
        select(
            products,
            slots.c.id.label("slot_id"),
            slots.c.slot_number,
            slots.c.machine_id,
            slots.c.current_stock,
            slots.c.reserved_stock,
            func.coalesce(slots.c.price_override, products.c.price).label("final_price"),
        )
        .select_from(products.join(slots, held, isouter=not is_inner))
        .where(products.c.organization_id == organization_id)
        .order_by(slots.c.machine_id, slots.c.slot_number, products.c.id)
        .limit(2000)
    )
    if not with_inactive:
        query = query.where(products.c.is_active.is_(True))
    if only_available:
        query = query.where(slots.c.current_stock > slots.c.reserved_stock)
    return [_shown(row) for row in connection.execute(query).mappings()]


def create(tx: Transaction, organization_id: int, values: dict[str, Any], now: int) -> int:
    """Store a product and return its id."""
    done = tx.execute(
        insert(products).values(
            organization_id=organization_id, created_at=now, updated_at=now, **values
        )
    )
    assert done.inserted_primary_key is not None
    return int(done.inserted_primary_key[0])


def change(
    tx: Transaction, organization_id: int, product_id: int, values: dict[str, Any], now: int
) -> None:
    """Change what is given. Raises NotFoundError."""
    done = tx.execute(
        update(products)
        .where(products.c.id == product_id, products.c.organization_id == organization_id)
        .values(updated_at=now, **values)
    )
    if not done.rowcount:
        raise NotFoundError("Product not found", field="id")


def remove(tx: Transaction, organization_id: int, product_id: int) -> None:
    """Remove a product; orders keep its name and price. Raises NotFoundError."""
    tx.execute(update(slots).where(slots.c.product_id == product_id).values(product_id=None))
    done = tx.execute(
        delete(products).where(
            products.c.id == product_id, products.c.organization_id == organization_id
        )
    )
    if not done.rowcount:
        raise NotFoundError("Product not found", field="id")


def find(connection: Connection, organization_id: int, product_id: int) -> dict[str, Any]:
    """Return a product. Raises NotFoundError."""
    row = (
        connection.execute(
            select(products).where(
                products.c.id == product_id, products.c.organization_id == organization_id
            )
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFoundError("Product not found", field="id")
    return _shown(row)


def _shown(row: Any) -> dict[str, Any]:
    shown = {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "price": row["price"],
        "image_url": row["image_url"],
        "category": row["category"],
        "is_active": row["is_active"],
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }
    if "slot_id" not in row:
        return shown
    has_slot = row["slot_id"] is not None
    return shown | {
        "slot_id": row["slot_id"],
        "slot_number": row["slot_number"],
        "machine_id": row["machine_id"],
        "current_stock": row["current_stock"],
        "available_stock": max(0, row["current_stock"] - row["reserved_stock"])
        if has_slot
        else None,
        "final_price": row["final_price"],
    }
