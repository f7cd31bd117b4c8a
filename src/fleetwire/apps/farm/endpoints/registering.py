"""Registering: what the routes of sensors and of devices have in common.

Each is one of the platform's devices, by its uuid, and a row here.
"""

from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import Query
from pydantic import Field
from sqlalchemy import Row, Table

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.endpoints.common import VIEW, WRITE
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.tables import areas
from fleetwire.kit import Caller, Credential, Devices, NotFoundError, Store, Transaction
from fleetwire.kit.etags import Precondition
from fleetwire.kit.instants import now

Status = Literal["active", "inactive", "pending", "maintenance", "faulty", "retired"]
Uuid = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
AreaId = Annotated[int | None, Query(alias="areaId", ge=1, lt=2**63, description="In one place")]


def mqtt_of(credential: Credential) -> dict[str, str]:
    """Return what a sensor or device signs in with over MQTT."""
    return {"username": credential.username, "password": credential.password}


async def page_of(
    caller: Caller,
    store: Store,
    table: Table,
    organization_id: int | None,
    area_id: int | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[Row[Any]], str | None]:
    """Return a part of the sensors or devices, and the cursor of what follows."""
    caller.require(VIEW)
    where = []
    if organization_id is not None:
        where.append(table.c.organization_id == organization_id)
    if area_id is not None:
        where.append(table.c.area_id == area_id)
    return await store.read(
        lambda connection: rows.page(
            connection, caller.organization_id, table, limit, cursor, *where
        )
    )


async def register(
    caller: Caller,
    store: Store,
    registry: Devices,
    table: Table,
    type: str,
    values: dict[str, Any],
) -> tuple[Row[Any], Credential]:
    """Make the row and the platform's device; if that is refused, there is no row either."""
    caller.require(WRITE)
    at = now()
    values["uuid"] = values["uuid"] or str(uuid4())

    def work(tx: Transaction) -> Row[Any]:
        tenant_id = caller.organization_id
        values["organization_id"] = rows.farm_of(tx, tenant_id, values["organization_id"], at)
        _check_area(tx, tenant_id, values["organization_id"], values["area_id"])
        times = {"created_at": at, "updated_at": at}
        return rows.add(tx, table, tenant_id=tenant_id, reported={}, **times, **values)

    row = await store.write(work)
    try:
        _, credential = await registry.register(
            caller,
            APP,
            row.uuid,
            type,
            name=row.name,
            attributes={"organization_id": row.organization_id},
        )
    except BaseException:
        await store.write(lambda tx: rows.remove(tx, table, row.id))
        raise
    return row, credential


async def change(
    caller: Caller,
    store: Store,
    registry: Devices,
    table: Table,
    id: int,
    values: dict[str, Any],
    if_match: Precondition,
) -> Row[Any]:
    """Change a row, and what the platform knows of it."""
    caller.require(WRITE)

    def work(tx: Transaction) -> Row[Any]:
        tenant_id = caller.organization_id
        row = rows.find(tx.connection, tenant_id, table, id)
        if_match.check(rows.tag_of(row))
        farm = values.get("organization_id", row.organization_id)
        rows.farm_of(tx, tenant_id, farm, now())
        if farm != row.organization_id:
            values.setdefault("area_id", None)  # it stands in no place of the other farm yet
        _check_area(tx, tenant_id, farm, values.get("area_id", row.area_id))
        return rows.change(tx, table, id, updated_at=now(), **values)

    row = await store.write(work)
    if values.keys() & {"name", "organization_id"}:
        await registry.update(
            caller,
            APP,
            row.uuid,
            name=row.name,
            attributes={"organization_id": row.organization_id},
        )
    return row


async def remove(caller: Caller, store: Store, registry: Devices, table: Table, id: int) -> None:
    """Remove a row and the platform\'s device; its tokens end at once."""
    caller.require(WRITE)
    row = await store.read(lambda c: rows.find(c, caller.organization_id, table, id))
    if registry.find(APP, row.uuid) is not None:
        await registry.delete(caller, APP, row.uuid)
    await store.write(lambda tx: rows.remove(tx, table, id))


def _check_area(tx: Transaction, tenant_id: int, farm: int, area_id: int | None) -> None:
    if area_id is None:
        return
    area = rows.find(tx.connection, tenant_id, areas, area_id, "areaId")
    if area.organization_id != farm:
        raise NotFoundError("There is no such area in this organization.", field="areaId")
