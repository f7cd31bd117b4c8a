"""Accounts as rows."""

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.tables import accounts, one_time_passwords, password_resets
from fleetwire.features.organizations.repository import (
    Membership,
    all_members,
    members_of_account,
)
from fleetwire.store.database import Transaction

KNOWN = "known:"  # stands before the hash of a password that everybody knows


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
        Account(
            row.id,
            row.email if "@" in row.email else "",
            *row[2:],
            memberships[row.id].organization_id,
            memberships[row.id].role,
        )
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
        "email": email or _no_email(),
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


def with_known_password(connection: Connection) -> list[int]:
    """Return the accounts whose password everybody knows."""
    known = accounts.c.password_hash.startswith(KNOWN, autoescape=True)
    return list(connection.scalars(select(accounts.c.id).where(known)))


def is_active(connection: Connection, id: int) -> bool:
    """Say whether the account may be used."""
    return bool(connection.scalar(select(accounts.c.is_active).where(accounts.c.id == id)))


def count_active(connection: Connection, ids: Sequence[int]) -> int:
    """Return how many of these accounts may be used, also when the demonstration is over."""
    hashed = accounts.c.password_hash
    is_known = hashed.is_not(None) & hashed.startswith(KNOWN, autoescape=True)
    query = select(func.count()).select_from(accounts)
    query = query.where(accounts.c.id.in_(ids), accounts.c.is_active, ~is_known)
    return connection.scalar(query) or 0


def set_password(tx: Transaction, id: int, password_hash: str) -> None:
    """Replace the password; tokens for another one end, and it is good for any number of logins."""
    update_account(tx, id, {"password_hash": password_hash})
    forget_reset(tx, id)
    tx.execute(delete(one_time_passwords).where(one_time_passwords.c.account_id == id))


def forget_reset(tx: Transaction, id: int) -> None:
    """End a token for a new password, if there is one."""
    tx.execute(delete(password_resets).where(password_resets.c.account_id == id))


def set_one_time_password(tx: Transaction, id: int, password_hash: str) -> None:
    """Replace the password by one that is good for a single login, and open the account."""
    set_password(tx, id, password_hash)
    update_account(tx, id, {"is_active": True})
    tx.execute(insert(one_time_passwords).values(account_id=id, used_at=None))


def use_password(tx: Transaction, id: int, at: int) -> bool:
    """Say whether somebody may sign in with the account's password once more, and note it."""
    mine = one_time_passwords.c.account_id == id
    row = tx.connection.execute(select(one_time_passwords.c.used_at).where(mine)).one_or_none()
    if row is None:
        return True
    tx.execute(update(one_time_passwords).where(mine).values(used_at=at))
    return row.used_at is None


def erase_account(tx: Transaction, id: int) -> None:
    """Close an account for good and remove what says whose it was. The number stays taken."""
    update_account(
        tx,
        id,
        {
            "email": _no_email(),
            "username": f":{id}",  # which nobody can be called
            "full_name": None,
            "password_hash": None,
            "is_active": False,
        },
    )
    forget_reset(tx, id)
    tx.execute(delete(one_time_passwords).where(one_time_passwords.c.account_id == id))


def _no_email() -> str:
    """Return what stands where an address would: without an @, and nobody else's."""
    return f"-{secrets.token_hex(16)}"
