"""HTTP: `/telemetry`, the named variables of sensors."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict
from sqlalchemy import Row

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.endpoints.common import (
    TAKEN,
    VIEW,
    WRITE,
    WRONG,
    Answer,
    Body,
    Cursor,
    Key,
    KeyInBody,
    Limit,
    Name,
    TheStore,
    Word,
    listed,
    success,
    tagged,
)
from fleetwire.apps.farm.tables import sensors, telemetry
from fleetwire.kit import Asks, Transaction
from fleetwire.kit.etags import PRECONDITIONS, IfMatch
from fleetwire.kit.instants import now

Datatype = Literal["number", "string", "boolean", "any"]


class TelemetryBody(Body):
    """A variable of a sensor; `unit` is a UCUM code."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"variableName": "temperature", "datatype": "number", "sensorId": 1, "unit": "Cel"}
            ]
        }
    )

    variable_name: Name
    sensor_id: KeyInBody
    datatype: Datatype = "number"
    unit: Word = ""


class TelemetryChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"unit": "Cel"}]})

    variable_name: Name = ""
    datatype: Datatype = "number"
    unit: Word = ""


router = APIRouter(prefix="/telemetry", tags=["telemetry"], responses=WRONG)


@router.get("")
async def list_telemetry(
    caller: Asks,
    store: TheStore,
    sensor_id: Annotated[int | None, Query(alias="sensorId", ge=1, lt=2**63)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Answer:
    """List variables."""
    caller.require(VIEW)
    where = [] if sensor_id is None else [telemetry.c.sensor_id == sensor_id]
    found = await store.read(
        lambda c: rows.page(c, caller.organization_id, telemetry, limit, cursor, *where)
    )
    return listed("telemetry", *found)


@router.post("", status_code=201, responses=TAKEN)
async def create_telemetry(caller: Asks, body: TelemetryBody, store: TheStore) -> Answer:
    """Add a variable to a sensor."""
    caller.require(WRITE)
    at = now()

    def work(tx: Transaction) -> Row[Any]:
        tenant_id = caller.organization_id
        rows.find(tx.connection, tenant_id, sensors, body.sensor_id, "sensorId")
        values = body.model_dump()
        times = {"created_at": at, "updated_at": at}
        return rows.add(tx, telemetry, tenant_id=tenant_id, **times, **values)

    return success(telemetry=rows.shown(await store.write(work)))


@router.get("/{id}")
async def read_telemetry(id: Key, caller: Asks, store: TheStore, response: Response) -> Answer:
    """Return a variable."""
    caller.require(VIEW)
    row = await store.read(lambda c: rows.find(c, caller.organization_id, telemetry, id))
    return success(telemetry=tagged(response, row))


@router.put("/{id}", include_in_schema=False)
@router.patch("/{id}", responses=PRECONDITIONS | TAKEN)
async def change_telemetry(
    id: Key,
    caller: Asks,
    body: TelemetryChange,
    store: TheStore,
    if_match: IfMatch,
    response: Response,
) -> Answer:
    """Change what is sent."""
    caller.require(WRITE)

    def work(tx: Transaction) -> Row[Any]:
        row = rows.find(tx.connection, caller.organization_id, telemetry, id)
        if_match.check(rows.tag_of(row))
        return rows.change(tx, telemetry, id, updated_at=now(), **body.given())

    return success(telemetry=tagged(response, await store.write(work)))


@router.delete("/{id}", status_code=204)
async def delete_telemetry(id: Key, caller: Asks, store: TheStore) -> None:
    """Remove a variable with its values."""
    caller.require(WRITE)

    def work(tx: Transaction) -> None:
        rows.find(tx.connection, caller.organization_id, telemetry, id)
        rows.remove(tx, telemetry, id)

    await store.write(work)
