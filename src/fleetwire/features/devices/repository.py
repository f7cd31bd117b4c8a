"""Devices as rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, or_, select, update

from fleetwire.errors import InvalidValueError, NotFoundError
from fleetwire.features.areas.repository import (
    areas_of,
    find_area,
    put_device,
    stands_within,
)
from fleetwire.features.devices.facts import facts_of
from fleetwire.features.devices.tables import (
    device_credentials,
    device_facts,
    device_tags,
    devices,
)
from fleetwire.kit.areas import Area
from fleetwire.kit.services import DeviceRecord
from fleetwire.store.database import Transaction

CHUNK = 500  # keys in one SELECT

_columns = (
    devices.c.id,
    devices.c.app,
    devices.c.device_id,
    devices.c.organization_id,
    devices.c.type,
    devices.c.name,
    devices.c.attributes,
    devices.c.status,
    devices.c.reported,
    devices.c.connected,
    devices.c.connected_reason,
    devices.c.connected_since_at,
    devices.c.last_seen_at,
    devices.c.created_at,
    devices.c.updated_at,
)


def insert_device(
    tx: Transaction,
    *,
    organization_id: int,
    app: str,
    device_id: str,
    type: str,
    name: str | None,
    attributes: dict[str, Any],
    status: str,
    at: int,
    tags: tuple[str, ...] = (),
    area: Area | None = None,
) -> DeviceRecord:
    """Store a device. Raises IntegrityError if its name is taken."""
    row = {
        "organization_id": organization_id,
        "app": app,
        "device_id": device_id,
        "type": type,
        "name": name,
        "attributes": attributes,
        "status": status,
        "reported": {},
        "connected": False,
        "created_at": at,
        "updated_at": at,
    }
    id = _key(tx.execute(insert(devices).values(row)).inserted_primary_key)
    set_facts(tx, id, attributes)
    set_tags(tx, id, tags)
    if area is not None:
        put_device(tx, id, area.id)
    return DeviceRecord(
        id=id,
        organization_id=organization_id,
        app=app,
        device_id=device_id,
        type=type,
        name=name,
        attributes=attributes,
        status=status,
        reported={},
        connected=False,
        connected_reason=None,
        connected_since_at=None,
        last_seen_at=None,
        created_at=at,
        updated_at=at,
        tags=tags,
        area_id=None if area is None else area.id,
        area=None if area is None else area.path,
    )


def find_device(connection: Connection, id: int) -> DeviceRecord | None:
    """Return a device by key."""
    row = connection.execute(select(*_columns).where(devices.c.id == id)).one_or_none()
    return None if row is None else _records(connection, [row])[0]


def name_by_key(key: ColumnElement[int]) -> ColumnElement[str]:
    """Return the expression, for other rooms' queries, of a device's name; "" if it was removed."""
    name = select(devices.c.device_id).where(devices.c.id == key).scalar_subquery()
    return func.coalesce(name, "")


def keys_by_name(organization_id: int, device_id: str) -> Select[tuple[int]]:
    """Return the query for the keys of an organisation's devices of this name, in any app."""
    return select(devices.c.id).where(
        devices.c.device_id == device_id, devices.c.organization_id == organization_id
    )


def list_devices(
    connection: Connection,
    *,
    organization_id: int,
    app: str | None,
    attributes: dict[str, str],
    search: str | None,
    meant: ColumnElement[bool] | None = None,
    area_id: int | None = None,
    after_id: int,
    limit: int,
) -> list[DeviceRecord]:
    """Return devices after this key, in the order they were registered.

    Raises NotFoundError if the organisation has no such area.
    """
    query = select(*_columns).where(
        devices.c.organization_id == organization_id, devices.c.id > after_id
    )
    if app is not None:
        query = query.where(devices.c.app == app)
    if meant is not None:
        query = query.where(meant)
    if area_id is not None:
        area = find_area(connection, organization_id, area_id)
        if area is None:
            raise NotFoundError(f"There is no area {area_id}.", field="area_id")
        query = query.where(stands_within(devices.c.id, area.path))
    for name, value in attributes.items():
        query = query.where(devices.c.attributes[name].as_string() == value)
    if search:
        query = query.where(
            or_(
                devices.c.device_id.icontains(search, autoescape=True),
                devices.c.name.icontains(search, autoescape=True),
                devices.c.type.icontains(search, autoescape=True),
            )
        )
    rows = connection.execute(query.order_by(devices.c.id).limit(limit)).all()
    return _records(connection, rows)


def count_devices(
    connection: Connection,
    *,
    organization_id: int,
    app: str | None,
    meant: ColumnElement[bool] | None,
) -> int:
    """Return how many devices an organisation has of this app (None = any) that are meant."""
    query = select(func.count()).where(devices.c.organization_id == organization_id)
    if app is not None:
        query = query.where(devices.c.app == app)
    if meant is not None:
        query = query.where(meant)
    return connection.scalar(query) or 0


def count_of_type(connection: Connection, organization_id: int, type: str) -> int:
    """Return how many of an organisation's devices are of this type."""
    query = select(func.count()).where(
        devices.c.organization_id == organization_id, devices.c.type == type
    )
    return connection.scalar(query) or 0


def statuses_of(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return the stored status of each of these devices."""
    found: dict[int, str] = {}
    keys = list(ids)
    for start in range(0, len(keys), CHUNK):
        query = select(devices.c.id, devices.c.status).where(
            devices.c.id.in_(keys[start : start + CHUNK])
        )
        found |= {row.id: row.status for row in connection.execute(query)}
    return found


def update_device(tx: Transaction, id: int, changes: dict[str, Any]) -> None:
    """Change columns of a device."""
    tx.execute(update(devices).where(devices.c.id == id).values(changes))


def set_tags(tx: Transaction, id: int, tags: tuple[str, ...]) -> None:
    """Give a device these tags and no other."""
    tx.execute(delete(device_tags).where(device_tags.c.device == id))
    if tags:
        tx.execute(insert(device_tags), [{"device": id, "tag": tag} for tag in tags])


def set_area(tx: Transaction, id: int, organization_id: int, area_id: int) -> Area | None:
    """Let a device stand in an area of its organisation, 0 = in none; return the area.

    Raises InvalidValueError if there is no such area.
    """
    area = area_to_stand_in(tx, organization_id, area_id)
    put_device(tx, id, None if area is None else area.id)
    return area


def area_to_stand_in(tx: Transaction, organization_id: int, area_id: int | None) -> Area | None:
    """Return an organisation's area, None for 0 and None. Raises InvalidValueError."""
    if not area_id:
        return None
    area = find_area(tx.connection, organization_id, area_id)
    if area is None:
        raise InvalidValueError(f"There is no area {area_id}.", field="area_id")
    return area


def set_facts(tx: Transaction, id: int, attributes: dict[str, Any]) -> None:
    """Store a device's attributes as queries compare them."""
    tx.execute(delete(device_facts).where(device_facts.c.device == id))
    rows = [
        {"device": id, "name": name, "text": text, "number": number}
        for name, (text, number) in facts_of(attributes).items()
    ]
    if rows:
        tx.execute(insert(device_facts), rows)


def delete_device(tx: Transaction, id: int) -> bool:
    """Remove a device and its credentials; False if it is not there."""
    set_tags(tx, id, ())
    set_facts(tx, id, {})
    put_device(tx, id, None)
    tx.execute(delete(device_credentials).where(device_credentials.c.device == id))
    return tx.execute(delete(devices).where(devices.c.id == id)).rowcount == 1


def all_devices(connection: Connection) -> Sequence[Any]:
    """Return what the registry holds of every device."""
    return connection.execute(
        select(
            devices.c.id,
            devices.c.app,
            devices.c.device_id,
            devices.c.organization_id,
            devices.c.type,
            devices.c.attributes,
        ).order_by(devices.c.id)
    ).all()


def _key(inserted: Any) -> int:
    return int(inserted[0])


def _records(connection: Connection, rows: Sequence[Any]) -> list[DeviceRecord]:
    tags: dict[int, list[str]] = {row.id: [] for row in rows}
    query = select(device_tags.c.device, device_tags.c.tag).where(device_tags.c.device.in_(tags))
    for device, tag in connection.execute(query):
        tags[device].append(tag)
    areas = areas_of(connection, tags)
    return [_record(row, tags[row.id], areas.get(row.id, (None, None))) for row in rows]


def _record(row: Any, tags: list[str], area: tuple[int | None, str | None]) -> DeviceRecord:
    record = DeviceRecord(*row)
    record.area_id, record.area = area
    record.tags = tuple(sorted(tags))  # here: databases have orders of their own for letters
    return record
