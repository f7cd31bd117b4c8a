"""Device types as rows."""

from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from fleetwire.features.devicetypes.tables import device_types
from fleetwire.kit.types import DeviceType, DeviceTypeRecord
from fleetwire.store.database import Transaction


def all_types(connection: Connection) -> list[tuple[int, DeviceTypeRecord]]:
    """Return (organisation, type) of every type."""
    rows = connection.execute(select(device_types).order_by(device_types.c.id))
    return [(row.organization_id, _record(row)) for row in rows]


def find_type(connection: Connection, organization_id: int, name: str) -> DeviceTypeRecord | None:
    """Return an organisation's type."""
    row = connection.execute(
        select(device_types).where(
            device_types.c.organization_id == organization_id, device_types.c.name == name
        )
    ).one_or_none()
    return None if row is None else _record(row)


def count_types(connection: Connection, organization_id: int) -> int:
    """Return how many types of its own an organisation has."""
    query = select(func.count()).where(device_types.c.organization_id == organization_id)
    return connection.scalar(query) or 0


def insert_type(
    tx: Transaction, organization_id: int, type: DeviceType, at: int
) -> DeviceTypeRecord:
    """Store a type. Raises IntegrityError if its name is taken."""
    row = {
        "organization_id": organization_id,
        "name": type.name,
        "definition": _definition(type),
        "created_at": at,
        "updated_at": at,
    }
    inserted: Any = tx.execute(insert(device_types).values(row)).inserted_primary_key
    return DeviceTypeRecord(type, None, int(inserted[0]), at, at)


def update_type(tx: Transaction, id: int, type: DeviceType, at: int) -> None:
    """Store what a type says from now on."""
    values = {"definition": _definition(type), "updated_at": at}
    tx.execute(update(device_types).where(device_types.c.id == id).values(values))


def delete_type(tx: Transaction, id: int) -> None:
    """Remove a type."""
    tx.execute(delete(device_types).where(device_types.c.id == id))


def _definition(type: DeviceType) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(type)
    del said["name"]
    return said


def _record(row: Any) -> DeviceTypeRecord:
    type = msgspec.convert({"name": row.name, **row.definition}, DeviceType)
    return DeviceTypeRecord(type, None, row.id, row.created_at, row.updated_at)
