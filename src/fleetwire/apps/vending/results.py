"""Results: what a machine, or a person, says of an attempt to dispense.

A result closes the open attempt of its item. If there is none, it is the late word on an attempt
that timed out: what really came out leaves the stock and is not refunded, and the order stays what
it is. What says the same once more changes nothing; what says the opposite is an alarm.

Does not: tell two attempts of one item apart by a result that does not say its `attempt`; the open
one is meant then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from fleetwire.apps.vending import orders, states, stock
from fleetwire.apps.vending.attempts import (
    MAX_MESSAGE,
    alarm,
    finish,
    item_of,
    release,
    set_item,
    set_refund,
)
from fleetwire.apps.vending.tables import dispense_logs, order_items
from fleetwire.kit import Answer, Device, Effect, NotFoundError, Transaction


@dataclass(frozen=True)
class Outcome:
    """What is said of an attempt; None = not said. Without item and slot the open one is meant."""

    order_id: str
    success: bool
    drop_detected: bool | None = None
    slot_number: int | None = None
    item_index: int | None = None
    attempt: int | None = None
    duration_ms: int | None = None
    error: str | None = None

    @property
    def came_out(self) -> bool:
        """A drop sensor knows better than the motor."""
        return self.success and self.drop_detected is not False


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
    if bool(latest.success) == outcome.came_out:
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
    _write_result(tx, log, outcome, now)
    tx.execute(
        update(dispense_logs)
        .where(dispense_logs.c.id == log.id)
        .values(
            completed_at=now,
            command_sent_at=func.coalesce(dispense_logs.c.command_sent_at, now),
            started_at=func.coalesce(dispense_logs.c.started_at, now),
        )
    )
    effects: list[Effect] = [
        Answer(device, log.command_id, outcome.came_out, outcome.error or None)
    ]
    reason = ""
    if outcome.came_out:
        stock.take(tx, item, order, by, now, was_reserved=item.is_reserved)
        tx.execute(update(order_items).where(order_items.c.id == item.id).values(is_reserved=False))
        set_item(tx, item.id, states.COMPLETED)
    else:
        reason = _reason(outcome)
        release(tx, item, now)
        set_item(tx, item.id, states.FAILED)
        effects.append(
            alarm(device, "dispense_failed", order.id, f"Slot {item.slot_number}: {reason}")
        )
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
    _write_result(tx, log, outcome, now)
    # While a new attempt is open, what is set aside belongs to that one.
    is_open = item.dispense_status in states.UNDER_WAY
    if not outcome.came_out:
        if not is_open:
            release(tx, item, now)
        return []
    stock.take(tx, item, order, by, now, was_reserved=item.is_reserved and not is_open)
    if not is_open:
        tx.execute(update(order_items).where(order_items.c.id == item.id).values(is_reserved=False))
        set_item(tx, item.id, states.COMPLETED)
        set_refund(tx, order.id)
    return [
        alarm(device, "dispense_late", order.id, "It came out after it had been given up"),
        orders.told(tx.connection, device, order.id, order.status),
    ]


def _write_result(tx: Transaction, log: Row[Any], outcome: Outcome, now: int) -> None:
    tx.execute(
        update(dispense_logs)
        .where(dispense_logs.c.id == log.id)
        .values(
            success=outcome.came_out,
            drop_detected=outcome.drop_detected,
            duration_ms=outcome.duration_ms,
            error_message=None if outcome.came_out else _reason(outcome),
            result_at=now,
            stock_taken=outcome.came_out,
        )
    )


def _says_the_same(log: Row[Any], outcome: Outcome) -> bool:
    return (
        log.result_at is not None
        and bool(log.success) == outcome.came_out
        and log.drop_detected == outcome.drop_detected
        and log.duration_ms == outcome.duration_ms
    )


def _reason(outcome: Outcome) -> str:
    if outcome.error:
        return outcome.error[:MAX_MESSAGE]
    if outcome.success:
        return "no drop was detected"
    return "the machine could not dispense it"
