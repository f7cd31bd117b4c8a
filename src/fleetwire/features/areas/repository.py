"""Areas as rows, and what other rooms ask of them: where a device stands."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from fleetwire.features.areas.rules import SEPARATOR
from fleetwire.features.areas.tables import areas, device_areas
from fleetwire.kit.areas import Area
from fleetwire.store.database import Transaction

CHUNK: Final = 500  # keys in one statement

_device_count = (
    select(func.count())
    .select_from(device_areas)
    .where(device_areas.c.area == areas.c.id)
    .scalar_subquery()
)
_columns = (
    areas.c.id,
    areas.c.parent,
    areas.c.name,
    areas.c.path,
    areas.c.attributes,
    _device_count,
    areas.c.created_at,
    areas.c.updated_at,
)
_repath = (
    update(areas)
    .where(areas.c.id == bindparam("area"))
    .values(path=bindparam("new_path"), depth=bindparam("new_depth"))
)


def within(path: str) -> ColumnElement[bool]:
    """Return the condition for the area of this path and all below it.

    Not LIKE: that ignores capitals in some databases.
    """
    beginning = path + SEPARATOR
    return or_(areas.c.path == path, func.substr(areas.c.path, 1, len(beginning)) == beginning)


def stands_within(device: ColumnElement[int], path: str) -> ColumnElement[bool]:
    """Return the condition, for other rooms' queries, that a device is in this area or below.

    It does not look at the organisation: a device never stands in another's area.
    """
    return exists().where(
        device_areas.c.device == device, device_areas.c.area == areas.c.id, within(path)
    )


def areas_of(connection: Connection, devices: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Return (area, its path) of each of these devices that stands in one."""
    query = (
        select(device_areas.c.device, areas.c.id, areas.c.path)
        .join(areas, areas.c.id == device_areas.c.area)
        .where(device_areas.c.device.in_(list(devices)))
    )
    return {device: (area, path) for device, area, path in connection.execute(query)}


def put_device(tx: Transaction, device: int, area_id: int | None) -> None:
    """Let a device stand in this area, or in none."""
    tx.execute(delete(device_areas).where(device_areas.c.device == device))
    if area_id is not None:
        tx.execute(insert(device_areas).values(device=device, area=area_id))


def find_area(connection: Connection, organization_id: int, id: int) -> Area | None:
    """Return an area of this organisation by key."""
    return _one(connection, organization_id, areas.c.id == id)


def find_path(connection: Connection, organization_id: int, path: str) -> Area | None:
    """Return an area of this organisation by path."""
    return _one(connection, organization_id, areas.c.path == path)


def _one(connection: Connection, organization_id: int, which: ColumnElement[bool]) -> Area | None:
    query = select(*_columns).where(areas.c.organization_id == organization_id, which)
    row = connection.execute(query).one_or_none()
    return None if row is None else Area(*row)


def list_areas(
    connection: Connection,
    *,
    organization_id: int,
    parent_id: int | None,
    under: str | None,
    search: str | None,
    after_id: int,
    limit: int,
) -> list[Area]:
    """Return areas after this key, in the order they were made; `parent_id` 0 = at the top."""
    query = select(*_columns).where(
        areas.c.organization_id == organization_id, areas.c.id > after_id
    )
    if parent_id is not None:
        query = query.where(areas.c.parent == parent_id if parent_id else areas.c.parent.is_(None))
    if under is not None:
        query = query.where(within(under))
    if search:
        query = query.where(areas.c.name.icontains(search, autoescape=True))
    rows = connection.execute(query.order_by(areas.c.id).limit(limit)).all()
    return [Area(*row) for row in rows]


def count_areas(connection: Connection, organization_id: int) -> int:
    """Return how many areas an organisation has."""
    query = select(func.count()).where(areas.c.organization_id == organization_id)
    return connection.scalar(query) or 0


def count_below(connection: Connection, id: int) -> int:
    """Return how many areas stand directly below one."""
    return connection.scalar(select(func.count()).where(areas.c.parent == id)) or 0


def insert_area(
    tx: Transaction,
    *,
    organization_id: int,
    parent: Area | None,
    name: str,
    attributes: dict[str, Any],
    at: int,
) -> Area:
    """Store an area. Raises IntegrityError if its path is taken."""
    path = path_of(parent, name)
    parent_id = None if parent is None else parent.id
    row = {
        "organization_id": organization_id,
        "parent": parent_id,
        "name": name,
        "path": path,
        "depth": depth_of(path),
        "attributes": attributes,
        "created_at": at,
        "updated_at": at,
    }
    inserted: Any = tx.execute(insert(areas).values(row)).inserted_primary_key
    return Area(int(inserted[0]), parent_id, name, path, attributes, 0, at, at)


def update_area(tx: Transaction, id: int, changes: dict[str, Any]) -> None:
    """Change columns of an area."""
    tx.execute(update(areas).where(areas.c.id == id).values(changes))


def below(connection: Connection, organization_id: int, path: str) -> list[tuple[int, str]]:
    """Return (area, its path) of all that stands below a path."""
    query = select(areas.c.id, areas.c.path).where(
        areas.c.organization_id == organization_id, within(path), areas.c.path != path
    )
    return [(id, found) for id, found in connection.execute(query)]


def rewrite_paths(tx: Transaction, paths: Iterable[tuple[int, str]]) -> None:
    """Give areas these paths."""
    rows = [{"area": id, "new_path": path, "new_depth": depth_of(path)} for id, path in paths]
    for start in range(0, len(rows), CHUNK):
        tx.execute(_repath, rows[start : start + CHUNK])


def delete_area(tx: Transaction, id: int) -> None:
    """Remove an area that holds nothing."""
    tx.execute(delete(areas).where(areas.c.id == id))


def path_of(parent: Area | None, name: str) -> str:
    """Return the path of an area of this name below this one; None = at the top."""
    return name if parent is None else parent.path + SEPARATOR + name


def depth_of(path: str) -> int:
    """Return how many names a path has."""
    return path.count(SEPARATOR) + 1
