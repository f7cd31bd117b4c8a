"""DeviceCredentials: what devices sign in with: tokens and client certificates.

Every change is stored first; memory and live connections follow in the same order, after the
commit. Each change leaves an audit record.
"""

import asyncio
import secrets
from collections.abc import Sequence
from hashlib import sha256

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.devices import credential_repository as repository
from fleetwire.features.devices.directory import READ, WRITE, DeviceDirectory, not_found, subject_of
from fleetwire.features.devices.registry import KnownCredential, Registry
from fleetwire.features.devices.repository import find_device
from fleetwire.features.devices.rules import clean_fingerprint
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import Audit, Caller, Credential, CredentialRecord
from fleetwire.net.clients import Downlink
from fleetwire.protocol.scram import Verifier, derive
from fleetwire.store.database import Database, Transaction

__all__ = [
    "MAX_CREDENTIALS",
    "READ",
    "TOKEN_BYTES",
    "WRITE",
    "DeviceCredentials",
    "hash_of",
    "not_found",
    "subject_of",
]

TOKEN_BYTES = 32  # 256 random bits: not to be guessed, so a fast hash is enough to store it
SALT_BYTES = 16
MAX_CREDENTIALS = 32  # usable ones of one device; enough to roll them over, not to fill memory


class DeviceCredentials(DeviceDirectory):
    """The part of the registry that issues, shows and revokes credentials."""

    def __init__(self, db: Database, registry: Registry, audit: Audit, downlink: Downlink) -> None:
        super().__init__(db, registry, audit, downlink)
        self._ending: dict[int, int] = {}  # credentials that were given an end → when it is

    async def issue_credential(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        *,
        expires_at: int | None = None,
        overlap_s: float | None = None,
    ) -> Credential:
        """Return new credentials beside the existing ones. Raises TooManyError past the bound.

        With `overlap_s` the older tokens end that many seconds from now, unless they end before.
        """
        caller.require(WRITE)
        device = self._own(caller, app, device_id)
        if expires_at is not None and expires_at <= instants.now():
            raise InvalidValueError("expires_at must be in the future", field="expires_at")
        token = self.new_token()
        verifier = await self.derive(device_id, token)

        def work(tx: Transaction) -> tuple[int, list[int]]:
            at = instants.now()
            ended = []
            if overlap_s is not None:
                ended = self._end_tokens(tx, device, at + round(overlap_s * 1_000_000), at)
            id = self.add_credential(tx, device, hash_of(token), expires_at, at, verifier=verifier)
            return id, ended

        id, ended = await self._db.write(work)
        detail: dict[str, object] = {"credential": id}
        if overlap_s is not None:
            detail |= {"overlap_s": overlap_s, "ended": ended}
        await self._audit.record(
            caller, "credential.issued", subject_of(app, device_id), detail=detail
        )
        return Credential(id, device_id, token, expires_at)

    def _end_tokens(self, tx: Transaction, device: Device, ends_at: int, now: int) -> list[int]:
        """Let a device's usable tokens end then; return those that would have lived longer."""
        ids = repository.end_tokens(tx, device.id, ends_at, now)

        def after() -> None:
            for id in ids:
                known = self._registry.credential_of(device.id, id)
                if known is not None:
                    known.expires_at = ends_at
                    self._ending[id] = ends_at

        tx.after_commit(after)
        return ids

    def close_ended(self) -> None:
        """Close what is still connected with a token that has ended since; call every second.

        Who connects once the end is known has it in his grant.
        """
        now = instants.now()
        for id in [id for id, ends_at in self._ending.items() if ends_at <= now]:
            del self._ending[id]
            self._downlink.disconnect_credential(id, "credential expired")

    async def bind_certificate(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        fingerprint: str,
        *,
        expires_at: int | None = None,
    ) -> CredentialRecord:
        """Make a client certificate a credential of a device; revoked as any other.

        `fingerprint` is the SHA-256 of its DER form. Raises ConflictError if it is a device's.
        """
        caller.require(WRITE)
        device = self._own(caller, app, device_id)
        fingerprint = clean_fingerprint(fingerprint)
        if expires_at is not None and expires_at <= instants.now():
            raise InvalidValueError("expires_at must be in the future", field="expires_at")
        # No token has this hash: nobody ever sees the random bits that it is made of.
        token_hash = hash_of(self.new_token())

        def work(tx: Transaction) -> CredentialRecord:
            at = instants.now()
            if repository.device_of_certificate(tx, fingerprint, at) is not None:
                raise ConflictError(
                    "This certificate is a device's credential already.", field="fingerprint"
                )
            id = self.add_credential(
                tx, device, token_hash, expires_at, at, fingerprint=fingerprint
            )
            return CredentialRecord(id, expires_at, None, None, at, "certificate", fingerprint)

        record = await self._db.write(work)
        await self._audit.record(
            caller,
            "certificate.bound",
            subject_of(app, device_id),
            detail={"credential": record.id, "fingerprint": fingerprint},
        )
        return record

    def add_credential(
        self,
        tx: Transaction,
        device: Device,
        token_hash: str,
        expires_at: int | None,
        at: int,
        *,
        verifier: Verifier | None = None,
        fingerprint: str = "",
    ) -> int:
        """Store a credential within a transaction and return its key; memory knows it afterwards.

        Raises NotFoundError if the device has gone, TooManyError past the bound.
        """
        if find_device(tx.connection, device.id) is None:
            raise not_found(device.app, device.device_id)
        if repository.count_usable_credentials(tx, device.id, at) >= MAX_CREDENTIALS:
            raise TooManyError(
                f"Device {device.device_id!r} has {MAX_CREDENTIALS} usable credentials, which is "
                "the most; revoke one first."
            )
        id = repository.insert_credential(
            tx,
            device=device.id,
            token_hash=token_hash,
            expires_at=expires_at,
            at=at,
            verifier=verifier,
            fingerprint=fingerprint,
        )
        known = KnownCredential(
            id, device, token_hash, expires_at or 0, verifier=verifier, fingerprint=fingerprint
        )
        tx.after_commit(lambda: self._registry.add_credential(known))
        return id

    def new_token(self) -> str:
        """Return a token that nobody has: 64 hexadecimal digits."""
        return secrets.token_hex(TOKEN_BYTES)

    async def derive(self, device_id: str, token: str) -> Verifier:
        """Return what SCRAM checks a new token with; milliseconds of work, on another thread.

        All tokens of one user name have the same salt: a server must name it before it can know
        which of them the client has.
        """
        verifiers = [
            known.verifier
            for device in self._registry.named(device_id)
            for known in self._registry.credentials_of(device)
            if known.verifier is not None
        ]
        salt = verifiers[-1].salt if verifiers else secrets.token_bytes(SALT_BYTES)
        return await asyncio.to_thread(derive, token.encode(), salt)

    async def credentials(
        self, caller: Caller, app: str, device_id: str
    ) -> Sequence[CredentialRecord]:
        caller.require(READ)
        device = self._own(caller, app, device_id)
        return await self._db.read(
            lambda connection: repository.list_credentials(connection, device.id)
        )

    async def revoke_credential(
        self, caller: Caller, app: str, device_id: str, credential_id: int
    ) -> None:
        """Revoke a credential and close what is connected with it. Twice is as good as once."""
        caller.require(WRITE)
        device = self._own(caller, app, device_id)

        await self._db.write(lambda tx: self.revoke_in(tx, device, credential_id))
        await self._audit.record(
            caller,
            "credential.revoked",
            subject_of(app, device_id),
            detail={"credential": credential_id},
        )

    def revoke_in(self, tx: Transaction, device: Device, credential_id: int) -> None:
        """Revoke a credential within a transaction; its connections are closed afterwards.

        Raises NotFoundError if it is not this device's.
        """
        at = instants.now()
        if not repository.revoke_credential(tx, device.id, credential_id, at):
            raise NotFoundError(f"Device {device.device_id!r} has no credential {credential_id}.")

        def after() -> None:
            self._registry.revoke(device, credential_id, at)
            self._downlink.disconnect_credential(credential_id, "revoked")

        tx.after_commit(after)


def hash_of(token: str) -> str:
    """Return the form in which a token is stored: SHA-256, hexadecimal."""
    return sha256(token.encode()).hexdigest()
