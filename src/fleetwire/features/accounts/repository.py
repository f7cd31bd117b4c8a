"""Accounts and refresh tokens as rows."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.tables import accounts, logins, refresh_tokens, token_versions
from fleetwire.features.organizations.repository import (
    Membership,
    all_members,
    members_of_account,
)
from fleetwire.store.database import Transaction


class RefreshToken(msgspec.Struct):
    """A stored refresh token."""

    id: int
    account_id: int
    family: str
    expires_at: int
    used_at: int | None
    revoked_at: int | None


def all_accounts(connection: Connection, id: int | None = None) -> list[Account]:
    """Return every account, or this one, with the first organisation that it belongs to."""
    memberships: dict[int, Membership] = {}
    for membership in all_members(connection) if id is None else members_of_account(connection, id):
        memberships.setdefault(membership.account_id, membership)
    query = select(
        accounts.c.id,
        accounts.c.email,
        accounts.c.username,
        accounts.c.full_name,
        accounts.c.is_active,
        accounts.c.created_at,
        accounts.c.last_login_at,
    ).order_by(accounts.c.id)
    rows = connection.execute(query if id is None else query.where(accounts.c.id == id))
    return [
        Account(*row, memberships[row.id].organization_id, memberships[row.id].role)
        for row in rows
        if row.id in memberships
    ]


def find_account(connection: Connection, id: int, organization_id: int) -> Account | None:
    """Return an account in an organisation, None if it has no place there."""
    place = next(
        (
            membership
            for membership in members_of_account(connection, id)
            if membership.organization_id == organization_id
        ),
        None,
    )
    found = next((each for each in all_accounts(connection, id)), None)
    if place is None or found is None:
        return None
    return msgspec.structs.replace(found, organization_id=organization_id, role=place.role)


def insert_account(
    tx: Transaction,
    *,
    email: str,
    username: str,
    full_name: str | None,
    password_hash: str | None,
    at: int,
) -> int:
    """Store an account and return its key. Raises IntegrityError if one of its names is taken."""
    row = {
        "email": email,
        "username": username,
        "full_name": full_name,
        "password_hash": password_hash,
        "is_active": True,
        "created_at": at,
    }
    key = tx.execute(insert(accounts).values(row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def update_account(tx: Transaction, id: int, changes: dict[str, Any]) -> None:
    """Change columns of an account."""
    tx.execute(update(accounts).where(accounts.c.id == id).values(changes))


def password_hash(connection: Connection, id: int) -> str | None:
    """Return the hash, None if there is none or the account is closed or unknown."""
    query = select(accounts.c.password_hash).where(accounts.c.id == id, accounts.c.is_active)
    found: str | None = connection.scalar(query)
    return found


def is_active(connection: Connection, id: int) -> bool:
    """Say whether the account may be used."""
    return bool(connection.scalar(select(accounts.c.is_active).where(accounts.c.id == id)))


def count_active(connection: Connection, ids: Sequence[int]) -> int:
    """Return how many of these accounts may be used."""
    query = select(func.count()).select_from(accounts)
    return connection.scalar(query.where(accounts.c.id.in_(ids), accounts.c.is_active)) or 0


def all_versions(connection: Connection) -> list[tuple[int, int]]:
    """Return (account, version of its access tokens) where that is not 0."""
    rows = connection.execute(select(token_versions.c.account_id, token_versions.c.version))
    return [(row[0], row[1]) for row in rows]


def raise_version(tx: Transaction, account_id: int) -> int:
    """Raise the version that access tokens must have and return it."""
    mine = token_versions.c.account_id == account_id
    before = tx.connection.scalar(select(token_versions.c.version).where(mine))
    if before is None:
        tx.execute(insert(token_versions).values(account_id=account_id, version=1))
        return 1
    tx.execute(update(token_versions).where(mine).values(version=before + 1))
    return int(before) + 1


# --- refresh tokens ---


def insert_login(tx: Transaction, family: str, account_id: int, organization_id: int) -> None:
    """Store the organisation that a login is for."""
    row = {"family": family, "account_id": account_id, "organization_id": organization_id}
    tx.execute(insert(logins).values(row))


def organization_of_login(connection: Connection, family: str) -> int | None:
    """Return the organisation that a login is for; None for those made before it was stored."""
    found: int | None = connection.scalar(
        select(logins.c.organization_id).where(logins.c.family == family)
    )
    return found


def revoke_logins_for(tx: Transaction, account_id: int, organization_id: int, at: int) -> None:
    """Revoke the refresh tokens of an account's logins for one organisation."""
    families = select(logins.c.family).where(
        logins.c.account_id == account_id, logins.c.organization_id == organization_id
    )
    _revoke(tx, refresh_tokens.c.family.in_(families), at)


def insert_refresh_token(
    tx: Transaction, *, account_id: int, token_hash: str, family: str, expires_at: int, at: int
) -> None:
    """Store a refresh token."""
    row = {
        "account_id": account_id,
        "token_hash": token_hash,
        "family": family,
        "expires_at": expires_at,
        "created_at": at,
    }
    tx.execute(insert(refresh_tokens).values(row))


def find_refresh_token(connection: Connection, token_hash: str) -> RefreshToken | None:
    """Return a refresh token by its hash."""
    row = connection.execute(
        select(
            refresh_tokens.c.id,
            refresh_tokens.c.account_id,
            refresh_tokens.c.family,
            refresh_tokens.c.expires_at,
            refresh_tokens.c.used_at,
            refresh_tokens.c.revoked_at,
        ).where(refresh_tokens.c.token_hash == token_hash)
    ).one_or_none()
    return None if row is None else RefreshToken(*row)


def use_refresh_token(tx: Transaction, id: int, at: int) -> None:
    """Mark a refresh token as used."""
    tx.execute(update(refresh_tokens).where(refresh_tokens.c.id == id).values(used_at=at))


def revoke_family(tx: Transaction, family: str, at: int) -> None:
    """Revoke all refresh tokens that go back to the same login."""
    _revoke(tx, refresh_tokens.c.family == family, at)


def revoke_account(tx: Transaction, account_id: int, at: int) -> None:
    """Revoke all refresh tokens of an account."""
    _revoke(tx, refresh_tokens.c.account_id == account_id, at)


def remove_old_tokens(tx: Transaction, account_id: int, *, families: int, at: int) -> None:
    """Remove an account's expired tokens, and all but the newest `families` logins."""
    mine = refresh_tokens.c.account_id == account_id
    tx.execute(delete(refresh_tokens).where(mine, refresh_tokens.c.expires_at <= at))
    too_many = (
        select(refresh_tokens.c.family)
        .where(mine)
        .group_by(refresh_tokens.c.family)
        .order_by(func.max(refresh_tokens.c.id).desc())
        .offset(families)
    )
    old = list(tx.connection.scalars(too_many))
    if old:
        tx.execute(delete(refresh_tokens).where(mine, refresh_tokens.c.family.in_(old)))
    kept = select(refresh_tokens.c.family).where(mine)
    tx.execute(delete(logins).where(logins.c.account_id == account_id, ~logins.c.family.in_(kept)))


def _revoke(tx: Transaction, condition: Any, at: int) -> None:
    tx.execute(
        update(refresh_tokens)
        .where(condition, refresh_tokens.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
