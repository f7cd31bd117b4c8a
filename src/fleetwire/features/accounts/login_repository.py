"""Logins as rows: refresh tokens by family, and the versions that access tokens must have."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from fleetwire.features.accounts.tables import (
    login_origins,
    logins,
    refresh_tokens,
    token_versions,
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


class Session(msgspec.Struct):
    """A login that goes on. Instants are in microseconds UTC.

    `used_at` is when its tokens were last renewed; it ends by itself at `expires_at`. `remote` is
    the address it was begun from, "" if that is unknown.
    """

    id: str
    organization_id: int
    created_at: int
    used_at: int
    expires_at: int
    remote: str


# --- the versions of access tokens ---


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


# --- logins ---


def insert_login(
    tx: Transaction,
    family: str,
    account_id: int,
    organization_id: int,
    remote: str,
    parent: str | None = None,
) -> None:
    """Store the organisation that a login is for, the address and the login it came from."""
    row = {"family": family, "account_id": account_id, "organization_id": organization_id}
    tx.execute(insert(logins).values(row))
    tx.execute(insert(login_origins).values(family=family, remote=remote[:64], parent=parent))


def organization_of_login(connection: Connection, family: str) -> int | None:
    """Return the organisation that a login is for; None for those made before it was stored."""
    found: int | None = connection.scalar(
        select(logins.c.organization_id).where(logins.c.family == family)
    )
    return found


def all_logins(connection: Connection) -> list[tuple[int, str]]:
    """Return (account, family) of every login that goes on."""
    return [
        (row[0], row[1]) for row in connection.execute(select(logins.c.account_id, logins.c.family))
    ]


def logins_of(connection: Connection, account_id: int) -> frozenset[str]:
    """Return the families of an account's logins that go on."""
    query = select(logins.c.family).where(logins.c.account_id == account_id)
    return frozenset(connection.scalars(query))


def sessions_of(connection: Connection, account_id: int, at: int) -> list[Session]:
    """Return an account's logins that go on, those used last first."""
    query = (
        select(
            logins.c.family,
            logins.c.organization_id,
            func.min(refresh_tokens.c.created_at),
            func.max(refresh_tokens.c.created_at),
            func.max(refresh_tokens.c.expires_at),
            func.coalesce(func.max(login_origins.c.remote), ""),
        )
        .join(refresh_tokens, refresh_tokens.c.family == logins.c.family)
        .outerjoin(login_origins, login_origins.c.family == logins.c.family)
        .where(logins.c.account_id == account_id)
        .group_by(logins.c.family, logins.c.organization_id)
        .having(func.max(refresh_tokens.c.expires_at) > at)
        .order_by(func.max(refresh_tokens.c.id).desc())
    )
    return [Session(*row) for row in connection.execute(query)]


def begun_from(connection: Connection, family: str) -> list[str]:
    """Return the logins that were begun from one, and from those, and so on."""
    found: list[str] = []
    newest = [family]
    while newest:
        query = select(login_origins.c.family).where(login_origins.c.parent.in_(newest))
        newest = list(connection.scalars(query))
        found += newest
    return found


def end_login(tx: Transaction, family: str, at: int) -> None:
    """End a login with all refresh tokens that go back to it."""
    _revoke(tx, refresh_tokens.c.family == family, at)
    _forget(tx, logins.c.family == family)


def end_all(tx: Transaction, account_id: int, at: int) -> None:
    """End all logins of an account."""
    _revoke(tx, refresh_tokens.c.account_id == account_id, at)
    _forget(tx, logins.c.account_id == account_id)


def end_those_for(tx: Transaction, account_id: int, organization_id: int, at: int) -> None:
    """End an account's logins for one organisation."""
    there = (logins.c.account_id == account_id) & (logins.c.organization_id == organization_id)
    _revoke(tx, refresh_tokens.c.family.in_(select(logins.c.family).where(there)), at)
    _forget(tx, there)


def _forget(tx: Transaction, condition: ColumnElement[bool]) -> None:
    over = select(logins.c.family).where(condition)
    tx.execute(delete(login_origins).where(login_origins.c.family.in_(over)))
    tx.execute(delete(logins).where(condition))


def _revoke(tx: Transaction, condition: ColumnElement[bool], at: int) -> None:
    tx.execute(
        update(refresh_tokens)
        .where(condition, refresh_tokens.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )


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
    old: Sequence[str] = list(tx.connection.scalars(too_many))
    if old:
        tx.execute(delete(refresh_tokens).where(mine, refresh_tokens.c.family.in_(old)))
    kept = select(refresh_tokens.c.family).where(mine)
    _forget(tx, (logins.c.account_id == account_id) & ~logins.c.family.in_(kept))
