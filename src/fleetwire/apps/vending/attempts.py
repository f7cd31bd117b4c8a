"""Attempts: the steps that beginning, results and time-outs of dispensing have in common."""

from typing import Any, Final

from sqlalchemy import Row, select, update

from fleetwire.apps.vending import orders, states, stock
from fleetwire.apps.vending.tables import order_items, orders as orders_table
from fleetwire.kit import Alarm, Device, Effect, Transaction
from fleetwire.kit.instants import iso

MAX_MESSAGE: Final = 200
_INSTANTS: Final = ("command_sent_at", "started_at", "completed_at", "result_at", "deadline_at")


def shown(log: Row[Any]) -> dict[str, Any]:
    """Return an attempt as the app's routes show it."""
    row = log._mapping
    return {
        "id": log.id,
        "order_id": log.order_id,
        "machine_id": log.machine_id,
        "slot_number": log.slot_number,
        "duration_ms": log.duration_ms,
        "success": log.success,
        "drop_detected": log.drop_detected,
        "error_message": log.error_message,
        "retry_count": log.retry_count,
        "triggered_by": log.triggered_by,
        "command_id": log.command_id,
        **{name: None if row[name] is None else iso(row[name]) for name in _INSTANTS},
    }


def finish(
    tx: Transaction, device: Device | None, order: Row[Any], reason: str, now: int
) -> list[Effect]:
    """Bring the order to its end if nothing of it is open any more."""
    items = orders.items_of(tx.connection, order.id)
    if any(item.dispense_status not in (states.COMPLETED, states.FAILED) for item in items):
        return []
    came_out = sum(1 for item in items if item.dispense_status == states.COMPLETED)
    to = states.PARTIAL
    if came_out == len(items):
        to = states.COMPLETED
    elif not came_out:
        to = states.FAILED
    set_refund(tx, order.id)
    values: dict[str, Any] = {"failure_reason": reason or order.failure_reason}
    if to == states.COMPLETED:
        values = {"failure_reason": None}
    if came_out:
        values["dispensed_at"] = now
    return [*(orders.move(tx, device, order.id, to, now, **values) or [])]


def set_refund(tx: Transaction, order_id: str) -> None:
    """What did not come out is to be paid back, unless that has been done."""
    amount = sum(
        item.total_price
        for item in orders.items_of(tx.connection, order_id)
        if item.dispense_status == states.FAILED
    )
    tx.execute(
        update(orders_table)
        .where(orders_table.c.id == order_id, orders_table.c.refunded_at.is_(None))
        .values(refund_required=amount > 0, refund_amount=amount)
    )


def alarm(device: Device, name: str, order_id: str, message: str) -> Alarm:
    return Alarm(device, name, f"Order {order_id}: {message}", detail={"order_id": order_id})


def item_of(tx: Transaction, item_id: int) -> Row[Any]:
    return tx.execute(select(order_items).where(order_items.c.id == item_id)).one()


def set_item(tx: Transaction, item_id: int, status: str) -> None:
    tx.execute(
        update(order_items).where(order_items.c.id == item_id).values(dispense_status=status)
    )


def release(tx: Transaction, item: Row[Any], now: int) -> None:
    if item.is_reserved:
        stock.release(tx, item.slot_id, item.quantity, now)
        tx.execute(update(order_items).where(order_items.c.id == item.id).values(is_reserved=False))
