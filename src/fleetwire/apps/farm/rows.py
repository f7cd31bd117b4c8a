"""Rows of the farm, each asked for within the caller's organisation: here and only here."""

import json
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from fleetwire.apps.farm.tables import organizations
from fleetwire.kit import ConflictError, InvalidValueError, NotFoundError, Transaction
from fleetwire.kit.etags import etag
from fleetwire.kit.instants import iso

HIDDEN: Final = frozenset({"tenant_id", "number", "is_enrolled"})
# Misspelt in the field, on the wire only.
NAMES: Final = {"received_at": "recievedAt"}


def find(
    connection: Connection, tenant_id: int, table: Table, id: int, field: str = "id"
) -> Row[Any]:
    """Return an organisation's row. Raises NotFoundError."""
    row = connection.execute(
        select(table).where(table.c.id == id, table.c.tenant_id == tenant_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no such {noun(table)}.", field=field)
    return row


def find_uuid(connection: Connection, tenant_id: int, table: Table, uuid: str) -> Row[Any]:
    """Return an organisation's sensor or device. Raises NotFoundError."""
    row = connection.execute(
        select(table).where(table.c.uuid == uuid, table.c.tenant_id == tenant_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no such {noun(table)}.", field="deviceUuid")
    return row


def page(
    connection: Connection,
    tenant_id: int,
    table: Table,
    limit: int,
    cursor: str | None,
    *where: ColumnElement[bool],
) -> tuple[list[Row[Any]], str | None]:
    """Return rows in the order they were made, and the cursor of what follows."""
    asked = select(table).where(table.c.tenant_id == tenant_id, *where)
    if cursor is not None:
        asked = asked.where(table.c.id > number_of(cursor))
    found = list(connection.execute(asked.order_by(table.c.id).limit(limit + 1)).all())
    more = len(found) > limit
    return found[:limit], str(found[limit - 1].id) if more else None


def number_of(cursor: str) -> int:
    """Return the row that a cursor stands for. Raises InvalidValueError."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise InvalidValueError(
            "cursor must be the nextCursor of an earlier answer", field="cursor"
        )
    return int(cursor)


def add(tx: Transaction, table: Table, **values: Any) -> Row[Any]:
    """Store a row and return it. Raises ConflictError if its name is taken."""
    try:
        key = tx.execute(insert(table).values(**values)).inserted_primary_key
    except IntegrityError:
        raise _taken(table) from None
    assert key is not None
    return tx.execute(select(table).where(table.c.id == key[0])).one()


def change(tx: Transaction, table: Table, id: int, **values: Any) -> Row[Any]:
    """Change a row that was found before and return it. Raises ConflictError."""
    if values:
        try:
            tx.execute(update(table).where(table.c.id == id).values(**values))
        except IntegrityError:
            raise _taken(table) from None
    return tx.execute(select(table).where(table.c.id == id)).one()


def remove(tx: Transaction, table: Table, id: int) -> None:
    """Remove a row that was found before, with what hangs on it."""
    tx.execute(delete(table).where(table.c.id == id))


def count(connection: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    """Return how many rows there are."""
    return int(connection.scalar(select(func.count()).select_from(table).where(*where)) or 0)


def home_of(tx: Transaction, tenant_id: int, at: int) -> int:
    """Return the oldest farm of an organisation, made if it has none."""
    found = tx.execute(
        select(func.min(organizations.c.id)).where(organizations.c.tenant_id == tenant_id)
    ).scalar()
    if found is not None:
        return int(found)
    return int(
        add(
            tx,
            organizations,
            tenant_id=tenant_id,
            name="Farm",
            description="",
            status="active",
            created_at=at,
            updated_at=at,
        ).id
    )


def farm_of(tx: Transaction, tenant_id: int, organization_id: int | None, at: int) -> int:
    """Return the farm that is meant, None = the oldest. Raises NotFoundError."""
    if organization_id is None:
        return home_of(tx, tenant_id, at)
    find(tx.connection, tenant_id, organizations, organization_id, "organizationId")
    return organization_id


def shown(row: Row[Any]) -> dict[str, Any]:
    """Return a row as the wire has it: names in camelCase, instants as ISO 8601."""
    said: dict[str, Any] = {}
    for name, value in row._mapping.items():
        if name in HIDDEN:
            continue
        if name.endswith("_at") and value is not None:
            value = iso(value)
        said[NAMES.get(name) or camel(name)] = value
    return said


def encoded(body: object) -> bytes:
    """Return a body as JSON, the way a message brings it."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return text.encode(errors="replace")


def tag_of(row: Row[Any]) -> str:
    """Return the entity tag of what people set of a row."""
    return etag(row.id, row.updated_at)


def camel(name: str) -> str:
    """Return a column's name as the wire has it."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def noun(table: Table) -> str:
    """Return what a table's rows are called: `sensor`."""
    return str(table.name).removeprefix("farm_").removesuffix("s").replace("_", " ")


def _taken(table: Table) -> ConflictError:
    return ConflictError(f"There is a {noun(table)} of this name already.", field="name")
