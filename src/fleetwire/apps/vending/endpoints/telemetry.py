"""HTTP: telemetry and temperature. What is sent here goes the same road as what comes by MQTT."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from fleetwire.apps.vending import machines, telemetry
from fleetwire.apps.vending.endpoints.common import (
    READ,
    LenientRoute,
    Limit,
    MachineId,
    Offset,
    TheAudit,
    TheClock,
    TheIntake,
    TheStore,
    require_machine,
)
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.tables import machine_telemetry, machines as machines_table
from fleetwire.kit import Asks, Audit, Caller, ForbiddenError, Intake, Store
from fleetwire.kit.instants import parse

Period = Annotated[str, Query(pattern="^(1h|24h|7d|30d)$")]

PERIODS_S = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}
DAY_US = 86_400_000_000


class Message(BaseModel):
    """What a machine says, as in its MQTT telemetry."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "machine_id": "VM01",
                    "data": {"temperature": 4.5, "humidity": 60, "door": "CLOSED", "rssi": -65},
                }
            ]
        }
    )

    machine_id: str = Field(min_length=1, max_length=128)
    data: dict[str, Any]


class MachineData(BaseModel):
    """What a machine says, its fields beside its id or in `data`."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"machine_id": "VM01", "temperature": 4.5}]},
    )

    machine_id: str = Field(min_length=1, max_length=128)
    data: dict[str, Any] | None = None


class Temperature(BaseModel):
    """One temperature in °C; the humidity in %."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"machine_id": "VM01", "value": 4.5, "humidity": 60}]}
    )

    machine_id: str = Field(min_length=1, max_length=128)
    value: float = Field(ge=telemetry.TEMPERATURES[0], le=telemetry.TEMPERATURES[1])
    humidity: float | None = Field(None, ge=0, le=100)


router = APIRouter(route_class=LenientRoute, tags=["telemetry"])
_TAKEN: dict[int | str, dict[str, Any]] = {
    400: {"description": "It was refused, and is in quarantine"},
    404: {"description": "No such machine"},
}


@router.post("/api/telemetry", responses=_TAKEN)
async def send_telemetry(
    caller: Asks, body: Message, store: TheStore, intake: TheIntake, audit: TheAudit
) -> dict[str, Any]:
    """Send what a machine says; a machine for itself, or an operator."""
    await send(store, intake, audit, caller, body.machine_id, json.dumps(body.data))
    return {"success": True, "machine_id": body.machine_id}


@router.get("/api/telemetry/{machine_id}")
async def list_telemetry(
    caller: Asks,
    machine_id: MachineId,
    store: TheStore,
    limit: Limit = 100,
    offset: Offset = 0,
    start_time: Annotated[str | None, Query(max_length=40)] = None,
    end_time: Annotated[str | None, Query(max_length=40)] = None,
) -> dict[str, Any]:
    """List what a machine said, newest first; the times are ISO 8601 or epoch numbers."""
    start_at = None if start_time is None else parse(start_time, "start_time")
    end_at = None if end_time is None else parse(end_time, "end_time")
    require_machine(caller, machine_id, READ)

    def work(connection: Any) -> list[dict[str, Any]]:
        machines.find(connection, caller.organization_id, machine_id)
        return telemetry.rows_of(
            connection, machine_id, limit=limit, offset=offset, start_at=start_at, end_at=end_at
        )

    rows = await store.read(work)
    return {"machine_id": machine_id, "telemetry": rows, "limit": limit, "offset": offset}


@router.get("/api/telemetry/{machine_id}/latest")
async def read_latest(caller: Asks, machine_id: MachineId, store: TheStore) -> dict[str, Any]:
    """Return the last message of a machine, null if there is none."""
    rows = await list_telemetry(caller, machine_id, store, 1)
    found = rows["telemetry"]
    return {"machine_id": machine_id, "latest": found[0] if found else None}


@router.get("/api/telemetry/{machine_id}/summary")
async def read_summary(
    caller: Asks, machine_id: MachineId, store: TheStore, clock: TheClock, period: Period = "24h"
) -> dict[str, Any]:
    """Return how much a machine said in a period, and the range of its numbers."""
    require_machine(caller, machine_id, READ)
    since_at = clock.now() - PERIODS_S[period] * 1_000_000

    def work(connection: Any) -> dict[str, Any]:
        machines.find(connection, caller.organization_id, machine_id)
        return telemetry.summary(connection, machine_id, since_at)

    return {"machine_id": machine_id, "period": period, **await store.read(work)}


@router.post("/api/temperature/log", responses=_TAKEN)
async def log_temperature(
    caller: Asks, body: Temperature, store: TheStore, intake: TheIntake, audit: TheAudit
) -> dict[str, Any]:
    """Send a temperature; 0 °C is one."""
    said = {"temperature": body.value}
    if body.humidity is not None:
        said["humidity"] = body.humidity
    await send(store, intake, audit, caller, body.machine_id, json.dumps(said))
    return {
        "success": True,
        "machine_id": body.machine_id,
        "value": body.value,
        "humidity": body.humidity,
    }


@router.get("/api/temperature/{machine_id}")
async def list_temperatures(
    caller: Asks, machine_id: MachineId, store: TheStore, limit: Limit = 24
) -> dict[str, Any]:
    """Return the latest temperatures, oldest first."""
    require_machine(caller, machine_id, READ)

    def work(connection: Any) -> list[dict[str, Any]]:
        machines.find(connection, caller.organization_id, machine_id)
        return telemetry.temperatures_of(connection, machine_id, limit)

    rows = await store.read(work)
    return {"machine_id": machine_id, "data": rows, "count": len(rows)}


@router.post("/api/machine-data", responses=_TAKEN)
async def send_machine_data(
    caller: Asks, body: MachineData, store: TheStore, intake: TheIntake, audit: TheAudit
) -> dict[str, Any]:
    """Send what a machine says, its fields beside its id."""
    said = {**(body.model_extra or {}), **(body.data or {})}
    await send(store, intake, audit, caller, body.machine_id, json.dumps(said))
    return {"success": True, "machine_id": body.machine_id}


@router.get("/api/machine-data/latest")
async def list_latest_data(caller: Asks, store: TheStore) -> dict[str, Any]:
    """Return the last message of each machine."""
    caller.require(READ)

    def work(connection: Any) -> list[dict[str, Any]]:
        ids = connection.scalars(
            select(machines_table.c.id)
            .where(machines_table.c.organization_id == caller.organization_id)
            .order_by(machines_table.c.id)
            .limit(1000)
        ).all()
        return [row for id in ids for row in telemetry.rows_of(connection, id, limit=1)]

    rows = await store.read(work)
    return {"success": True, "data": rows, "count": len(rows)}


@router.get("/api/machine-data/today")
async def list_data_of_today(
    caller: Asks, store: TheStore, clock: TheClock, limit: Limit = 100
) -> dict[str, Any]:
    """Return what was said since midnight UTC, newest first."""
    caller.require(READ)
    midnight_at = clock.now() // DAY_US * DAY_US

    def work(connection: Any) -> list[dict[str, Any]]:
        rows = connection.execute(
            select(machine_telemetry)
            .join(machines_table, machines_table.c.id == machine_telemetry.c.machine_id)
            .where(
                machines_table.c.organization_id == caller.organization_id,
                machine_telemetry.c.at >= midnight_at,
            )
            .order_by(machine_telemetry.c.at.desc(), machine_telemetry.c.id.desc())
            .limit(limit)
        )
        return [telemetry.shown(row) for row in rows]

    rows = await store.read(work)
    return {"success": True, "data": rows, "count": len(rows)}


@router.get("/api/machine-data/machine/{machine_id}")
async def list_machine_data(
    caller: Asks, machine_id: MachineId, store: TheStore, limit: Limit = 100, offset: Offset = 0
) -> dict[str, Any]:
    """Return what a machine said, newest first."""
    found = await list_telemetry(caller, machine_id, store, limit, offset)
    return {"success": True, "data": found["telemetry"], "count": len(found["telemetry"])}


@router.get("/api/machine-data/stats/{machine_id}")
async def read_machine_data_stats(
    caller: Asks, machine_id: MachineId, store: TheStore, clock: TheClock, period: Period = "24h"
) -> dict[str, Any]:
    """Return how much a machine said in a period, and the range of its numbers."""
    return {"success": True, "data": await read_summary(caller, machine_id, store, clock, period)}


async def send(
    store: Store,
    intake: Intake,
    audit: Audit,
    caller: Caller,
    machine_id: str,
    payload: str,
) -> None:
    """Carry a machine's telemetry. Raises RefusedError with the reason, NotFoundError.

    Who speaks for a machine that he is not is refused, and that is put on record.
    """
    try:
        require_machine(caller, machine_id, "message.publish")
    except ForbiddenError:
        await audit.record(caller, "message.publish", f"machine:{machine_id}", outcome="refused")
        raise
    if not caller.device_id:
        await store.read(
            lambda connection: machines.find(connection, caller.organization_id, machine_id)
        )
    outcome = await intake.receive(caller, f"vm/{machine_id}/telemetry", payload.encode())
    if not outcome.is_stored:
        raise RefusedError(outcome.reason or "The message was refused", field=outcome.field)
