"""Orders: what somebody wants to buy, with its stock set aside, and what becomes of it."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from fleetwire.apps.vending import states, stock
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.tables import order_items, orders, products, slots
from fleetwire.kit import Device, Event, NotFoundError
from fleetwire.kit.instants import iso
from fleetwire.kit.transaction import Transaction

STATUS_EVENT: Final = "order.status"
# Unguessable, as whoever knows it may see the order; without letters that are read as others.
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def new_id(now: int) -> str:
    """Return `ORD-YYYYMMDD-XXXXXXXX`."""
    return f"ORD-{iso(now)[:10].replace('-', '')}-" + "".join(
        secrets.choice(_LETTERS) for _ in range(8)
    )


def find(connection: Connection, order_id: str, organization_id: int | None = None) -> Row[Any]:
    """Return an order, of an organisation if one is given. Raises NotFoundError."""
    query = select(orders).where(orders.c.id == order_id)
    if organization_id is not None:
        query = query.where(orders.c.organization_id == organization_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("Order not found", field="order_id")
    return row


def items_of(connection: Connection, order_id: str) -> Sequence[Row[Any]]:
    """Return an order's items, in their order."""
    return connection.execute(
        select(order_items)
        .where(order_items.c.order_id == order_id)
        .order_by(order_items.c.item_index)
    ).all()


def create(
    tx: Transaction,
    wanted: Sequence[tuple[int, int]],
    *,
    payment_method: str,
    customer_phone: str | None,
    open_s: float,
    now: int,
) -> str:
    """Store an order of (slot id, quantity) with its units reserved, and return its id.

    Raises NotFoundError for a slot that does not sell, RefusedError if there are not so many or
    the slots are not of one machine.
    """
    found = [_slot(tx, slot_id) for slot_id, _ in wanted]
    machine_ids = {row.machine_id for row in found}
    if len(machine_ids) > 1:
        raise RefusedError("All items must be of one machine", field="items")
    if len({row.id for row in found}) < len(found):
        raise RefusedError("A slot can be named once only", field="items")
    order_id = new_id(now)
    prices = [row.price if row.price_override is None else row.price_override for row in found]
    tx.execute(
        insert(orders).values(
            id=order_id,
            organization_id=found[0].organization_id,
            machine_id=found[0].machine_id,
            status=states.PENDING,
            total_amount=sum(
                price * quantity for price, (_, quantity) in zip(prices, wanted, strict=True)
            ),
            customer_phone=customer_phone,
            payment_method=payment_method,
            refund_required=False,
            refund_amount=0,
            expires_at=now + round(open_s * 1e6),
            created_at=now,
            updated_at=now,
        )
    )
    for index, (slot, price, (_, quantity)) in enumerate(
        zip(found, prices, wanted, strict=True), start=1
    ):
        if not stock.reserve(tx, slot.id, quantity, now):
            raise RefusedError(
                "Insufficient stock",
                available=stock.available(slot),
                requested=quantity,
                slot_id=slot.id,
            )
        tx.execute(
            insert(order_items).values(
                order_id=order_id,
                item_index=index,
                slot_id=slot.id,
                slot_number=slot.slot_number,
                product_id=slot.product_id,
                product_name=slot.product_name,
                quantity=quantity,
                unit_price=price,
                total_price=price * quantity,
                dispense_status=states.PENDING,
                dispensed_quantity=0,
                reserved_quantity=quantity,
            )
        )
    return order_id


def move(
    tx: Transaction, device: Device | None, order_id: str, to: str, now: int, **values: Any
) -> list[Event] | None:
    """Bring an order to a state; None if its present one does not allow that.

    `device` is its machine, None if there is no such device any more: then nobody is told.
    """
    before = tx.execute(select(orders.c.status).where(orders.c.id == order_id)).scalar_one()
    done = tx.execute(
        update(orders)
        .where(orders.c.id == order_id, orders.c.status.in_(states.SOURCES[to]))
        .values(status=to, updated_at=now, **values)
    )
    if not done.rowcount:
        return None
    return [] if device is None else [told(tx.connection, device, order_id, before)]


def told(connection: Connection, device: Device, order_id: str, before: str) -> Event:
    """Return the event that says what an order is now."""
    return Event(STATUS_EVENT, device, status_of(connection, order_id, before))


def status_of(connection: Connection, order_id: str, before: str | None = None) -> dict[str, Any]:
    """Return how an order stands, as kiosks are told it. Raises NotFoundError."""
    order = find(connection, order_id)
    return {
        "order_id": order.id,
        "machine_id": order.machine_id,
        "status": order.status,
        "previous_status": before or order.status,
        "total_amount": order.total_amount,
        "failure_reason": order.failure_reason,
        "refund_required": order.refund_required,
        "refund_amount": order.refund_amount,
        "items": [
            {
                "item_index": item.item_index,
                "slot_number": item.slot_number,
                "quantity": item.quantity,
                "dispensed_quantity": item.dispensed_quantity,
                "dispense_status": item.dispense_status,
            }
            for item in items_of(connection, order_id)
        ],
        "at": iso(order.updated_at),
    }


def close_unpaid(
    tx: Transaction, device: Device | None, order_id: str, to: str, reason: str, now: int
) -> list[Event] | None:
    """End an order that was not paid, and give its units back; None if it is not PENDING."""
    status = tx.execute(select(orders.c.status).where(orders.c.id == order_id)).scalar_one()
    if status != states.PENDING:
        return None
    release_items(tx, order_id, now)
    return move(tx, device, order_id, to, now, failure_reason=reason)


def release_items(tx: Transaction, order_id: str, now: int) -> None:
    """Give back what an order still has set aside."""
    for item in items_of(tx.connection, order_id):
        stock.release_item(tx, item, now)


def overdue(connection: Connection, now: int, limit: int) -> Sequence[str]:
    """Return the ids of unpaid orders whose time is over."""
    return connection.scalars(
        select(orders.c.id)
        .where(orders.c.status == states.PENDING, orders.c.expires_at <= now)
        .order_by(orders.c.expires_at)
        .limit(limit)
    ).all()


def undispensed(connection: Connection, now: int, limit: int) -> list[tuple[str, int]]:
    """Return (order id, when it was paid) of paid orders that the house has to dispense."""
    rows = connection.execute(
        select(orders.c.id, orders.c.paid_at)
        .where(orders.c.status == states.PAID, orders.c.dispense_due_at <= now)
        .order_by(orders.c.dispense_due_at)
        .limit(limit)
    )
    return [(row.id, row.paid_at) for row in rows]


def of_machine(
    connection: Connection, machine_id: str, *, status: str | None, limit: int, offset: int
) -> dict[str, Any]:
    """Return a part of a machine's orders, newest first, and how many there are."""
    condition = orders.c.machine_id == machine_id
    if status is not None:
        condition &= orders.c.status == status
    total = connection.execute(select(func.count()).select_from(orders).where(condition)).scalar()
    rows = connection.execute(
        select(orders)
        .where(condition)
        .order_by(orders.c.created_at.desc(), orders.c.id)
        .limit(limit)
        .offset(offset)
    ).all()
    return {
        "orders": [shown(row, items_of(connection, row.id)) for row in rows],
        "total": total,
        "limit": limit,
        "offset": offset,
    }


def shown(order: Row[Any], items: Sequence[Row[Any]]) -> dict[str, Any]:
    """Return an order as the app's routes show it. Of one item its fields stand outside, too."""
    first = items[0]
    return {
        "id": order.id,
        "order_id": order.id,
        "machine_id": order.machine_id,
        "status": order.status,
        "product_name": ", ".join(item.product_name for item in items),
        "slot_id": first.slot_id,
        "slot_number": first.slot_number,
        "quantity": sum(item.quantity for item in items),
        "unit_price": first.unit_price,
        "total_amount": order.total_amount,
        "payment_method": order.payment_method,
        "payment_url": order.payment_url,
        "payment_token": order.payment_token,
        "qr_string": order.qr_string,
        "failure_reason": order.failure_reason,
        "refund_required": order.refund_required,
        "refund_amount": order.refund_amount,
        "refunded_at": _iso(order.refunded_at),
        "paid_at": _iso(order.paid_at),
        "dispensed_at": _iso(order.dispensed_at),
        "expires_at": iso(order.expires_at),
        "created_at": iso(order.created_at),
        "items": [
            {
                "item_index": item.item_index,
                "slot_id": item.slot_id,
                "slot_number": item.slot_number,
                "product_id": item.product_id,
                "product_name": item.product_name,
                "quantity": item.quantity,
                "unit_price": item.unit_price,
                "total_price": item.total_price,
                "dispensed_quantity": item.dispensed_quantity,
                "dispense_status": item.dispense_status,
            }
            for item in items
        ],
    }


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)


def _slot(tx: Transaction, slot_id: int) -> Row[Any]:
    row = tx.execute(
        select(
            slots,
            products.c.name.label("product_name"),
            products.c.price,
            products.c.organization_id,
        )
        .join(products, products.c.id == slots.c.product_id)
        .where(slots.c.id == slot_id, slots.c.is_active.is_(True), products.c.is_active.is_(True))
    ).one_or_none()
    if row is None:
        raise NotFoundError("Slot not found", field="slot_id")
    return row
