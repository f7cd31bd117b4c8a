"""Dispensing: from a paid order to goods, each paid item at most once.

Theory of operation. An attempt is a row of `dispense_logs` and a command of the house, stored in
the transaction that brings the order from PAID to its next state. That change is guarded, so of
all who trigger an order one does it. The command must not be repeated: where it is unknown whether
the machine has it, only a person may try again. Until it is sent the attempt waits for the machine
(PENDING_DISPENSE); from then on it waits for a result. Past its deadline the item has FAILED.

What machines answer is in `attempts`.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, insert, select, update

from fleetwire.apps.vending import orders, states, stock
from fleetwire.apps.vending.attempts import add_units, alarm, finish, item_of, missing, set_item
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.tables import dispense_logs, order_items, orders as orders_table, slots
from fleetwire.apps.vending.terms import Terms
from fleetwire.kit import Answer, Device, Effect, NotFoundError, SendCommand
from fleetwire.kit.transaction import Transaction

COMMAND: Final = "dispense"
TIMEOUT: Final = "timeout"
# The house publishes nothing after a command's own deadline; what it noted then is here by now.
UNSENT_SLACK_US: Final = 2_000_000

# The command was sent, its time is over, and neither machine nor person has said what came of it.
UNCONFIRMED: Final = and_(
    dispense_logs.c.command_sent_at.is_not(None),
    dispense_logs.c.completed_at.is_not(None),
    dispense_logs.c.result_at.is_(None),
)


def trigger(
    tx: Transaction,
    device: Device,
    order_id: str,
    *,
    by: str,
    connected: bool,
    terms: Terms,
    now: int,
) -> tuple[list[dict[str, Any]], list[Effect]]:
    """Begin to dispense a paid order; return the commands as the machine reads them.

    Raises NotFoundError, RefusedError (with the status) if the order is not PAID.
    """
    order = orders.find(tx.connection, order_id)
    if order.machine_id != device.device_id:
        raise NotFoundError("Order not found", field="order_id")
    if order.status != states.PAID:
        raise not_paid(order)
    items = orders.items_of(tx.connection, order_id)
    return _begin(tx, device, order, items, by=by, connected=connected, terms=terms, now=now)


def retry(
    tx: Transaction,
    device: Device,
    order_id: str,
    *,
    by: str,
    connected: bool,
    terms: Terms,
    now: int,
) -> tuple[list[dict[str, Any]], list[Effect]]:
    """Try the items of an order once more that did not come out, which is a person's decision.

    Raises NotFoundError, RefusedError if the order is neither FAILED nor PARTIAL, if it was never
    paid, or if a slot is empty.
    """
    order = orders.find(tx.connection, order_id)
    if order.status not in (states.FAILED, states.PARTIAL) or order.paid_at is None:
        raise RefusedError(
            "Only a paid order that failed can be tried again",
            order_id=order.id,
            status=order.status,
        )
    items = [
        item
        for item in orders.items_of(tx.connection, order_id)
        if item.dispense_status in (states.FAILED, states.PARTIAL)
    ]
    for item in items:
        units = missing(item)
        if not item.reserved_quantity and not stock.reserve(tx, item.slot_id, units, now):
            raise RefusedError("Insufficient stock", requested=units, slot_id=item.slot_id)
        tx.execute(
            update(order_items).where(order_items.c.id == item.id).values(reserved_quantity=units)
        )
    return _begin(tx, device, order, items, by=by, connected=connected, terms=terms, now=now)


def not_paid(order: Row[Any]) -> RefusedError:
    """Return the refusal to dispense an order that is not PAID."""
    return RefusedError("Order is not paid", order_id=order.id, status=order.status)


def sent(tx: Transaction, device: Device, command_id: str, at: int, terms: Terms) -> list[Effect]:
    """Note that a command is on its way; from now on its result is waited for."""
    log = _by_command(tx.connection, command_id)
    if log is None or log.command_sent_at is not None or log.completed_at is not None:
        return []
    # A machine does one thing after the other: what it was sent before comes first.
    before_ms = tx.execute(
        select(func.coalesce(func.sum(dispense_logs.c.timeout_ms), 0)).where(
            dispense_logs.c.machine_id == log.machine_id,
            dispense_logs.c.completed_at.is_(None),
            dispense_logs.c.command_sent_at.is_not(None),
        )
    ).scalar_one()
    wait_us = round(terms.result_wait_s * 1e6) + (int(before_ms) + log.timeout_ms) * 1000
    tx.execute(
        update(dispense_logs)
        .where(dispense_logs.c.id == log.id)
        .values(command_sent_at=at, started_at=at, deadline_at=at + wait_us)
    )
    set_item(tx, log.item_id, states.DISPENSING)
    status = tx.execute(
        select(orders_table.c.status).where(orders_table.c.id == log.order_id)
    ).scalar_one()
    if status != states.PENDING_DISPENSE:
        return []
    return [*(orders.move(tx, device, log.order_id, states.DISPENSING, at) or [])]


def expire(tx: Transaction, device: Device | None, log_id: int, now: int) -> list[Effect]:
    """Give up an attempt whose deadline has passed."""
    log = tx.execute(select(dispense_logs).where(dispense_logs.c.id == log_id)).one()
    if log.completed_at is not None or log.deadline_at > now:
        return []
    order = orders.find(tx.connection, log.order_id)
    tx.execute(
        update(dispense_logs)
        .where(dispense_logs.c.id == log.id)
        .values(completed_at=now, success=False, error_message=TIMEOUT)
    )
    item = item_of(tx, log.item_id)
    add_units(tx, item, 0)
    if log.command_sent_at is None:
        stock.release_item(tx, item, now)  # the machine never had it
    effects = finish(tx, device, order, TIMEOUT, now)
    if device is None:
        return effects
    what = "never took the command" if log.command_sent_at is None else "did not say what became"
    return [
        Answer(device, log.command_id, False, TIMEOUT),
        alarm(device, "dispense_timeout", order.id, f"The machine {what} in time"),
        *effects,
    ]


def give_up(tx: Transaction, device: Device | None, order: Row[Any], now: int) -> list[Effect]:
    """End a paid order of which no attempt could be begun."""
    if order.status != states.PAID:
        return []
    orders.release_items(tx, order.id, now)
    moved = orders.move(
        tx,
        device,
        order.id,
        states.FAILED,
        now,
        failure_reason=TIMEOUT,
        dispense_due_at=None,
        refund_required=True,
        refund_amount=order.total_amount,
    )
    return [*(moved or [])]


def due(connection: Connection, now: int, limit: int) -> Sequence[Row[Any]]:
    """Return open attempts whose deadline has passed."""
    return connection.execute(
        select(dispense_logs)
        .where(dispense_logs.c.completed_at.is_(None), dispense_logs.c.deadline_at <= now)
        .order_by(dispense_logs.c.deadline_at)
        .limit(limit)
    ).all()


def unsent(connection: Connection) -> Sequence[Row[Any]]:
    """Return open attempts of which it is not noted that they were sent."""
    return connection.execute(
        select(dispense_logs).where(
            dispense_logs.c.completed_at.is_(None), dispense_logs.c.command_sent_at.is_(None)
        )
    ).all()


def attempts_of(connection: Connection, order_id: str) -> Sequence[Row[Any]]:
    """Return an order's attempts, in order."""
    return connection.execute(
        select(dispense_logs)
        .where(dispense_logs.c.order_id == order_id)
        .order_by(dispense_logs.c.id)
    ).all()


def _begin(
    tx: Transaction,
    device: Device,
    order: Row[Any],
    items: Sequence[Row[Any]],
    *,
    by: str,
    connected: bool,
    terms: Terms,
    now: int,
) -> tuple[list[dict[str, Any]], list[Effect]]:
    to = states.DISPENSING if connected else states.PENDING_DISPENSE
    total = len(orders.items_of(tx.connection, order.id))
    effects: list[Effect] = []
    for item in items:
        effects.append(_attempt(tx, device, item, total, to, by=by, terms=terms, now=now))
    moved = orders.move(
        tx,
        device,
        order.id,
        to,
        now,
        failure_reason=None,
        dispense_due_at=None,
        refund_required=False,
        refund_amount=0,
    )
    if moved is None:
        raise not_paid(order)
    commands = [
        {"cmd": each.name, **each.parameters} for each in effects if isinstance(each, SendCommand)
    ]
    return commands, [*effects, *moved]


def _attempt(
    tx: Transaction,
    device: Device,
    item: Row[Any],
    total: int,
    item_status: str,
    *,
    by: str,
    terms: Terms,
    now: int,
) -> SendCommand:
    slot = tx.execute(select(slots).where(slots.c.id == item.slot_id)).one_or_none()
    motor_ms = 3000 if slot is None else slot.motor_duration_ms
    units = missing(item)
    tried = tx.execute(
        select(func.count()).select_from(dispense_logs).where(dispense_logs.c.item_id == item.id)
    ).scalar_one()
    parameters: dict[str, Any] = {
        "slot": item.slot_number,
        "orderId": item.order_id,
        "timeoutMs": motor_ms * units,
    }
    if total > 1:
        parameters |= {"itemIndex": item.item_index, "totalItems": total}
    if units > 1:
        parameters["quantity"] = units
    if tried:
        parameters["attempt"] = tried + 1
    command = SendCommand(
        device,
        COMMAND,
        parameters,
        expires_in_s=terms.dispense_wait_s,
        idempotency_key=f"{item.order_id}/{item.item_index}/{tried + 1}",
        retry=False,
        requested_by=by,
    )
    wait_us = round(terms.dispense_wait_s * 1e6) + UNSENT_SLACK_US
    tx.execute(
        insert(dispense_logs).values(
            order_id=item.order_id,
            item_id=item.id,
            machine_id=device.device_id,
            slot_number=item.slot_number,
            quantity=units,
            command_id=command.id,
            triggered_by=by,
            timeout_ms=motor_ms * units,
            deadline_at=now + wait_us,
            created_at=now,
            retry_count=tried,
            stock_taken=False,
        )
    )
    set_item(tx, item.id, item_status)
    return command


def _by_command(connection: Connection, command_id: str) -> Row[Any] | None:
    return connection.execute(
        select(dispense_logs).where(dispense_logs.c.command_id == command_id)
    ).one_or_none()
