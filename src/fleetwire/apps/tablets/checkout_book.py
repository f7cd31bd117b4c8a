"""The book of checkouts: what is asked of them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from fleetwire.apps.tablets.tables import checkouts, items
from fleetwire.kit import NotFoundError
from fleetwire.kit.instants import iso


def checkout_of(connection: Connection, organization_id: int, checkout: int) -> Row[Any]:
    """Return the row of a checkout. Raises NotFoundError."""
    row = connection.execute(
        select(checkouts).where(
            checkouts.c.id == checkout, checkouts.c.organization_id == organization_id
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no checkout {checkout}.", field="id")
    return row


def items_of(connection: Connection, of: Sequence[int]) -> list[Row[Any]]:
    """Return the rows of the items of these checkouts."""
    wanted = select(items).where(items.c.checkout.in_(of)).order_by(items.c.id)
    return list(connection.execute(wanted))


def read(connection: Connection, organization_id: int, checkout: int) -> dict[str, Any]:
    """Return a checkout with its items. Raises NotFoundError."""
    row = checkout_of(connection, organization_id, checkout)
    return _view(row, items_of(connection, [checkout]))


def codes_of(connection: Connection, organization_id: int, checkout: int) -> list[str]:
    """Return the codes of a checkout's tablets. Raises NotFoundError."""
    checkout_of(connection, organization_id, checkout)
    return [each.code for each in items_of(connection, [checkout])]


def search(
    connection: Connection,
    organization_id: int,
    *,
    status: str | None,
    text: str | None,
    limit: int,
    offset: int,
) -> tuple[list[dict[str, Any]], int]:
    """Return checkouts, newest first, and how many there are without limit and offset.

    `text` occurs in the number, the company, the borrower or the code of one of the tablets.
    """
    own: list[Any] = [checkouts.c.organization_id == organization_id]
    if status is not None:
        own.append(checkouts.c.status == status)
    if text:
        with_code = select(items.c.checkout).where(items.c.code.icontains(text, autoescape=True))
        columns = (checkouts.c.number, checkouts.c.company, checkouts.c.borrower_id)
        own.append(
            or_(
                *(column.icontains(text, autoescape=True) for column in columns),
                checkouts.c.id.in_(with_code),
            )
        )
    total = connection.execute(select(func.count()).select_from(checkouts).where(*own)).scalar_one()
    wanted = select(checkouts).where(*own).order_by(checkouts.c.id.desc())
    return _views(connection, list(connection.execute(wanted.limit(limit).offset(offset)))), total


def of_tablet(connection: Connection, tablet: int, limit: int, offset: int) -> list[dict[str, Any]]:
    """Return the checkouts that a tablet was on, newest first."""
    wanted = (
        select(checkouts)
        .where(checkouts.c.id.in_(select(items.c.checkout).where(items.c.tablet == tablet)))
        .order_by(checkouts.c.id.desc())
        .limit(limit)
        .offset(offset)
    )
    return _views(connection, list(connection.execute(wanted)))


def _views(connection: Connection, found: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    by_checkout: dict[int, list[Row[Any]]] = {row.id: [] for row in found}
    for item in items_of(connection, list(by_checkout)):
        by_checkout[item.checkout].append(item)
    return [_view(row, by_checkout[row.id]) for row in found]


def _view(row: Row[Any], own: Sequence[Row[Any]]) -> dict[str, Any]:
    return {
        "id": row.id,
        "checkoutNumber": row.number,
        "number": row.number,
        "company": row.company,
        "borrowerId": row.borrower_id,
        "charger": row.charger,
        "startTime": iso(row.start_at),
        "endTime": iso(row.end_at),
        "usageNotes": row.usage_notes,
        "status": row.status,
        "cancelReason": row.cancel_reason,
        "createdBy": row.created_by,
        "createdAt": iso(row.created_at),
        "updatedAt": iso(row.updated_at),
        "closedAt": None if row.closed_at is None else iso(row.closed_at),
        "items": [
            {
                "id": each.id,
                "deviceId": each.tablet,
                "deviceCode": each.code,
                "returnedAt": None if each.returned_at is None else iso(each.returned_at),
                "returnedBy": each.returned_by,
                "problem": each.problem,
                "solution": each.solution,
                "maintenanceStatus": each.maintenance_status,
                "returnNotes": each.return_notes,
            }
            for each in own
        ],
    }
