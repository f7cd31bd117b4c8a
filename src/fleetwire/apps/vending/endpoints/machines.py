"""HTTP: machines, their slots, configuration and figures."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import insert, select, update

from fleetwire.apps.vending import machines, stock
from fleetwire.apps.vending.endpoints.common import (
    MANAGE,
    OPERATE,
    READ,
    LenientRoute,
    MachineId,
    TheAudit,
    TheClock,
    TheDevices,
    TheStore,
    require_machine,
)
from fleetwire.apps.vending.endpoints.telemetry import PERIODS_S, Period
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.tables import machines as machines_table, products, slots
from fleetwire.kit import Asks, Device, Messages, NotFoundError, Result, Transaction, service

CONFIG_EXAMPLE = {"motorTimeout": 3000, "dropSensorDelay": 50, "telemetryInterval": 60000}


class NewMachine(BaseModel):
    """A machine to be known from now on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"machine_id": "VM02", "name": "Lobby", "location": "Building A"}]
        }
    )

    machine_id: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")
    name: str = Field("", max_length=128)
    location: str = Field("", max_length=200)
    stock_source: Literal["count", "level"] = "count"


class Status(BaseModel):
    """What somebody says of a machine."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "MAINTENANCE"}]})

    status: str = Field(min_length=1, max_length=16)
    door: Literal["OPEN", "CLOSED"] | None = None


class Assignment(BaseModel):
    """Which product a slot sells; null = none. Fields that are given change the slot, too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"slot_id": 1, "product_id": 2}]})

    slot_id: int | None = Field(None, ge=1, le=2**53)
    slot_number: int | None = Field(
        None, ge=1, le=1000, description="Instead of slot_id; a slot that is not there is made"
    )
    product_id: int | None = Field(ge=1, le=2**53)
    capacity: int | None = Field(None, ge=1, le=1000)
    price_override: int | None = Field(None, ge=0, le=10**12)
    motor_duration_ms: int | None = Field(None, ge=100, le=60_000)
    is_active: bool | None = None


router = APIRouter(route_class=LenientRoute, prefix="/api/machines", tags=["machines"])


@router.get("")
async def list_machines(
    caller: Asks, store: TheStore, limit: Annotated[int, Query(ge=1, le=1000)] = 500
) -> dict[str, Any]:
    """List the organisation's machines."""
    caller.require(READ)
    rows = await store.read(
        lambda connection: connection.execute(
            select(machines_table)
            .where(machines_table.c.organization_id == caller.organization_id)
            .order_by(machines_table.c.id)
            .limit(limit)
        ).all()
    )
    shown = [machines.shown(row) for row in rows]
    return {"success": True, "machines": shown, "data": shown, "count": len(shown)}


@router.post("", status_code=201, responses={409: {"description": "It is known already"}})
async def register_machine(
    caller: Asks, body: NewMachine, store: TheStore, devices: TheDevices, clock: TheClock
) -> dict[str, Any]:
    """Register a machine. Its MQTT password is shown this once."""
    caller.require(MANAGE)
    record, credential = await devices.register(
        caller, machines.APP, body.machine_id, "vending_machine", name=body.name or None
    )
    device = devices.find(machines.APP, record.device_id)
    assert device is not None, "it was registered just now"

    def work(tx: Transaction) -> dict[str, Any]:
        machine = machines.ensure(tx, device, clock.now(), name=body.name, location=body.location)
        machines.note(tx, machine, clock.now(), stock_source=body.stock_source)
        return machines.shown(machines.find(tx.connection, caller.organization_id, machine.id))

    shown = await store.write(work)
    mqtt = {"username": credential.username, "password": credential.password}
    return {"success": True, **shown, "mqtt": mqtt}


@router.get("/{machine_id}")
async def read_machine(caller: Asks, machine_id: MachineId, store: TheStore) -> dict[str, Any]:
    """Return a machine with its slots."""
    require_machine(caller, machine_id, READ)

    def work(connection: Any) -> dict[str, Any]:
        machine = machines.find(connection, caller.organization_id, machine_id)
        return {
            **machines.shown(machine),
            "slots": stock.of_machine(connection, machine_id)["slots"],
        }

    return await store.read(work)


@router.post("/{machine_id}/status", responses={400: {"description": "No such status"}})
async def set_status(
    caller: Asks,
    machine_id: MachineId,
    body: Status,
    store: TheStore,
    devices: TheDevices,
    clock: TheClock,
) -> dict[str, Any]:
    """Say how a machine is, such as MAINTENANCE."""
    require_machine(caller, machine_id, OPERATE)
    status = body.status.upper()
    if status not in machines.STATUSES:
        raise RefusedError(f"status must be one of {', '.join(machines.STATUSES)}", field="status")
    device = _device(devices, machine_id, caller.organization_id)

    def work(tx: Transaction) -> Result[dict[str, Any]]:
        machine = machines.ensure(tx, device, clock.now())
        machines.note(tx, machine, clock.now(), door=body.door)
        events = machines.set_status(tx, machine, device, status, caller.actor, clock.now())
        machine = machines.find(tx.connection, caller.organization_id, machine_id)
        return Result(machines.shown(machine), events)

    return await store.apply(work)


@router.put("/{machine_id}/config", responses={400: {"description": "It does not fit"}})
async def set_config(
    caller: Asks,
    machine_id: MachineId,
    body: Annotated[dict[str, Any], Body(examples=[CONFIG_EXAMPLE])],
    store: TheStore,
    devices: TheDevices,
    messages: Annotated[Messages, service(Messages)],
    audit: TheAudit,
    clock: TheClock,
) -> dict[str, Any]:
    """Say how the machine shall be set up; it is told now, or when it comes back.

    Fields are merged into what was wanted before: `{"motorTimeout": 3000}`; null removes one.
    """
    caller.require(MANAGE)
    _device(devices, machine_id, caller.organization_id)
    if len(json.dumps(body)) > 160:
        raise RefusedError("The machine reads packets of 256 bytes: say less at a time")

    def work(tx: Transaction) -> dict[str, Any]:
        machine = machines.find(tx.connection, caller.organization_id, machine_id)
        desired = {
            name: value
            for name, value in {**machine.desired_config, **body}.items()
            if value is not None
        }
        if len(json.dumps(desired)) > 200:
            raise RefusedError("The whole configuration must fit a packet of 256 bytes")
        machines.note(tx, machine, clock.now(), desired_config=desired)
        return desired

    desired = await store.write(work)
    await messages.retain(caller, machines.config_topic(machine_id), machines.encoded(desired))
    await audit.record(caller, "machine.config", f"machine:{machine_id}", detail={"set": body})
    return await read_machine(caller, machine_id, store)


@router.get("/{machine_id}/stats")
async def read_stats(
    caller: Asks, machine_id: MachineId, store: TheStore, clock: TheClock, period: Period = "24h"
) -> dict[str, Any]:
    """Return a machine's sales and how its dispensing went in a period."""
    require_machine(caller, machine_id, READ)
    since_at = clock.now() - PERIODS_S[period] * 1_000_000

    def work(connection: Any) -> dict[str, Any]:
        machines.find(connection, caller.organization_id, machine_id)
        return machines.figures(connection, machine_id, since_at)

    return {"machine_id": machine_id, "period": period, **await store.read(work)}


@router.post("/{machine_id}/slots/assign", responses={400: {"description": "It does not fit"}})
async def assign_slot(
    caller: Asks,
    machine_id: MachineId,
    body: Assignment,
    store: TheStore,
    devices: TheDevices,
    clock: TheClock,
) -> dict[str, Any]:
    """Say which product a slot sells."""
    caller.require(MANAGE)
    device = _device(devices, machine_id, caller.organization_id)
    if (body.slot_id is None) == (body.slot_number is None):
        raise RefusedError("Say slot_id or slot_number", field="slot_id")

    def work(tx: Transaction) -> dict[str, Any]:
        machines.ensure(tx, device, clock.now())
        if body.product_id is not None:
            product = tx.execute(
                select(products.c.id).where(
                    products.c.id == body.product_id,
                    products.c.organization_id == caller.organization_id,
                )
            ).scalar()
            if product is None:
                raise NotFoundError("Product not found", field="product_id")
        own = slots.c.machine_id == machine_id
        own &= (
            slots.c.id == body.slot_id
            if body.slot_id is not None
            else slots.c.slot_number == body.slot_number
        )
        values = {
            name: value
            for name, value in body.model_dump(exclude={"slot_id", "slot_number"}).items()
            if value is not None or name == "product_id"
        }
        done = tx.execute(update(slots).where(own).values(updated_at=clock.now(), **values))
        if not done.rowcount:
            if body.slot_number is None:
                raise NotFoundError("Slot not found", field="slot_id")
            new = {"capacity": 10, "motor_duration_ms": 2150, "is_active": True, **values}
            tx.execute(
                insert(slots).values(
                    machine_id=machine_id,
                    slot_number=body.slot_number,
                    current_stock=0,
                    reserved_stock=0,
                    updated_at=clock.now(),
                    **new,
                )
            )
        return stock.of_machine(tx.connection, machine_id)

    return {"success": True, **await store.write(work)}


def _device(devices: Any, machine_id: str, organization_id: int) -> Device:
    device = devices.find(machines.APP, machine_id)
    if not isinstance(device, Device) or device.organization_id != organization_id:
        raise NotFoundError("Machine not found", field="machine_id")
    return device
