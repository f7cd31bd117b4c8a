"""HTTP: `/sensors`."""

from fastapi import APIRouter, Response
from pydantic import ConfigDict

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.endpoints.common import (
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
    TheDevices,
    TheStore,
    Word,
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
from fleetwire.apps.farm.sources import SENSOR
from fleetwire.apps.farm.tables import sensors
from fleetwire.kit import Asks
from fleetwire.kit.etags import PRECONDITIONS, IfMatch


class SensorBody(Body):
    """A sensor to be known from now on; without `uuid` it is given one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Soil, bed 4", "sensorType": "soil"}]}
    )

    name: Name
    uuid: Uuid | None = None
    organization_id: KeyInBody | None = None
    area_id: KeyInBody | None = None
    description: Text = ""
    sensor_type: Word = ""
    status: Status = "active"


class SensorChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "maintenance"}]})

    name: Name = ""
    organization_id: KeyInBody = 0
    area_id: KeyInBody | None = None
    description: Text = ""
    sensor_type: Word = ""
    status: Status = "active"


router = APIRouter(responses=WRONG)


@router.get("/sensors", tags=["sensors"])
async def list_sensors(
    caller: Asks,
    store: TheStore,
    organization_id: OrganizationId = None,
    area_id: AreaId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Answer:
    """List sensors."""
    found = await page_of(caller, store, sensors, organization_id, area_id, limit, cursor)
    return listed("sensors", *found)


@router.post("/sensors", status_code=201, tags=["sensors"], responses=TAKEN)
async def create_sensor(
    caller: Asks, body: SensorBody, store: TheStore, registry: TheDevices
) -> Answer:
    """Register a sensor. Its MQTT password is shown this once."""
    values = {**body.model_dump(), "is_enrolled": False}
    row, credential = await register(caller, store, registry, sensors, SENSOR, values)
    return success(sensor=rows.shown(row), mqtt=mqtt_of(credential))


@router.get("/sensors/{id}", tags=["sensors"])
async def read_sensor(id: Key, caller: Asks, store: TheStore, response: Response) -> Answer:
    """Return a sensor."""
    caller.require(VIEW)
    row = await store.read(lambda c: rows.find(c, caller.organization_id, sensors, id))
    return success(sensor=tagged(response, row))


@router.put("/sensors/{id}", include_in_schema=False)
@router.patch("/sensors/{id}", tags=["sensors"], responses=PRECONDITIONS)
async def change_sensor(
    id: Key,
    caller: Asks,
    body: SensorChange,
    store: TheStore,
    registry: TheDevices,
    if_match: IfMatch,
    response: Response,
) -> Answer:
    """Change what is sent."""
    row = await change(caller, store, registry, sensors, id, body.given(), if_match)
    return success(sensor=tagged(response, row))


@router.delete("/sensors/{id}", status_code=204, tags=["sensors"])
async def delete_sensor(id: Key, caller: Asks, store: TheStore, registry: TheDevices) -> None:
    """Remove a sensor with its values; its tokens end at once."""
    await remove(caller, store, registry, sensors, id)
