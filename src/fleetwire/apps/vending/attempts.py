"""Attempts: what comes of a try to dispense, by what a machine, or a person, says of it.

A result closes the open attempt of its item. If there is none, it is the late word on an attempt
that timed out: what really came out leaves the stock and is not refunded, and the order stays what
it is. What says the same once more changes nothing; what says the opposite is an alarm.

An item of several units is one command and one result. A machine that counts its drops says how
many there were (`dropped`); of any other all came out or none.

Does not: tell two attempts of one item apart by a result that does not say its `attempt`; the open
one is meant then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select, update

from fleetwire.apps.vending import orders, states, stock
from fleetwire.apps.vending.tables import dispense_logs, order_items, orders as orders_table
from fleetwire.kit import Alarm, Answer, Device, Effect, NotFoundError, Transaction
from fleetwire.kit.instants import iso

MAX_MESSAGE: Final = 200
ENDS: Final = (states.COMPLETED, states.PARTIAL, states.FAILED)  # of an item
_INSTANTS: Final = ("command_sent_at", "started_at", "completed_at", "result_at", "deadline_at")


@dataclass(frozen=True)
class Outcome:
    """What is said of an attempt; None = not said. Without item and slot the open one is meant."""

    order_id: str
    success: bool
    drop_detected: bool | None = None
    slot_number: int | None = None
    item_index: int | None = None
    attempt: int | None = None
    dropped: int | None = None
    duration_ms: int | None = None
    error: str | None = None

    def units(self, asked: int) -> int:
        """Return how many of so many units came out. A drop sensor knows better than the motor."""
        if self.dropped is not None:
            return min(self.dropped, asked)
        return asked if self.success and self.drop_detected is not False else 0


def take(tx: Transaction, device: Device, outcome: Outcome, *, by: str, now: int) -> list[Effect]:
    """Take what a machine, or a person, says of an attempt.

    Raises NotFoundError if the machine has no such order, or nothing of it was ever dispensed.
    """
    order = orders.find(tx.connection, outcome.order_id)
    if order.machine_id != device.device_id:
        raise NotFoundError(f"The machine has no order {order.id[:40]!r}", field="orderId")
    attempts = _meant(tx.connection, outcome)
    if not attempts:
        raise NotFoundError("Nothing of this order and slot was to be dispensed", field="slot")
    for log in attempts:
        if log.completed_at is None:
            return _close(tx, device, order, log, outcome, by=by, now=now)
    if any(_says_the_same(log, outcome) for log in attempts):
        return []
    for log in attempts:
        if log.result_at is None:
            return _late(tx, device, order, log, outcome, by=by, now=now)
    latest = attempts[-1]
    if latest.dispensed_quantity == outcome.units(latest.quantity):
        return []
    return [alarm(device, "dispense_contradiction", order.id, "A second result says the opposite")]


def _meant(connection: Connection, outcome: Outcome) -> Sequence[Row[Any]]:
    """Return the attempts that a result may be about, in order: those of one item."""
    query = (
        select(dispense_logs, order_items.c.item_index)
        .join(order_items, order_items.c.id == dispense_logs.c.item_id)
        .where(dispense_logs.c.order_id == outcome.order_id)
        .order_by(dispense_logs.c.id)
    )
    if outcome.slot_number is not None:
        query = query.where(dispense_logs.c.slot_number == outcome.slot_number)
    if outcome.item_index is not None:
        query = query.where(order_items.c.item_index == outcome.item_index)
    if outcome.attempt is not None:
        query = query.where(dispense_logs.c.retry_count == outcome.attempt - 1)
    rows = connection.execute(query).all()
    if outcome.slot_number is not None or outcome.item_index is not None:
        return rows
    waiting = [row for row in rows if row.completed_at is None] or rows
    return [row for row in rows if row.item_id == waiting[0].item_id] if waiting else []


def _close(
    tx: Transaction,
    device: Device,
    order: Row[Any],
    log: Row[Any],
    outcome: Outcome,
    *,
    by: str,
    now: int,
) -> list[Effect]:
    item = item_of(tx, log.item_id)
    units = _write_result(tx, log, outcome, now)
    tx.execute(
        update(dispense_logs)
        .where(dispense_logs.c.id == log.id)
        .values(
            completed_at=now,
            command_sent_at=func.coalesce(dispense_logs.c.command_sent_at, now),
            started_at=func.coalesce(dispense_logs.c.started_at, now),
        )
    )
    came_out = units == log.quantity
    effects: list[Effect] = [Answer(device, log.command_id, came_out, outcome.error or None)]
    stock.release_item(tx, item, now)
    if units:
        stock.take(tx, item, units, order, by, now)
    add_units(tx, item, units)
    reason = ""
    if not came_out:
        reason = _reason(outcome, units)
        what = f"Slot {item.slot_number}: {reason}"
        effects.append(alarm(device, "dispense_failed", order.id, what))
    return [*effects, *finish(tx, device, order, reason, now)]


def _late(
    tx: Transaction,
    device: Device,
    order: Row[Any],
    log: Row[Any],
    outcome: Outcome,
    *,
    by: str,
    now: int,
) -> list[Effect]:
    """Take the word on an attempt that was given up; the order stays what it is."""
    item = item_of(tx, log.item_id)
    units = _write_result(tx, log, outcome, now)
    # While a new attempt is open, what is set aside belongs to that one, and so does the state.
    is_open = item.dispense_status in states.UNDER_WAY
    if not is_open:
        stock.release_item(tx, item, now)
    if not units:
        return []
    if not log.stock_taken:  # else somebody has counted the slot meanwhile
        stock.take(tx, item, units, order, by, now)
    add_units(tx, item, units, is_open=is_open)
    if not is_open:
        set_refund(tx, order.id)
    return [
        alarm(device, "dispense_late", order.id, "It came out after it had been given up"),
        orders.told(tx.connection, device, order.id, order.status),
    ]


def _write_result(tx: Transaction, log: Row[Any], outcome: Outcome, now: int) -> int:
    """Store what is said, and return how many units came out."""
    units = outcome.units(log.quantity)
    came_out = units == log.quantity
    tx.execute(
        update(dispense_logs)
        .where(dispense_logs.c.id == log.id)
        .values(
            success=came_out,
            drop_detected=outcome.drop_detected,
            dispensed_quantity=units,
            duration_ms=outcome.duration_ms,
            error_message=None if came_out else _reason(outcome, units),
            result_at=now,
            stock_taken=True,
        )
    )
    return units


def add_units(tx: Transaction, item: Row[Any], units: int, *, is_open: bool = False) -> None:
    """Add units that came out to their item, and say how it stands unless it is tried again."""
    dispensed = item.dispensed_quantity + units
    values: dict[str, Any] = {"dispensed_quantity": dispensed}
    if not is_open:
        came_out = states.PARTIAL if dispensed else states.FAILED
        values["dispense_status"] = states.COMPLETED if dispensed >= item.quantity else came_out
    tx.execute(update(order_items).where(order_items.c.id == item.id).values(values))


def _says_the_same(log: Row[Any], outcome: Outcome) -> bool:
    return (
        log.result_at is not None
        and log.dispensed_quantity == outcome.units(log.quantity)
        and log.drop_detected == outcome.drop_detected
        and log.duration_ms == outcome.duration_ms
    )


def _reason(outcome: Outcome, units: int) -> str:
    if outcome.error:
        return outcome.error[:MAX_MESSAGE]
    if units:
        return f"{units} came out"
    if outcome.success:
        return "no drop was detected"
    return "the machine could not dispense it"


def shown(log: Row[Any]) -> dict[str, Any]:
    """Return an attempt as the app's routes show it."""
    row = log._mapping
    return {
        "id": log.id,
        "order_id": log.order_id,
        "machine_id": log.machine_id,
        "slot_number": log.slot_number,
        "quantity": log.quantity,
        "dispensed_quantity": log.dispensed_quantity,
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
    if any(item.dispense_status not in ENDS for item in items):
        return []
    ends = {item.dispense_status for item in items}
    to = ends.pop() if len(ends) == 1 else states.PARTIAL
    set_refund(tx, order.id)
    values: dict[str, Any] = {"failure_reason": reason or order.failure_reason}
    if to == states.COMPLETED:
        values = {"failure_reason": None}
    if to != states.FAILED:
        values["dispensed_at"] = now
    return [*(orders.move(tx, device, order.id, to, now, **values) or [])]


def set_refund(tx: Transaction, order_id: str) -> None:
    """What did not come out is to be paid back, unless that has been done."""
    amount = sum(
        missing(item) * item.unit_price
        for item in orders.items_of(tx.connection, order_id)
        if item.dispense_status in (states.FAILED, states.PARTIAL)
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


def missing(item: Row[Any]) -> int:
    """Return how many units of an item have not come out."""
    return max(0, int(item.quantity) - int(item.dispensed_quantity))
