"""HTTP: `/devices`, and commands to them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.endpoints.common import (
    COMMAND,
    TAKEN,
    VIEW,
    WRONG,
    Answer,
    Body,
    Cursor,
    Key,
    KeyInBody,
    Limit,
    Name,
    OrganizationId,
    Text,
    TheCommands,
    TheDevices,
    TheStore,
    listed,
    success,
    tagged,
)
from fleetwire.apps.farm.endpoints.registering import (
    AreaId,
    Status,
    Uuid,
    change,
    mqtt_of,
    page_of,
    register,
    remove,
)
from fleetwire.apps.farm.errors import RefusedError
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.states import COMMAND as STATE
from fleetwire.apps.farm.tables import devices
from fleetwire.kit import Asks
from fleetwire.kit.etags import PRECONDITIONS, IfMatch
from fleetwire.kit.instants import iso

DeviceType = Literal["actuator", "controller", "gateway", "sensor_hub", "hybrid", "other"]
ControlType = Literal["binary", "percentage", "multistate", "custom"]


class DeviceBody(Body):
    """An actuator to be known from now on; without `uuid` it is given one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Pump 1", "deviceType": "actuator", "controlType": "binary"}]
        }
    )

    name: Name
    uuid: Uuid | None = None
    organization_id: KeyInBody | None = None
    area_id: KeyInBody | None = None
    description: Text = ""
    status: Status = "active"
    device_type: DeviceType = "actuator"
    control_type: ControlType = "binary"
    is_critical: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict, max_length=64)


class DeviceChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"isCritical": True}]})

    name: Name = ""
    organization_id: KeyInBody = 0
    area_id: KeyInBody | None = None
    description: Text = ""
    status: Status = "active"
    device_type: DeviceType = "actuator"
    control_type: ControlType = "binary"
    is_critical: bool = False
    metadata: dict[str, Any] = Field(default_factory=dict, max_length=64)


class CommandBody(Body):
    """What a device shall do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"command": "restart", "parameters": {"delay": 5, "reason": "maintenance"}}
            ]
        }
    )

    command: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=100)
    expires_in_s: float = Field(300.0, gt=0, le=86_400)


router = APIRouter(responses=WRONG)


@router.get("/devices", tags=["devices"])
async def list_devices(
    caller: Asks,
    store: TheStore,
    organization_id: OrganizationId = None,
    area_id: AreaId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Answer:
    """List devices."""
    found = await page_of(caller, store, devices, organization_id, area_id, limit, cursor)
    return listed("devices", *found)


@router.post("/devices", status_code=201, tags=["devices"], responses=TAKEN)
async def create_device(
    caller: Asks, body: DeviceBody, store: TheStore, registry: TheDevices
) -> Answer:
    """Register a device. Its MQTT password is shown this once."""
    values = body.model_dump()
    row, credential = await register(caller, store, registry, devices, body.device_type, values)
    return success(device=rows.shown(row), mqtt=mqtt_of(credential))


@router.get("/devices/{id}", tags=["devices"])
async def read_device(id: Key, caller: Asks, store: TheStore, response: Response) -> Answer:
    """Return a device."""
    caller.require(VIEW)
    row = await store.read(lambda c: rows.find(c, caller.organization_id, devices, id))
    return success(device=tagged(response, row))


@router.put("/devices/{id}", include_in_schema=False)
@router.patch("/devices/{id}", tags=["devices"], responses=PRECONDITIONS)
async def change_device(
    id: Key,
    caller: Asks,
    body: DeviceChange,
    store: TheStore,
    registry: TheDevices,
    if_match: IfMatch,
    response: Response,
) -> Answer:
    """Change what is sent."""
    row = await change(caller, store, registry, devices, id, body.given(), if_match)
    return success(device=tagged(response, row))


@router.delete("/devices/{id}", status_code=204, tags=["devices"])
async def delete_device(id: Key, caller: Asks, store: TheStore, registry: TheDevices) -> None:
    """Remove a device with its states; its tokens end at once."""
    await remove(caller, store, registry, devices, id)


@router.post("/devices/{id}/commands", status_code=201, tags=["devices"])
async def send_command(
    id: Key,
    caller: Asks,
    body: CommandBody,
    store: TheStore,
    registry: TheDevices,
    commands: TheCommands,
) -> Answer:
    """Send a device a command, on `devices/{uuid}/commands`, now or when it is there."""
    caller.require(COMMAND)
    if body.command == STATE:
        raise RefusedError("States are set by /device-state-instances", field="command")
    row = await store.read(lambda c: rows.find(c, caller.organization_id, devices, id))
    record = await registry.get(caller, APP, row.uuid)
    sent = await commands.send(
        caller, record, body.command, body.parameters, expires_in_s=body.expires_in_s
    )
    return success(
        command={
            "id": sent.id,
            "deviceUuid": row.uuid,
            "command": sent.name,
            "parameters": sent.parameters,
            "state": sent.state,
            "createdAt": iso(sent.created_at),
            "expiresAt": iso(sent.expires_at),
        }
    )
