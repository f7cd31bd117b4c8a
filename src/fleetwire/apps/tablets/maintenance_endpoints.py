"""HTTP: `/api/device/maintenance-status`, what is wrong with tablets."""

from typing import Any

from fastapi import APIRouter

from fleetwire.apps.tablets import audit_log, fleet, maintenance
from fleetwire.apps.tablets.device_endpoints import Answer, TheAudit, TheDevices, TheStore
from fleetwire.apps.tablets.errors import WRONG_REQUEST, UnavailableError
from fleetwire.apps.tablets.schemas import MaintenanceBody
from fleetwire.kit import Asks, Effect, Result, Transaction
from fleetwire.kit.instants import now

router = APIRouter(prefix="/api/device", tags=["devices"], responses=WRONG_REQUEST)


@router.patch("/maintenance-status")
async def change_maintenance(
    body: MaintenanceBody, caller: Asks, devices: TheDevices, store: TheStore, audit: TheAudit
) -> Answer:
    """Say what is wrong with tablets, or that it is over. All of them, or none."""
    caller.require("command.send")
    named = [str(each) for each in body.device_ids]
    known = {each.row.code: each for each in await fleet.all_of(caller, devices, store)}
    by_code = {code: fleet.device_of(tablet, devices) for code, tablet in known.items()}
    at = now()

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
            effects += maintenance.change(
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
