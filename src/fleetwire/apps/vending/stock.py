"""Stock: what is in the slots, counted; each change leaves a line in `stock_logs`.

A slot's `reserved_stock` belongs to open orders. It is taken back when an order ends without its
goods, and stays where nobody knows whether they came out: until somebody says so or counts.
"""

from typing import Any, Final

from sqlalchemy import Connection, Row, case, insert, select, update

from fleetwire.apps.vending.errors import RefusedError, StaleError
from fleetwire.apps.vending.tables import (
    dispense_logs,
    machines,
    order_items,
    orders,
    products,
    slots,
    stock_logs,
)
from fleetwire.kit import NotFoundError
from fleetwire.kit.transaction import Transaction

DISPENSE: Final = "DISPENSE"
LEVEL: Final = "LEVEL"
SAME_WITHIN_US: Final = 5_000_000
LOW_SHARE: Final = 0.3  # of the capacity

# Units of ten, as machines say it.
LEVELS: Final = {"FULL": 10, "HIGH": 8, "MEDIUM": 5, "LOW": 2, "EMPTY": 0}
_RANKS: Final = {name: rank for rank, name in enumerate(reversed(LEVELS))}


def available(slot: Row[Any]) -> int:
    """Return how many units of a slot may be sold."""
    return max(0, int(slot.current_stock) - int(slot.reserved_stock))


def reserve(tx: Transaction, slot_id: int, quantity: int, now: int) -> bool:
    """Set units aside for an order; False if there are not so many."""
    done = tx.execute(
        update(slots)
        .where(
            slots.c.id == slot_id,
            slots.c.is_active.is_(True),
            slots.c.current_stock - slots.c.reserved_stock >= quantity,
        )
        .values(reserved_stock=slots.c.reserved_stock + quantity, updated_at=now)
    )
    return done.rowcount == 1


def release(tx: Transaction, slot_id: int, quantity: int, now: int) -> None:
    """Give back units that were set aside."""
    tx.execute(
        update(slots)
        .where(slots.c.id == slot_id)
        .values(reserved_stock=_less(slots.c.reserved_stock, quantity), updated_at=now)
    )


def release_item(tx: Transaction, item: Row[Any], now: int) -> None:
    """Give back what an item of an order still has set aside."""
    if item.reserved_quantity:
        release(tx, item.slot_id, item.reserved_quantity, now)
        tx.execute(
            update(order_items).where(order_items.c.id == item.id).values(reserved_quantity=0)
        )


def take(tx: Transaction, item: Row[Any], units: int, order: Row[Any], by: str, now: int) -> None:
    """Note that so many units of an item have come out of its slot."""
    slot = tx.execute(select(slots).where(slots.c.id == item.slot_id)).one_or_none()
    if slot is None:
        return
    after = max(0, slot.current_stock - units)
    tx.execute(
        update(slots).where(slots.c.id == slot.id).values(current_stock=after, updated_at=now)
    )
    _log(tx, slot, DISPENSE, after, f"order {order.id}", by, now, order_id=order.id)


def change(
    tx: Transaction,
    organization_id: int,
    slot_id: int,
    change_type: str,
    quantity: int,
    *,
    reason: str,
    by: str,
    now: int,
    expected: int | None = None,
) -> dict[str, Any]:
    """Carry out what a person did at the slot, and return what it is now.

    RESTOCK puts units in, REMOVE takes them out, AUDIT and MANUAL_ADJUST say how many there are.
    The same within five seconds is done once. Raises NotFoundError, StaleError, RefusedError.
    """
    slot = tx.execute(
        select(slots)
        .join(machines, machines.c.id == slots.c.machine_id)
        .where(slots.c.id == slot_id, machines.c.organization_id == organization_id)
    ).one_or_none()
    if slot is None:
        raise NotFoundError("Slot not found", field="slot_id")
    line = tx.execute(
        select(stock_logs)
        .where(
            stock_logs.c.slot_id == slot_id,
            stock_logs.c.change_type == change_type,
            stock_logs.c.reason == reason,
            stock_logs.c.performed_by == by,
            stock_logs.c.created_at > now - SAME_WITHIN_US,
        )
        .order_by(stock_logs.c.id.desc())
        .limit(1)
    ).one_or_none()
    if line is not None and _asked(line, change_type) == quantity:
        return _changed(slot, line.quantity_before, line.quantity_after, is_duplicate=True)
    if expected is not None and expected != slot.current_stock:
        raise StaleError("The stock has changed meanwhile", slot.current_stock)
    after = quantity
    if change_type == "RESTOCK":
        after = slot.current_stock + quantity
    elif change_type == "REMOVE":
        after = slot.current_stock - quantity
    if not 0 <= after <= slot.capacity:
        raise RefusedError(
            f"The slot holds 0 to {slot.capacity} units",
            field="quantity",
            current_stock=slot.current_stock,
            capacity=slot.capacity,
        )
    if change_type == "AUDIT":
        _settle_unknown(tx, slot, now)
    tx.execute(
        update(slots).where(slots.c.id == slot_id).values(current_stock=after, updated_at=now)
    )
    _log(tx, slot, change_type, after, reason, by, now)
    return _changed(slot, slot.current_stock, after, is_duplicate=False)


def set_by_level(tx: Transaction, slot: Row[Any], level: str, now: int) -> None:
    """Let the machine's word be the count, for machines of `stock_source` level."""
    _settle_unknown(tx, slot, now)
    after = round(LEVELS[level] * slot.capacity / 10)
    if after == slot.current_stock:
        return
    tx.execute(
        update(slots).where(slots.c.id == slot.id).values(current_stock=after, updated_at=now)
    )
    _log(tx, slot, LEVEL, after, f"the machine says {level}", "machine", now)


def level_of(stock: int, capacity: int) -> str:
    """Return how full a slot is, in the machines' words."""
    share = stock / capacity if capacity else 0.0
    if stock <= 0:
        return "EMPTY"
    if share <= LOW_SHARE:
        return "LOW"
    if share <= 0.65:
        return "MEDIUM"
    return "HIGH" if share < 0.9 else "FULL"


def contradicts(level: str, stock: int, capacity: int) -> bool:
    """Say whether the machine's word and the count cannot both be right.

    Neighbouring levels can: a sensor sees a height, not a number. Empty has no neighbour.
    """
    counted = level_of(stock, capacity)
    if (level == "EMPTY") != (counted == "EMPTY"):
        return True
    return abs(_RANKS[level] - _RANKS[counted]) > 1


def of_machine(connection: Connection, machine_id: str) -> dict[str, Any]:
    """Return a machine's slots with what is in them, and the sum of it."""
    rows = connection.execute(
        select(slots, products.c.name.label("product_name"), products.c.image_url)
        .outerjoin(products, products.c.id == slots.c.product_id)
        .where(slots.c.machine_id == machine_id)
        .order_by(slots.c.slot_number)
    ).all()
    shown = [
        {
            "slot_id": row.id,
            "slot_number": row.slot_number,
            "current_stock": row.current_stock,
            "reserved_stock": row.reserved_stock,
            "capacity": row.capacity,
            "is_active": row.is_active,
            "product_id": row.product_id,
            "product_name": row.product_name,
            "image_url": row.image_url,
            "stock_percentage": round(100 * row.current_stock / row.capacity)
            if row.capacity
            else 0,
            "stock_level": level_of(row.current_stock, row.capacity),
            "reported_level": row.level,
        }
        for row in rows
    ]
    levels = [each["stock_level"] for each in shown]
    return {
        "machine_id": machine_id,
        "summary": {
            "total_slots": len(shown),
            "empty_slots": levels.count("EMPTY"),
            "low_stock_slots": levels.count("LOW"),
            "active_slots": sum(1 for each in shown if each["is_active"]),
        },
        "slots": shown,
    }


def _settle_unknown(tx: Transaction, slot: Row[Any], now: int) -> None:
    """Somebody has counted: what nobody knew of attempts that ended is in that number."""
    ended = select(orders.c.id).where(orders.c.status.in_(("FAILED", "PARTIAL", "REFUNDED")))
    unknown = tx.execute(
        select(order_items).where(
            order_items.c.slot_id == slot.id,
            order_items.c.reserved_quantity > 0,
            order_items.c.order_id.in_(ended),
        )
    ).all()
    for item in unknown:
        release_item(tx, item, now)
    tx.execute(
        update(dispense_logs)
        .where(
            dispense_logs.c.machine_id == slot.machine_id,
            dispense_logs.c.slot_number == slot.slot_number,
            dispense_logs.c.completed_at.is_not(None),
            dispense_logs.c.result_at.is_(None),
        )
        .values(stock_taken=True)
    )


def _log(
    tx: Transaction,
    slot: Row[Any],
    change_type: str,
    after: int,
    reason: str,
    by: str,
    now: int,
    *,
    order_id: str | None = None,
) -> None:
    tx.execute(
        insert(stock_logs).values(
            machine_id=slot.machine_id,
            slot_id=slot.id,
            slot_number=slot.slot_number,
            order_id=order_id,
            change_type=change_type,
            quantity_before=slot.current_stock,
            quantity_after=after,
            quantity_change=after - slot.current_stock,
            reason=reason,
            performed_by=by,
            created_at=now,
        )
    )


def _asked(line: Row[Any], change_type: str) -> int:
    if change_type == "RESTOCK":
        return int(line.quantity_change)
    return int(-line.quantity_change if change_type == "REMOVE" else line.quantity_after)


def _changed(slot: Row[Any], before: int, after: int, *, is_duplicate: bool) -> dict[str, Any]:
    return {
        "success": True,
        "slot_id": slot.id,
        "machine_id": slot.machine_id,
        "slot_number": slot.slot_number,
        "quantity_before": before,
        "quantity_after": after,
        "current_stock": after,
        "capacity": slot.capacity,
        "is_duplicate": is_duplicate,
    }


def _less(column: Any, quantity: int) -> Any:
    """Return the column less so many, never below nothing."""
    return case((column > quantity, column - quantity), else_=0)
