"""Keys as rows."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from fleetwire.features.accounts.tables import api_keys, key_owners, key_scopes
from fleetwire.store.database import Transaction


class ApiKey(msgspec.Struct, frozen=True):
    """A key of a service or a person. Instants are in microseconds UTC; the token is not here."""

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
    account_id: int | None  # whose it is; None = the organisation's
    permissions: list[str]  # over HTTP; of a person's key: everywhere, as far as he has them


_columns = (
    *(api_keys.c[name] for name in ApiKey.__struct_fields__[:-2]),
    key_owners.c.account_id,
    key_scopes.c.permissions,
)
_owned = api_keys.outerjoin(key_owners, key_owners.c.key_id == api_keys.c.id)
_whole = _owned.outerjoin(key_scopes, key_scopes.c.key_id == api_keys.c.id)
_used = (
    update(api_keys).where(api_keys.c.id == bindparam("key")).values(last_used_at=bindparam("at"))
)


def insert_key(tx: Transaction, row: dict[str, Any]) -> int:
    """Store a key and return its number; `account_id` None = it is the organisation's."""
    row = dict(row)
    account_id = row.pop("account_id")
    key = tx.execute(insert(api_keys).values(row)).inserted_primary_key
    assert key is not None
    if account_id is not None:
        tx.execute(insert(key_owners).values(key_id=key[0], account_id=account_id))
    return int(key[0])


def insert_scope(tx: Transaction, key_id: int, permissions: Sequence[str]) -> None:
    """Store what a key may do over HTTP."""
    tx.execute(insert(key_scopes).values(key_id=key_id, permissions=list(permissions)))


def _of(account_id: int | None) -> ColumnElement[bool]:
    """Say whose a key is: a person's, None = the organisation's."""
    if account_id is None:
        return key_owners.c.account_id.is_(None)
    return key_owners.c.account_id == account_id


def _key(row: Sequence[Any]) -> ApiKey:
    *fields, permissions = row
    return ApiKey(*(*fields, permissions or []))  # keys of before have no scope


def all_keys(connection: Connection) -> list[tuple[str, ApiKey]]:
    """Return (hash of the token, key) of every key, also of those that were revoked."""
    rows = connection.execute(select(api_keys.c.token_hash, *_columns).select_from(_whole))
    return [(row[0], _key(row[1:])) for row in rows]


def list_keys(
    connection: Connection,
    organization_id: int,
    after_id: int,
    limit: int,
    account_id: int | None = None,
) -> list[ApiKey]:
    """Return an organisation's keys, or a person's, past this number in the order they were made.

    None: the organisation's, with those of its people.
    """
    query = (
        select(*_columns)
        .select_from(_whole)
        .where(api_keys.c.organization_id == organization_id, api_keys.c.id > after_id)
    )
    if account_id is not None:
        query = query.where(key_owners.c.account_id == account_id)
    rows = connection.execute(query.order_by(api_keys.c.id).limit(limit))
    return [_key(row) for row in rows]


def find_key(connection: Connection, organization_id: int, id: int) -> ApiKey | None:
    """Return one of an organisation's keys."""
    query = (
        select(*_columns)
        .select_from(_whole)
        .where(api_keys.c.id == id, api_keys.c.organization_id == organization_id)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _key(row)


def count_usable(
    connection: Connection,
    organization_id: int,
    at: int,
    name: str | None = None,
    account_id: int | None = None,
) -> int:
    """Return how many keys of an organisation, or of this name, can be used.

    They are its own, or those of one of its people.
    """
    query = select(func.count()).select_from(_owned)
    query = query.where(
        api_keys.c.organization_id == organization_id,
        _of(account_id),
        api_keys.c.revoked_at.is_(None),
        or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > at),
    )
    if name is not None:
        query = query.where(api_keys.c.name == name)
    return connection.scalar(query) or 0


def remove_over(
    tx: Transaction, organization_id: int, account_id: int | None, at: int, *, keep: int
) -> list[int]:
    """Remove all but the newest `keep` of an owner's keys that are over; return their numbers."""
    over = (
        select(api_keys.c.id)
        .select_from(_owned)
        .where(
            api_keys.c.organization_id == organization_id,
            _of(account_id),
            or_(api_keys.c.revoked_at.is_not(None), api_keys.c.expires_at <= at),
        )
        .order_by(api_keys.c.id.desc())
        .offset(keep)
        .limit(keep)
    )
    gone = list(tx.connection.scalars(over))
    if gone:
        tx.execute(delete(key_scopes).where(key_scopes.c.key_id.in_(gone)))
        tx.execute(delete(key_owners).where(key_owners.c.key_id.in_(gone)))
        tx.execute(delete(api_keys).where(api_keys.c.id.in_(gone)))
    return gone


def revoke_key(tx: Transaction, id: int, at: int) -> None:
    """Revoke a key, once."""
    tx.execute(
        update(api_keys)
        .where(api_keys.c.id == id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )


def revoke_keys_of(tx: Transaction, organization_id: int, account_id: int, at: int) -> None:
    """Revoke the keys that a person has in an organisation."""
    own = select(key_owners.c.key_id).where(key_owners.c.account_id == account_id)
    tx.execute(
        update(api_keys)
        .where(
            api_keys.c.id.in_(own),
            api_keys.c.organization_id == organization_id,
            api_keys.c.revoked_at.is_(None),
        )
        .values(revoked_at=at)
    )


def note_used(tx: Transaction, used: Sequence[tuple[int, int]]) -> None:
    """Store when keys were last used: (number, microseconds UTC)."""
    tx.execute(_used, [{"key": key, "at": at} for key, at in used])
