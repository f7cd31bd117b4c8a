"""Credentials as rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select, update

from fleetwire.features.devices.tables import (
    credential_certificates,
    credential_verifiers,
    device_credentials,
)
from fleetwire.kit.services import CredentialRecord
from fleetwire.protocol.scram import Verifier
from fleetwire.store.database import Transaction

_with_certificates = device_credentials.outerjoin(
    credential_certificates, credential_certificates.c.credential == device_credentials.c.id
)
_credential_columns = (
    device_credentials.c.id,
    device_credentials.c.expires_at,
    device_credentials.c.revoked_at,
    device_credentials.c.last_used_at,
    device_credentials.c.created_at,
    credential_certificates.c.fingerprint,
)


def insert_credential(
    tx: Transaction,
    *,
    device: int,
    token_hash: str,
    expires_at: int | None,
    at: int,
    verifier: Verifier | None = None,
    fingerprint: str = "",
) -> int:
    """Store a credential and return its key."""
    row = {
        "device": device,
        "token_hash": token_hash,
        "expires_at": expires_at,
        "created_at": at,
    }
    id = _key(tx.execute(insert(device_credentials).values(row)).inserted_primary_key)
    if verifier is not None:
        stored = {
            "credential": id,
            "salt": verifier.salt.hex(),
            "iterations": verifier.iterations,
            "stored_key": verifier.stored_key.hex(),
            "server_key": verifier.server_key.hex(),
        }
        tx.execute(insert(credential_verifiers).values(stored))
    if fingerprint:
        bound = {"credential": id, "fingerprint": fingerprint}
        tx.execute(insert(credential_certificates).values(bound))
    return id


def device_of_certificate(tx: Transaction, fingerprint: str, at: int) -> int | None:
    """Return the key of the device that this certificate is a usable credential of."""
    query = (
        select(device_credentials.c.device)
        .join(
            credential_certificates, credential_certificates.c.credential == device_credentials.c.id
        )
        .where(credential_certificates.c.fingerprint == fingerprint, *_usable(at))
    )
    found: int | None = tx.connection.scalar(query.limit(1))
    return found


def _usable(at: int) -> tuple[ColumnElement[bool], ...]:
    expires_at = device_credentials.c.expires_at
    return device_credentials.c.revoked_at.is_(None), or_(expires_at.is_(None), expires_at > at)


def count_usable_credentials(tx: Transaction, device: int, at: int) -> int:
    """Return how many credentials of a device are neither revoked nor expired."""
    return (
        tx.connection.scalar(
            select(func.count())
            .select_from(device_credentials)
            .where(device_credentials.c.device == device, *_usable(at))
        )
        or 0
    )


def end_tokens(tx: Transaction, device: int, ends_at: int, now: int) -> list[int]:
    """Let a device's usable tokens expire then; return the keys of those that lived longer."""
    expires_at = device_credentials.c.expires_at
    certificates = select(credential_certificates.c.credential)
    query = select(device_credentials.c.id).where(
        device_credentials.c.device == device,
        *_usable(now),
        or_(expires_at.is_(None), expires_at > ends_at),
        device_credentials.c.id.not_in(certificates),
    )
    ids = list(tx.connection.scalars(query))
    if ids:
        change = update(device_credentials).where(device_credentials.c.id.in_(ids))
        tx.execute(change.values(expires_at=ends_at))
    return ids


def list_credentials(connection: Connection, device: int) -> list[CredentialRecord]:
    """Return a device's credentials, oldest first."""
    rows = connection.execute(
        select(*_credential_columns)
        .select_from(_with_certificates)
        .where(device_credentials.c.device == device)
        .order_by(device_credentials.c.id)
    )
    return [
        CredentialRecord(*row[:-1], "token" if row[-1] is None else "certificate", row[-1])
        for row in rows
    ]


def all_credentials(connection: Connection) -> Sequence[Any]:
    """Return what the registry holds of every credential."""
    return connection.execute(
        select(
            device_credentials.c.id,
            device_credentials.c.device,
            device_credentials.c.token_hash,
            device_credentials.c.expires_at,
            device_credentials.c.revoked_at,
            device_credentials.c.last_used_at,
            credential_certificates.c.fingerprint,
            credential_verifiers.c.salt,
            credential_verifiers.c.iterations,
            credential_verifiers.c.stored_key,
            credential_verifiers.c.server_key,
        )
        .select_from(
            _with_certificates.outerjoin(
                credential_verifiers, credential_verifiers.c.credential == device_credentials.c.id
            )
        )
        .order_by(device_credentials.c.id)
    ).all()


def revoke_credential(tx: Transaction, device: int, id: int, at: int) -> bool:
    """Revoke a credential, once; False if the device has no such credential."""
    known = tx.connection.scalar(
        select(device_credentials.c.id).where(
            device_credentials.c.id == id, device_credentials.c.device == device
        )
    )
    if known is None:
        return False
    tx.execute(
        update(device_credentials)
        .where(device_credentials.c.id == id, device_credentials.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    return True


def _key(inserted: Any) -> int:
    return int(inserted[0])
