"""HTTP: stock."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select

from fleetwire.apps.vending import machines, stock
from fleetwire.apps.vending.endpoints.depends import (
    OPERATE,
    READ,
    Limit,
    Offset,
    TheAudit,
    TheStore,
    require_machine,
)
from fleetwire.apps.vending.endpoints.lenient import LenientRoute
from fleetwire.apps.vending.endpoints.telemetry import TheIntake, send
from fleetwire.apps.vending.tables import stock_logs
from fleetwire.kit import Asks
from fleetwire.kit.instants import iso, now

MachineId = Annotated[str, Path(min_length=1, max_length=128)]


class StockChange(BaseModel):
    """What somebody did at a slot: RESTOCK adds, REMOVE takes out, the others say how many are in.

    With `expected_current_stock` it is done only if the slot is as the caller believes.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"slot_id": 1, "quantity": 5, "change_type": "RESTOCK", "reason": "Monday round"}
            ]
        }
    )

    slot_id: int = Field(ge=1, le=2**53)
    quantity: int = Field(ge=0, le=100_000)
    change_type: Literal["RESTOCK", "MANUAL_ADJUST", "AUDIT", "REMOVE"]
    reason: str = Field("", max_length=200)
    expected_current_stock: int | None = Field(None, ge=0, le=100_000)
    performed_by: str | None = Field(None, max_length=100)


class SlotLevel(BaseModel):
    """How full a slot is."""

    slot_number: int = Field(ge=0, le=10_000)
    level: Literal["FULL", "HIGH", "MEDIUM", "LOW", "EMPTY"]


class StockReport(BaseModel):
    """What the machine's sensors see of its slots."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"slots": [{"slot_number": 1, "level": "LOW"}]}]}
    )

    slots: list[SlotLevel] = Field(min_length=1, max_length=100)


router = APIRouter(route_class=LenientRoute, prefix="/api/stock", tags=["stock"])


@router.post(
    "/update",
    responses={
        400: {"description": "The slot does not hold so many"},
        404: {"description": "No such slot"},
        409: {"description": "The stock is not the expected one; `current_stock` says what it is"},
    },
)
async def update_stock(
    caller: Asks, body: StockChange, store: TheStore, audit: TheAudit
) -> dict[str, Any]:
    """Change the count of a slot. The same within five seconds is done once."""
    caller.require(OPERATE)
    # Who is signed in stands beside the name that a client gives.
    by = caller.actor if not body.performed_by else f"{caller.actor} ({body.performed_by})"
    changed = await store.write(
        lambda tx: stock.change(
            tx,
            caller.organization_id,
            body.slot_id,
            body.change_type,
            body.quantity,
            reason=body.reason,
            by=by[:128],
            now=now(),
            expected=body.expected_current_stock,
        )
    )
    if not changed["is_duplicate"]:
        detail = {"type": body.change_type, "after": changed["current_stock"]}
        await audit.record(caller, "stock.update", f"slot:{body.slot_id}", detail=detail)
    return changed


@router.post("/report/{machine_id}", responses={400: {"description": "It was refused"}})
async def report_stock(
    caller: Asks, machine_id: MachineId, body: StockReport, store: TheStore, intake: TheIntake
) -> dict[str, Any]:
    """Say how full the slots are, as the machine's telemetry does."""
    levels = [{"id": each.slot_number, "level": each.level} for each in body.slots]
    await send(store, intake, caller, machine_id, "telemetry", json.dumps({"slots": levels}))
    return await read_stock(caller, machine_id, store)


@router.get("/logs/{machine_id}")
async def list_stock_logs(
    caller: Asks, machine_id: MachineId, store: TheStore, limit: Limit = 50, offset: Offset = 0
) -> dict[str, Any]:
    """List the changes of a machine's stock, newest first."""
    require_machine(caller, machine_id, READ)

    def work(connection: Any) -> dict[str, Any]:
        machines.find(connection, caller.organization_id, machine_id)
        own = stock_logs.c.machine_id == machine_id
        total = connection.execute(
            select(func.count()).select_from(stock_logs).where(own)
        ).scalar_one()
        rows = connection.execute(
            select(stock_logs)
            .where(own)
            .order_by(stock_logs.c.created_at.desc(), stock_logs.c.id.desc())
            .limit(limit)
            .offset(offset)
        ).mappings()
        logs = [{**row, "created_at": iso(row["created_at"])} for row in rows]
        return {"logs": logs, "total": total, "limit": limit, "offset": offset}

    return await store.read(work)


@router.get("/{machine_id}")
async def read_stock(caller: Asks, machine_id: MachineId, store: TheStore) -> dict[str, Any]:
    """Return what is in a machine's slots."""
    require_machine(caller, machine_id, READ)

    def work(connection: Any) -> dict[str, Any]:
        machines.find(connection, caller.organization_id, machine_id)
        return stock.of_machine(connection, machine_id)

    return await store.read(work)
