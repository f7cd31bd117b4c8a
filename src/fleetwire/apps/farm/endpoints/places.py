"""HTTP: organisations and areas."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field
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
    Limit,
    Name,
    OrganizationId,
    Text,
    TheAudit,
    TheMessages,
    TheStore,
    Word,
    listed,
    success,
    tagged,
)
from fleetwire.apps.farm.tables import areas, devices, organizations, rule_chains, sensors
from fleetwire.kit import Asks, ConflictError, Transaction
from fleetwire.kit.etags import PRECONDITIONS, IfMatch
from fleetwire.kit.instants import iso, now

Status = Literal["active", "inactive"]


class OrganizationBody(Body):
    """A farm to be known from now on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "North farm", "description": "Tomatoes"}]}
    )

    name: Name
    description: Text = ""
    status: Status = "active"


class OrganizationChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"description": "Tomatoes and peppers"}]}
    )

    name: Name = ""
    description: Text = ""
    status: Status = "active"


class AreaBody(Body):
    """A place of a farm; without `organizationId` of the first one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Greenhouse 1", "areaType": "greenhouse"}]}
    )

    name: Name
    organization_id: int | None = Field(None, ge=1, lt=2**63)
    description: Text = ""
    area_type: Word = ""


class AreaChange(Body):
    """What shall be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Greenhouse 2"}]})

    name: Name = ""
    description: Text = ""
    area_type: Word = ""


class BroadcastBody(Body):
    """What all members of a farm are told."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "Frost tonight"}]})

    message: Annotated[str, Field(min_length=1, max_length=4000)]


router = APIRouter(responses=WRONG)


@router.get("/organizations", tags=["organizations"])
async def list_organizations(
    caller: Asks, store: TheStore, limit: Limit = 100, cursor: Cursor = None
) -> Answer:
    """List the farms."""
    caller.require(VIEW)
    found = await store.read(
        lambda connection: rows.page(
            connection, caller.organization_id, organizations, limit, cursor
        )
    )
    return listed("organizations", *found)


@router.post("/organizations", status_code=201, tags=["organizations"], responses=TAKEN)
async def create_organization(caller: Asks, body: OrganizationBody, store: TheStore) -> Answer:
    """Add a farm."""
    caller.require(WRITE)
    at = now()
    made = await store.write(
        lambda tx: rows.add(
            tx,
            organizations,
            tenant_id=caller.organization_id,
            created_at=at,
            updated_at=at,
            **body.model_dump(),
        )
    )
    return success(organization=rows.shown(made))


@router.get("/organizations/{id}", tags=["organizations"])
async def read_organization(id: Key, caller: Asks, store: TheStore, response: Response) -> Answer:
    """Return a farm."""
    caller.require(VIEW)
    row = await store.read(
        lambda connection: rows.find(connection, caller.organization_id, organizations, id)
    )
    return success(organization=tagged(response, row))


@router.put("/organizations/{id}", include_in_schema=False)
@router.patch("/organizations/{id}", tags=["organizations"], responses=PRECONDITIONS | TAKEN)
async def change_organization(
    id: Key,
    caller: Asks,
    body: OrganizationChange,
    store: TheStore,
    if_match: IfMatch,
    response: Response,
) -> Answer:
    """Change what is sent."""
    caller.require(WRITE)

    def work(tx: Transaction) -> Row[Any]:
        row = rows.find(tx.connection, caller.organization_id, organizations, id)
        if_match.check(rows.tag_of(row))
        return rows.change(tx, organizations, id, updated_at=now(), **body.given())

    return success(organization=tagged(response, await store.write(work)))


@router.delete(
    "/organizations/{id}",
    status_code=204,
    tags=["organizations"],
    responses={409: {"description": "It has sensors, devices or rule chains"}},
)
async def delete_organization(id: Key, caller: Asks, store: TheStore) -> None:
    """Remove a farm that has no sensors, devices and rule chains, with its areas."""
    caller.require(WRITE)

    def work(tx: Transaction) -> None:
        rows.find(tx.connection, caller.organization_id, organizations, id)
        for table in (sensors, devices, rule_chains):
            if rows.count(tx.connection, table, table.c.organization_id == id):
                raise ConflictError(f"The organization has a {rows.noun(table)}: remove it first.")
        rows.remove(tx, organizations, id)

    await store.write(work)


@router.post("/organizations/{id}/broadcast", tags=["organizations"])
async def broadcast(
    id: Key,
    caller: Asks,
    body: BroadcastBody,
    store: TheStore,
    messages: TheMessages,
    audit: TheAudit,
) -> Answer:
    """Tell all members of a farm something, on `organizations/{id}/broadcast`."""
    caller.require("command.send")
    await store.read(
        lambda connection: rows.find(connection, caller.organization_id, organizations, id)
    )
    said = {
        "type": "broadcast",
        "organizationId": id,
        "message": body.message,
        "timestamp": iso(now()),
    }
    topic = f"organizations/{id}/broadcast"
    await messages.publish(caller, topic, json.dumps(said).encode(), qos=1)
    await audit.record(caller, "farm.broadcast", f"organization:{id}")
    return success(broadcast=said, topic=topic)


@router.get("/areas", tags=["areas"])
async def list_areas(
    caller: Asks,
    store: TheStore,
    organization_id: OrganizationId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Answer:
    """List places."""
    caller.require(VIEW)
    where = [] if organization_id is None else [areas.c.organization_id == organization_id]
    found = await store.read(
        lambda connection: rows.page(
            connection, caller.organization_id, areas, limit, cursor, *where
        )
    )
    return listed("areas", *found)


@router.post("/areas", status_code=201, tags=["areas"], responses=TAKEN)
async def create_area(caller: Asks, body: AreaBody, store: TheStore) -> Answer:
    """Add a place."""
    caller.require(WRITE)
    at = now()

    def work(tx: Transaction) -> Row[Any]:
        values = body.model_dump()
        values["organization_id"] = rows.farm_of(
            tx, caller.organization_id, body.organization_id, at
        )
        return rows.add(
            tx, areas, tenant_id=caller.organization_id, created_at=at, updated_at=at, **values
        )

    return success(area=rows.shown(await store.write(work)))


@router.get("/areas/{id}", tags=["areas"])
async def read_area(id: Key, caller: Asks, store: TheStore, response: Response) -> Answer:
    """Return a place."""
    caller.require(VIEW)
    row = await store.read(
        lambda connection: rows.find(connection, caller.organization_id, areas, id)
    )
    return success(area=tagged(response, row))


@router.put("/areas/{id}", include_in_schema=False)
@router.patch("/areas/{id}", tags=["areas"], responses=PRECONDITIONS | TAKEN)
async def change_area(
    id: Key, caller: Asks, body: AreaChange, store: TheStore, if_match: IfMatch, response: Response
) -> Answer:
    """Change what is sent."""
    caller.require(WRITE)

    def work(tx: Transaction) -> Row[Any]:
        row = rows.find(tx.connection, caller.organization_id, areas, id)
        if_match.check(rows.tag_of(row))
        return rows.change(tx, areas, id, updated_at=now(), **body.given())

    return success(area=tagged(response, await store.write(work)))


@router.delete("/areas/{id}", status_code=204, tags=["areas"])
async def delete_area(id: Key, caller: Asks, store: TheStore) -> None:
    """Remove a place; what stood there stands nowhere."""
    caller.require(WRITE)

    def work(tx: Transaction) -> None:
        rows.find(tx.connection, caller.organization_id, areas, id)
        rows.remove(tx, areas, id)

    await store.write(work)
