"""Checkouts: tablets lent to somebody, given back one by one or all at once.

A tablet is on one open checkout at most: whoever lends it turns it from AVAILABLE to IN_USE with a
guarded UPDATE, and only giving it back, or cancelling, turns it again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, func, insert, select, update

from fleetwire.apps.tablets import action_log, maintenance
from fleetwire.apps.tablets.checkout_book import checkout_of, items_of
from fleetwire.apps.tablets.fleet import find
from fleetwire.apps.tablets.rows import AVAILABLE
from fleetwire.apps.tablets.tables import checkouts, items, tablets
from fleetwire.apps.tablets.web import UnavailableError
from fleetwire.kit import ConflictError, Device, Effect, Result, Transaction
from fleetwire.kit.instants import iso

ACTIVE, PARTIAL_RETURN = "ACTIVE", "PARTIAL_RETURN"
RETURNED, CANCELLED = "RETURNED", "CANCELLED"
STATUSES = (ACTIVE, PARTIAL_RETURN, RETURNED, CANCELLED)
OPEN = (ACTIVE, PARTIAL_RETURN)

# The device as effects take it, by its code; asked for beforehand, as work runs elsewhere.
FindDevice = Callable[[str], Device | None]


class Lending(msgspec.Struct, frozen=True):
    """What somebody wants to borrow. Instants are microseconds UTC."""

    organization_id: int
    company: str
    borrower_id: str
    charger: Any
    tablets: Sequence[str]  # our keys, or codes
    start_at: int
    end_at: int
    usage_notes: str | None
    actor: str


class Returning(msgspec.Struct, frozen=True):
    """One tablet that comes back, and how."""

    item_id: int
    problem: str | None = None
    solution: str | None = None
    maintenance_status: str | None = None
    return_notes: str | None = None


def lend(tx: Transaction, lending: Lending, device_of: FindDevice, at: int) -> Result[int]:
    """Store a checkout; return its key. Raises UnavailableError naming every tablet at fault."""
    chosen: dict[int, Row[Any]] = {}
    details: list[dict[str, Any]] = []
    for named in lending.tablets:
        row = find(tx.connection, lending.organization_id, named)
        if row is None:
            details.append({"deviceId": named, "reason": "There is no such device"})
        elif row.borrow_status != AVAILABLE:
            details.append(
                {
                    "deviceId": row.id,
                    "deviceCode": row.code,
                    "borrowStatus": row.borrow_status,
                    "reason": f"The device is {row.borrow_status}",
                }
            )
        else:
            chosen[row.id] = row
    if details:
        raise UnavailableError("Some devices are not AVAILABLE", details, field="deviceIds")
    number = _next_number(tx, lending.organization_id, at)
    added = tx.execute(
        insert(checkouts).values(
            organization_id=lending.organization_id,
            number=number,
            company=lending.company,
            borrower_id=lending.borrower_id,
            charger=lending.charger,
            start_at=lending.start_at,
            end_at=lending.end_at,
            usage_notes=lending.usage_notes,
            status=ACTIVE,
            created_by=lending.actor,
            created_at=at,
            updated_at=at,
        )
    )
    checkout: int = added.inserted_primary_key[0]  # type: ignore[index]  # an insert has one
    effects: list[Effect] = []
    for row in chosen.values():
        _take(tx, row, at)
        tx.execute(insert(items).values(checkout=checkout, tablet=row.id, code=row.code))
        action_log.add(
            tx,
            row.id,
            action_log.CHECKOUT,
            "CHECKED_OUT",
            message=f"{number}: {lending.company}",
            actor=lending.actor,
            received_at=at,
        )
        device = device_of(row.code)
        if device is not None:
            effects.append(maintenance.borrowing_changed(device, maintenance.IN_USE, at))
    return Result(checkout, effects)


def _take(tx: Transaction, row: Row[Any], at: int) -> None:
    taken = tx.execute(
        update(tablets)
        .where(tablets.c.id == row.id, tablets.c.borrow_status == AVAILABLE)
        .values(borrow_status=maintenance.IN_USE, updated_at=at)
    )
    if taken.rowcount != 1:  # another node was quicker
        raise ConflictError(f"The device {row.code!r} was lent just now.", field="deviceIds")


def _next_number(tx: Transaction, organization_id: int, at: int) -> str:
    day = f"CHK-{iso(at)[:10].replace('-', '')}-"
    numbers = tx.execute(
        select(checkouts.c.number).where(
            checkouts.c.organization_id == organization_id, checkouts.c.number.startswith(day)
        )
    ).scalars()
    # As numbers: after 999 comes 1000, which as text stands before 999.
    last = max((int(number.removeprefix(day)) for number in numbers), default=0)
    return f"{day}{last + 1:03d}"


def give_back(
    tx: Transaction,
    organization_id: int,
    checkout: int,
    returning: Sequence[Returning],
    device_of: FindDevice,
    actor: str,
    at: int,
) -> Result[None]:
    """Take tablets back. Raises NotFoundError, ConflictError, UnavailableError by item.

    An item that came back before is refused, and so are all in the same request: nothing happens
    twice, and nothing by halves.
    """
    row = _open_checkout(tx, organization_id, checkout)
    own = {each.id: each for each in items_of(tx.connection, [checkout])}
    details = []
    for each in returning:
        item = own.get(each.item_id)
        if item is None:
            reason = "The checkout has no such item"
        elif item.returned_at is not None:
            reason = "The item has been returned before"
        else:
            continue
        details.append({"itemId": each.item_id, "reason": reason})
    if details:
        raise UnavailableError("Some items cannot be returned", details, field="items")
    effects: list[Effect] = []
    for each in returning:
        status = each.maintenance_status
        if status is None:
            status = maintenance.HAS_PROBLEM if each.problem else None
        tx.execute(
            update(items)
            .where(items.c.id == each.item_id)
            .values(
                returned_at=at,
                returned_by=actor,
                problem=each.problem,
                solution=each.solution,
                maintenance_status=status or maintenance.NONE,
                return_notes=each.return_notes,
            )
        )
        effects += _release(
            tx, own[each.item_id], row.number, "RETURNED", device_of, actor, at, each, status
        )
    still_out = select(func.count()).where(
        items.c.checkout == checkout, items.c.returned_at.is_(None)
    )
    is_over = tx.execute(still_out).scalar_one() == 0
    values: dict[str, Any] = {"status": RETURNED if is_over else PARTIAL_RETURN, "updated_at": at}
    if is_over:
        values["closed_at"] = at
    tx.execute(update(checkouts).where(checkouts.c.id == checkout).values(values))
    return Result(None, effects)


def cancel(
    tx: Transaction,
    organization_id: int,
    checkout: int,
    reason: str | None,
    device_of: FindDevice,
    actor: str,
    at: int,
) -> Result[None]:
    """End a checkout that did not take place; its tablets can be lent again.

    Raises NotFoundError; ConflictError if it is over or some of it came back: then it took place.
    """
    row = _open_checkout(tx, organization_id, checkout)
    if row.status != ACTIVE:
        raise ConflictError("Some of it has been returned: return the rest.", field="id")
    effects: list[Effect] = []
    for item in items_of(tx.connection, [checkout]):
        effects += _release(tx, item, row.number, "CHECKOUT_CANCELLED", device_of, actor, at)
    values = {"status": CANCELLED, "cancel_reason": reason, "closed_at": at, "updated_at": at}
    tx.execute(update(checkouts).where(checkouts.c.id == checkout).values(values))
    return Result(None, effects)


def _release(
    tx: Transaction,
    item: Row[Any],
    number: str,
    action: str,
    device_of: FindDevice,
    actor: str,
    at: int,
    how: Returning | None = None,
    maintenance_status: str | None = None,
) -> list[Effect]:
    row = tx.execute(select(tablets).where(tablets.c.id == item.tablet)).one_or_none()
    device = device_of(item.code)
    if row is None or device is None:
        return []  # it was removed from the platform while somebody had it
    status = maintenance_status or row.maintenance_status
    values: dict[str, Any] = {
        "borrow_status": maintenance.lendable_as(status),
        "maintenance_status": status,
        "updated_at": at,
    }
    if how is not None and how.problem is not None:
        values |= {"problem": how.problem, "solution": how.solution}
    tx.execute(update(tablets).where(tablets.c.id == row.id).values(values))
    said = None if how is None else how.problem or how.return_notes
    message = number if said is None else f"{number}: {said}"
    action_log.add(
        tx,
        row.id,
        action_log.CHECKOUT,
        action,
        message=message[: action_log.MAX_MESSAGE_CHARS],
        actor=actor,
        received_at=at,
    )
    return [maintenance.borrowing_changed(device, values["borrow_status"], at)]


def _open_checkout(tx: Transaction, organization_id: int, checkout: int) -> Row[Any]:
    row = checkout_of(tx.connection, organization_id, checkout)
    if row.status not in OPEN:
        raise ConflictError(f"The checkout {row.number} is {row.status}.", field="id")
    return row
