"""Accounts and refresh tokens as rows."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.tables import accounts, refresh_tokens
from fleetwire.features.organizations.repository import Membership, all_members
from fleetwire.store.database import Transaction


class RefreshToken(msgspec.Struct):
    """A stored refresh token."""

    id: int
    account_id: int
    family: str
    expires_at: int
    used_at: int | None
    revoked_at: int | None


def all_accounts(connection: Connection) -> list[Account]:
    """Return every account with the first organisation that it belongs to."""
    memberships: dict[int, Membership] = {}
    for membership in all_members(connection):
        memberships.setdefault(membership.account_id, membership)
    rows = connection.execute(
        select(
            accounts.c.id,
            accounts.c.email,
            accounts.c.username,
            accounts.c.full_name,
            accounts.c.is_active,
            accounts.c.created_at,
            accounts.c.last_login_at,
        ).order_by(accounts.c.id)
    )
    return [
        Account(*row, memberships[row.id].organization_id, memberships[row.id].role)
        for row in rows
        if row.id in memberships
    ]


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


# --- refresh tokens ---


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


def _revoke(tx: Transaction, condition: Any, at: int) -> None:
    tx.execute(
        update(refresh_tokens)
        .where(condition, refresh_tokens.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
