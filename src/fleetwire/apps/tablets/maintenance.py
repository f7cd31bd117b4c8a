"""Maintenance: what is wrong with a tablet, and whether it may be lent meanwhile.

HTTP: `/api/device/maintenance-status`.
"""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row, update

from fleetwire.apps.tablets import action_log, audit_log, fleet
from fleetwire.apps.tablets.rows import AVAILABLE
from fleetwire.apps.tablets.schemas import MaintenanceBody
from fleetwire.apps.tablets.tables import tablets
from fleetwire.apps.tablets.web import (
    WRONG_REQUEST,
    Answer,
    TheAudit,
    TheClock,
    TheDevices,
    TheStore,
    UnavailableError,
)
from fleetwire.kit import Asks, Device, Effect, Event, Result, Transaction
from fleetwire.kit.instants import iso

BORROW_EVENT = "device.borrow_status"
IN_USE = "IN_USE"
IN_MAINTENANCE = "IN_MAINTENANCE"

NONE = "NONE"
HAS_PROBLEM = "HAS_PROBLEM"
STATUSES = (NONE, HAS_PROBLEM, "NEEDS_REPAIR", IN_MAINTENANCE, "DAMAGED")

router = APIRouter(prefix="/api/device", tags=["devices"], responses=WRONG_REQUEST)


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


@router.patch("/maintenance-status")
async def change_maintenance(
    body: MaintenanceBody,
    caller: Asks,
    devices: TheDevices,
    store: TheStore,
    audit: TheAudit,
    clock: TheClock,
) -> Answer:
    """Say what is wrong with tablets, or that it is over. All of them, or none."""
    caller.require("command.send")
    named = [str(each) for each in body.device_ids]
    known = {each.row.code: each for each in await fleet.all_of(caller, devices, store)}
    by_code = {code: fleet.device_of(tablet, devices) for code, tablet in known.items()}
    at = clock.now()

    def work(tx: Transaction) -> Result[list[int]]:
        rows = {}
        missing: list[dict[str, Any]] = []
        for each in named:
            row = fleet.find(tx.connection, caller.organization_id, each)
            if row is None or row.code not in by_code:
                missing.append({"deviceId": each, "reason": "There is no such device"})
            else:
                rows[row.id] = row
        if missing:
            raise UnavailableError("Some devices do not exist", missing, field="deviceIds")
        effects: list[Effect] = []
        for row in rows.values():
            effects += change(
                tx,
                by_code[row.code],
                row,
                maintenance_status=body.maintenance_status,
                problem=body.problem,
                solution=body.solution,
                actor=caller.actor,
                at=at,
            )
            detail = {"maintenanceStatus": body.maintenance_status, "problem": body.problem}
            audit_log.add(tx, caller, "device.maintenance", row.code, at, detail)
        return Result(list(rows), effects)

    changed = await store.apply(work)
    await audit.record(
        caller,
        "tablet.maintenance",
        detail={"devices": changed, "maintenance_status": body.maintenance_status},
    )
    found = [each for each in await fleet.all_of(caller, devices, store) if each.row.id in changed]
    return {"success": True, "data": [each.view() for each in found], "count": len(found)}
