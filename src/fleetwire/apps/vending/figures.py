"""Figures: sales and dispensing in numbers. Money is an integer of the smallest unit."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, select

from fleetwire.apps.vending.tables import dispense_logs, orders
from fleetwire.kit.instants import iso

DAY_US: Final = 86_400_000_000
MONTHS: Final = 12
RECENT: Final = 10

# What stays of an order's money: what did not come out is paid back, or will be.
_KEPT = orders.c.total_amount - orders.c.refund_amount
_IS_SALE = and_(orders.c.paid_at.is_not(None), orders.c.total_amount > orders.c.refund_amount)


def of_machine(connection: Connection, machine_id: str, since_at: int) -> dict[str, Any]:
    """Return a machine's orders by state, its revenue and how its attempts went."""
    own = and_(orders.c.machine_id == machine_id, orders.c.created_at >= since_at)
    rows = connection.execute(
        select(orders.c.status, func.count()).where(own).group_by(orders.c.status)
    )
    by_status = {str(status): int(count) for status, count in rows}
    revenue = connection.execute(
        select(func.coalesce(func.sum(_KEPT), 0)).where(
            orders.c.machine_id == machine_id, orders.c.paid_at >= since_at, _IS_SALE
        )
    ).scalar_one()
    attempts = connection.execute(
        select(
            func.count(),
            func.count(case((dispense_logs.c.success.is_(True), 1))),
            func.count(case((dispense_logs.c.success.is_(False), 1))),
            func.avg(dispense_logs.c.duration_ms),
        ).where(dispense_logs.c.machine_id == machine_id, dispense_logs.c.created_at >= since_at)
    ).one()
    total, succeeded, failed, average = attempts
    closed = succeeded + failed
    return {
        "orders": {"total": sum(by_status.values()), "by_status": by_status},
        "revenue": int(revenue),
        "dispenses": {
            "total": total,
            "succeeded": succeeded,
            "failed": failed,
            "success_rate": round(100 * succeeded / closed, 1) if closed else None,
            "average_duration_ms": None if average is None else round(float(average)),
        },
    }


def finance(connection: Connection, organization_id: int, now: int) -> dict[str, Any]:
    """Return what an organisation has sold: in all, by month, today against yesterday."""
    own = and_(orders.c.organization_id == organization_id, _IS_SALE)
    revenue, count = connection.execute(
        select(func.coalesce(func.sum(_KEPT), 0), func.count()).where(own)
    ).one()
    today_at = now // DAY_US * DAY_US
    today = _between(connection, own, today_at, now + 1)
    yesterday = _between(connection, own, today_at - DAY_US, today_at)
    recent = connection.execute(
        select(orders).where(own).order_by(orders.c.paid_at.desc()).limit(RECENT)
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
            select(func.coalesce(func.sum(_KEPT), 0)).where(
                own, orders.c.paid_at >= from_at, orders.c.paid_at < to_at
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
            select(func.coalesce(func.sum(_KEPT), 0), func.count()).where(
                own, orders.c.paid_at >= from_at, orders.c.paid_at < to_at
            )
        ).one()
        found.append((f"{year:04}-{month:02}", int(money), sales))
        to_at = from_at
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return found[::-1]
