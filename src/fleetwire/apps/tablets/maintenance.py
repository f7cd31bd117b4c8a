"""Maintenance: what is wrong with a tablet, and whether it may be lent meanwhile."""

from typing import Any

from sqlalchemy import Row, update

from fleetwire.apps.tablets import action_log
from fleetwire.apps.tablets.rows import AVAILABLE
from fleetwire.apps.tablets.tables import tablets
from fleetwire.kit import Device, Effect, Event, Transaction
from fleetwire.kit.instants import iso

BORROW_EVENT = "device.borrow_status"
IN_USE = "IN_USE"
IN_MAINTENANCE = "IN_MAINTENANCE"

NONE = "NONE"
HAS_PROBLEM = "HAS_PROBLEM"
STATUSES = (NONE, HAS_PROBLEM, "NEEDS_REPAIR", IN_MAINTENANCE, "DAMAGED")


def lendable_as(maintenance_status: str) -> str:
    """Return the borrow status of a tablet that nobody has; a noted problem alone is no bar."""
    return AVAILABLE if maintenance_status in (NONE, HAS_PROBLEM) else IN_MAINTENANCE


def change(
    tx: Transaction,
    device: Device,
    row: Row[Any],
    *,
    maintenance_status: str,
    problem: str | None,
    solution: str | None,
    actor: str,
    at: int,
) -> list[Effect]:
    """Store what is wrong with a tablet; while somebody has it, it stays IN_USE.

    What is not said of problem and solution stays; with NONE the problem is over.
    """
    borrow_status = IN_USE if row.borrow_status == IN_USE else lendable_as(maintenance_status)
    values: dict[str, Any] = {
        "maintenance_status": maintenance_status,
        "borrow_status": borrow_status,
        "updated_at": at,
    }
    if maintenance_status == NONE or problem is not None:
        values["problem"] = problem
    if solution is not None:
        values["solution"] = solution
    tx.execute(update(tablets).where(tablets.c.id == row.id).values(values))
    action_log.add(
        tx,
        row.id,
        action_log.MAINTENANCE,
        maintenance_status,
        message=problem or solution,
        actor=actor,
        received_at=at,
    )
    return (
        [] if borrow_status == row.borrow_status else [borrowing_changed(device, borrow_status, at)]
    )


def borrowing_changed(device: Device, borrow_status: str, at: int) -> Event:
    """Return the push `device_borrow_status`."""
    return Event(BORROW_EVENT, device, {"borrowStatus": borrow_status, "updatedAt": iso(at)})
