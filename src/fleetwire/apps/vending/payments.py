"""Payments: what gateways say, and what follows for the order. Each saying counts once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, insert, select, update

from fleetwire.apps.vending import orders, states
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.gateways import Notification
from fleetwire.apps.vending.tables import orders as orders_table, payments
from fleetwire.kit import Alarm, Device, Effect
from fleetwire.kit.instants import iso
from fleetwire.kit.transaction import Transaction

# A card that was captured but is looked at for fraud is not paid yet.
MEANINGS: Final = {
    "capture": states.PAID,
    "settlement": states.PAID,
    "pending": states.PENDING,
    "authorize": states.PENDING,
    "deny": states.REFUSED,
    "cancel": states.REFUSED,
    "expire": states.REFUSED,
    "failure": states.REFUSED,
    "refund": states.REFUNDED,
    "partial_refund": states.REFUNDED,
}


# What stays of an order's money: what did not come out is paid back, or will be.
KEPT = orders_table.c.total_amount - orders_table.c.refund_amount
IS_SALE = and_(
    orders_table.c.paid_at.is_not(None), orders_table.c.total_amount > orders_table.c.refund_amount
)
DAY_US: Final = 86_400_000_000
MONTHS: Final = 12
RECENT: Final = 10


@dataclass(frozen=True)
class Settled:
    """What a notification led to. `is_paid`: the order has just become PAID."""

    message: str
    payment_status: str
    is_paid: bool = False


def meaning(notification: Notification) -> str:
    """Return the payment's state that a notification says. Raises RefusedError."""
    status = notification.transaction_status.lower()
    if status not in MEANINGS:
        raise RefusedError("Unknown transaction_status", field="transaction_status")
    if status == "capture" and notification.fraud_status == "challenge":
        return states.PENDING
    return MEANINGS[status]


def settle(
    tx: Transaction, device: Device | None, gateway: str, notification: Notification, now: int
) -> tuple[Settled, list[Effect]]:
    """Store what a gateway says and bring the order to what follows.

    Its signature was checked before. Raises NotFoundError, RefusedError if the amount is another.
    """
    order = orders.find(tx.connection, notification.order_id)
    state = meaning(notification)
    if state != states.REFUNDED and notification.amount != Decimal(order.total_amount):
        raise RefusedError(
            "Amount does not match the order",
            field="gross_amount",
            order_id=order.id,
        )
    known = tx.execute(
        select(payments).where(
            payments.c.gateway_name == gateway,
            payments.c.gateway_transaction_id == notification.transaction_id,
        )
    ).one_or_none()
    if known is not None and known.order_id != order.id:
        raise RefusedError("The transaction belongs to another order", field="transaction_id")
    if known is not None and not _is_news(known.status, state):
        return Settled("Already processed", known.status), []
    others = [row for row in of_order(tx.connection, order.id) if known is None or row != known]
    _store(tx, known, order, gateway, notification, state, now)
    if state == states.PAID:
        return _paid(tx, device, order, others, notification, now)
    if state == states.REFUSED and not any(row.status == states.PENDING for row in others):
        reason = f"payment {notification.transaction_status}"
        moved = orders.close_unpaid(tx, device, order.id, states.FAILED, reason, now)
        return Settled("Payment failed", state), [*(moved or [])]
    if state == states.REFUNDED:
        return Settled("Refund noted", state), mark_refunded(tx, device, order, now)
    return Settled("Notification processed", state), []


def mark_refunded(
    tx: Transaction, device: Device | None, order: Row[Any], now: int
) -> list[Effect]:
    """Note that the customer has his money back."""
    tx.execute(
        update(orders_table)
        .where(orders_table.c.id == order.id)
        .values(refund_required=False, refunded_at=now, updated_at=now)
    )
    return [*(orders.move(tx, device, order.id, states.REFUNDED, now) or [])]


def of_order(connection: Connection, order_id: str) -> list[Row[Any]]:
    """Return an order's payments, in order."""
    return list(
        connection.execute(
            select(payments).where(payments.c.order_id == order_id).order_by(payments.c.id)
        )
    )


def shown(order: Row[Any], rows: list[Row[Any]]) -> dict[str, Any]:
    """Return how an order stands with its payment."""
    return {
        "order_id": order.id,
        "order_status": order.status,
        "status": rows[-1].status if rows else states.PENDING,
        "amount": order.total_amount,
        "payment_method": order.payment_method,
        "payment_url": order.payment_url,
        "payment_token": order.payment_token,
        "qr_string": order.qr_string,
        "paid_at": None if order.paid_at is None else iso(order.paid_at),
        "expires_at": iso(order.expires_at),
        "refund_required": order.refund_required,
        "refund_amount": order.refund_amount,
        "payments": [
            {
                "gateway_transaction_id": row.gateway_transaction_id,
                "gateway_name": row.gateway_name,
                "payment_type": row.payment_type,
                "amount": row.amount,
                "status": row.status,
                "processed_at": None if row.processed_at is None else iso(row.processed_at),
            }
            for row in rows
        ],
    }


def _is_news(known: str, said: str) -> bool:
    """A payment goes forward: what was refused may yet be paid, what is paid only paid back."""
    after = {
        states.PENDING: {states.PAID, states.REFUSED},
        states.REFUSED: {states.PAID},
        states.PAID: {states.REFUNDED},
        states.REFUNDED: set(),
    }
    return said in after[known]


def _store(
    tx: Transaction,
    known: Row[Any] | None,
    order: Row[Any],
    gateway: str,
    notification: Notification,
    state: str,
    now: int,
) -> None:
    values = {
        "status": state,
        "payment_type": notification.payment_type,
        "raw_response": notification.raw,
        "processed_at": None if state == states.PENDING else now,
    }
    if known is not None:
        tx.execute(update(payments).where(payments.c.id == known.id).values(values))
        return
    tx.execute(
        insert(payments).values(
            order_id=order.id,
            gateway_transaction_id=notification.transaction_id,
            gateway_name=gateway,
            amount=order.total_amount,
            created_at=now,
            **values,
        )
    )


def _paid(
    tx: Transaction,
    device: Device | None,
    order: Row[Any],
    others: list[Row[Any]],
    notification: Notification,
    now: int,
) -> tuple[Settled, list[Effect]]:
    moved = orders.move(tx, device, order.id, states.PAID, now, paid_at=now, dispense_due_at=now)
    if moved is not None:
        return Settled("Payment confirmed", states.PAID, is_paid=True), [*moved]
    # The money came for an order that is over, or for one that was paid already.
    name, what = "paid_after_end", "was paid after its end: pay it back"
    if any(row.status == states.PAID for row in others):
        name, what = "paid_twice", f"was paid twice: pay {notification.transaction_id} back"
    else:
        tx.execute(
            update(orders_table)
            .where(orders_table.c.id == order.id)
            .values(paid_at=now, refund_required=True, refund_amount=order.total_amount)
        )
    effects: list[Effect] = []
    if device is not None:
        detail = {"order_id": order.id, "transaction_id": notification.transaction_id}
        effects = [Alarm(device, name, f"Order {order.id} {what}", "critical", detail)]
    return Settled("Payment recorded; the order is closed", states.PAID), effects


def finance(connection: Connection, organization_id: int, now: int) -> dict[str, Any]:
    """Return what an organisation has sold: in all, by month, today against yesterday."""
    own = and_(orders_table.c.organization_id == organization_id, IS_SALE)
    revenue, count = connection.execute(
        select(func.coalesce(func.sum(KEPT), 0), func.count()).where(own)
    ).one()
    today_at = now // DAY_US * DAY_US
    today = _between(connection, own, today_at, now + 1)
    yesterday = _between(connection, own, today_at - DAY_US, today_at)
    recent = connection.execute(
        select(orders_table).where(own).order_by(orders_table.c.paid_at.desc()).limit(RECENT)
    )
    return {
        "totalRevenue": int(revenue),
        "totalTransactions": count,
        "averageOrderValue": round(int(revenue) / count) if count else 0,
        "recentTransactions": [
            {
                "order_id": row.id,
                "machine_id": row.machine_id,
                "amount": row.total_amount,
                "status": row.status,
                "payment_method": row.payment_method,
                "paid_at": iso(row.paid_at),
            }
            for row in recent
        ],
        "monthlyData": [
            {"month": name, "revenue": money, "transactions": sales}
            for name, money, sales in _months(connection, own, now)
        ],
        "salesToday": today,
        "percentageChange": round(100 * (today - yesterday) / yesterday, 1) if yesterday else None,
    }


def _between(connection: Connection, own: Any, from_at: int, to_at: int) -> int:
    return int(
        connection.execute(
            select(func.coalesce(func.sum(KEPT), 0)).where(
                own, orders_table.c.paid_at >= from_at, orders_table.c.paid_at < to_at
            )
        ).scalar_one()
    )


def _months(connection: Connection, own: Any, now: int) -> list[tuple[str, int, int]]:
    """Return (YYYY-MM, revenue, sales) of the last twelve months in UTC, the oldest first."""
    moment = datetime.fromtimestamp(now / 1e6, UTC)
    year, month = moment.year, moment.month
    found = []
    to_at = now + 1
    for _ in range(MONTHS):
        from_at = round(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1_000_000
        money, sales = connection.execute(
            select(func.coalesce(func.sum(KEPT), 0), func.count()).where(
                own, orders_table.c.paid_at >= from_at, orders_table.c.paid_at < to_at
            )
        ).one()
        found.append((f"{year:04}-{month:02}", int(money), sales))
        to_at = from_at
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return found[::-1]
