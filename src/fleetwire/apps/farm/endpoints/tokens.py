"""HTTP: `/device-tokens`, also as `/devicetokens` and `/devicetoken`."""

from typing import Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field
from sqlalchemy import Row, select

from fleetwire.apps.farm import rows
from fleetwire.apps.farm.endpoints.common import (
    VIEW,
    WRITE,
    WRONG,
    Answer,
    Body,
    Cursor,
    Holder,
    Key,
    KeyInBody,
    Limit,
    TheDevices,
    TheStore,
    success,
)
from fleetwire.apps.farm.errors import RefusedError
from fleetwire.apps.farm.sources import APP
from fleetwire.apps.farm.tables import devices, sensors, tokens
from fleetwire.kit import CREATES, Asks, Caller, CredentialRecord, Devices, Transaction
from fleetwire.kit.instants import iso, now, parse

PREFIXES = ("/device-tokens", "/devicetokens", "/devicetoken")


class TokenBody(Body):
    """Whose token it shall be, and until when it is good; without `expiresAt` until revoked."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"sensorId": 1, "expiresAt": "2030-01-01T00:00:00Z"}]}
    )

    sensor_id: KeyInBody | None = None
    device_id: KeyInBody | None = None
    expires_at: str | int | None = Field(None, description="ISO 8601, or epoch s or ms")


def token_routes() -> list[APIRouter]:
    """Return the routes under each of their names; the first is the one in the document."""
    return [_routes(prefix, is_shown=index == 0) for index, prefix in enumerate(PREFIXES)]


def _routes(prefix: str, *, is_shown: bool) -> APIRouter:
    router = APIRouter(
        prefix=prefix, tags=["device tokens"], responses=WRONG, include_in_schema=is_shown
    )
    router.get("")(list_tokens)
    router.post("", openapi_extra=CREATES)(create_token)
    router.get("/verify")(verify)
    router.get("/{id}")(read_token)
    router.patch("/{id}")(revoke_token)
    router.delete("/{id}", status_code=204)(delete_token)
    return router


async def list_tokens(
    caller: Asks, store: TheStore, limit: Limit = 100, cursor: Cursor = None
) -> Answer:
    """List tokens; none of them is shown."""
    caller.require(VIEW)
    found, following = await store.read(
        lambda c: rows.page(c, caller.organization_id, tokens, limit, cursor)
    )
    shown = [_shown(each) for each in found]
    return {**success(tokens=shown), "results": len(shown), "nextCursor": following}


async def create_token(
    caller: Asks, body: TokenBody, store: TheStore, registry: TheDevices
) -> Answer:
    """Make a token for a sensor or a device. It is shown this once; a hash of it is kept."""
    caller.require(WRITE)
    if (body.sensor_id is None) == (body.device_id is None):
        raise RefusedError("Say sensorId or deviceId", field="sensorId")
    expires_at = None if body.expires_at is None else parse(body.expires_at, "expiresAt")
    if expires_at is not None and expires_at <= now():
        raise RefusedError("expiresAt must be in the future", field="expiresAt")
    table, key, field = (
        (sensors, body.sensor_id, "sensorId")
        if body.sensor_id is not None
        else (devices, body.device_id, "deviceId")
    )
    assert key is not None, "one of both was said"
    found = await store.read(lambda c: rows.find(c, caller.organization_id, table, key, field))
    credential = await registry.issue_credential(caller, APP, found.uuid, expires_at=expires_at)

    def work(tx: Transaction) -> Row[Any]:
        return rows.add(
            tx,
            tokens,
            id=credential.id,
            tenant_id=caller.organization_id,
            uuid=found.uuid,
            sensor_id=body.sensor_id,
            device_id=body.device_id,
            expires_at=expires_at,
            created_at=now(),
        )

    row = await store.write(work)
    return {"status": "success", "data": {**_shown(row), "token": credential.password}}


async def verify(holder: Holder, store: TheStore) -> Answer:
    """Say whose token is shown as Bearer."""

    def work(connection: Any) -> dict[str, Any]:
        for name, table in (("sensorId", sensors), ("deviceId", devices)):
            row = connection.execute(
                select(table.c.id).where(table.c.uuid == holder.device_id)
            ).scalar()
            if row is not None:
                return {name: row}
        return {}

    return success(valid=True, deviceUuid=holder.device_id, **await store.read(work))


async def read_token(id: Key, caller: Asks, store: TheStore, registry: TheDevices) -> Answer:
    """Return what is known of a token."""
    caller.require(VIEW)
    row = await store.read(lambda c: rows.find(c, caller.organization_id, tokens, id))
    record = await _record(caller, registry, row)
    return {"status": "success", "data": {**_shown(row), **_state(record)}}


async def revoke_token(id: Key, caller: Asks, store: TheStore, registry: TheDevices) -> Answer:
    """Revoke a token: what is connected with it is closed at once."""
    caller.require(WRITE)
    row = await store.read(lambda c: rows.find(c, caller.organization_id, tokens, id))
    await registry.revoke_credential(caller, APP, row.uuid, id)
    record = await _record(caller, registry, row)
    return {"status": "success", "data": {**_shown(row), **_state(record)}}


async def delete_token(id: Key, caller: Asks, store: TheStore, registry: TheDevices) -> None:
    """Revoke a token and forget it."""
    await revoke_token(id, caller, store, registry)
    await store.write(lambda tx: rows.remove(tx, tokens, id))


async def _record(caller: Caller, registry: Devices, row: Row[Any]) -> CredentialRecord | None:
    found = await registry.credentials(caller, APP, row.uuid)
    return next((each for each in found if each.id == row.id), None)


def _shown(row: Row[Any]) -> dict[str, Any]:
    said = rows.shown(row)
    said["deviceUuid"] = said.pop("uuid")
    return said


def _state(record: CredentialRecord | None) -> dict[str, Any]:
    """Return whether a token can be used; one that the house does not know any more cannot."""
    revoked_at = record.revoked_at if record is not None else None
    used_at = record.last_used_at if record is not None else None
    is_over = record is None or (record.expires_at is not None and record.expires_at <= now())
    return {
        "isActive": not is_over and revoked_at is None,
        "revokedAt": None if revoked_at is None else iso(revoked_at),
        "lastUsedAt": None if used_at is None else iso(used_at),
    }
