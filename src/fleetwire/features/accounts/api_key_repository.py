"""Keys of services as rows."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from fleetwire.features.accounts.tables import api_keys, key_scopes
from fleetwire.store.database import Transaction


class ApiKey(msgspec.Struct, frozen=True):
    """A key of a service. Instants are in microseconds UTC; the token is not here."""

    id: int
    organization_id: int
    name: str
    kind: str
    publish: list[str]
    subscribe: list[str]
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    created_at: int
    created_by: str
    permissions: list[str]  # over HTTP


_columns = (
    *(api_keys.c[name] for name in ApiKey.__struct_fields__ if name != "permissions"),
    key_scopes.c.permissions,
)
_with_scopes = api_keys.outerjoin(key_scopes, key_scopes.c.key_id == api_keys.c.id)
_used = (
    update(api_keys).where(api_keys.c.id == bindparam("key")).values(last_used_at=bindparam("at"))
)


def insert_key(tx: Transaction, row: dict[str, Any]) -> int:
    """Store a key and return its number."""
    key = tx.execute(insert(api_keys).values(row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_scope(tx: Transaction, key_id: int, permissions: Sequence[str]) -> None:
    """Store what a key may do over HTTP."""
    tx.execute(insert(key_scopes).values(key_id=key_id, permissions=list(permissions)))


def _key(row: Sequence[Any]) -> ApiKey:
    *fields, permissions = row
    return ApiKey(*(*fields, permissions or []))  # keys of before have no scope


def all_keys(connection: Connection) -> list[tuple[str, ApiKey]]:
    """Return (hash of the token, key) of every key, also of those that were revoked."""
    rows = connection.execute(select(api_keys.c.token_hash, *_columns).select_from(_with_scopes))
    return [(row[0], _key(row[1:])) for row in rows]


def list_keys(
    connection: Connection, organization_id: int, after_id: int, limit: int
) -> list[ApiKey]:
    """Return an organisation's keys past this number, in the order they were made."""
    query = (
        select(*_columns)
        .select_from(_with_scopes)
        .where(api_keys.c.organization_id == organization_id, api_keys.c.id > after_id)
    )
    rows = connection.execute(query.order_by(api_keys.c.id).limit(limit))
    return [_key(row) for row in rows]


def find_key(connection: Connection, organization_id: int, id: int) -> ApiKey | None:
    """Return one of an organisation's keys."""
    query = (
        select(*_columns)
        .select_from(_with_scopes)
        .where(api_keys.c.id == id, api_keys.c.organization_id == organization_id)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _key(row)


def count_usable(
    connection: Connection, organization_id: int, at: int, name: str | None = None
) -> int:
    """Return how many of an organisation's keys, or of those of this name, can be used."""
    query = select(func.count()).select_from(api_keys)
    query = query.where(
        api_keys.c.organization_id == organization_id,
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > at),
    )
    if name is not None:
        query = query.where(api_keys.c.name == name)
    return connection.scalar(query) or 0


def revoke_key(tx: Transaction, id: int, at: int) -> None:
    """Revoke a key, once."""
    tx.execute(
        update(api_keys)
        .where(api_keys.c.id == id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )


def note_used(tx: Transaction, used: Sequence[tuple[int, int]]) -> None:
    """Store when keys were last used: (number, microseconds UTC)."""
    tx.execute(_used, [{"key": key, "at": at} for key, at in used])
