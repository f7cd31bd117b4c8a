"""DeviceService: the registry's one writer.

Every change is stored first; memory and live connections follow in the same order, after the
commit. Each change leaves an audit record.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.devices import repository
from fleetwire.features.devices.matching import condition
from fleetwire.features.devices.query import parse
from fleetwire.features.devices.registry import KnownCredential, Registry
from fleetwire.features.devices.rules import (
    MAX_NAME_CHARS,
    MAX_STATUS_CHARS,
    MAX_TYPE_CHARS,
    check_attribute_name,
    check_attributes,
    check_device_id,
    check_text,
    clean_fingerprint,
    clean_tags,
)
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import (
    Audit,
    Caller,
    Credential,
    CredentialRecord,
    DeviceRecord,
    Devices,
    Page,
)
from fleetwire.net.clients import Downlink
from fleetwire.protocol.scram import Verifier, derive
from fleetwire.store.database import Database, Transaction

TOKEN_BYTES = 32  # 256 random bits: not to be guessed, so a fast hash is enough to store it
SALT_BYTES = 16
MAX_CREDENTIALS = 32  # usable ones of one device; enough to roll them over, not to fill memory
MAX_SEARCH_CHARS = 200

READ = "device.read"
WRITE = "device.write"


class DeviceService(Devices):
    """Registers, shows, changes and removes devices and their credentials."""

    def __init__(
        self,
        db: Database,
        registry: Registry,
        audit: Audit,
        downlink: Downlink,
        apps: Collection[str],
    ) -> None:
        self._db = db
        self._registry = registry
        self._audit = audit
        self._downlink = downlink
        self._apps = apps

    async def load(self) -> None:
        """Fill the registry from the database, before anybody asks it."""
        devices, credentials = await self._db.read(
            lambda connection: (
                repository.all_devices(connection),
                repository.all_credentials(connection),
            )
        )
        for row in devices:
            self._registry.add(Device(*row))
        for row in credentials:
            device = self._registry.by_id(row.device)
            if device is not None:
                self._registry.add_credential(
                    KnownCredential(
                        row.id,
                        device,
                        row.token_hash,
                        row.expires_at or 0,
                        row.revoked_at or 0,
                        verifier=_verifier(row),
                        fingerprint=row.fingerprint or "",
                    )
                )

    def find(self, app: str, device_id: str) -> Device | None:
        return self._registry.find(app, device_id)

    async def register(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        type: str,
        *,
        name: str | None = None,
        attributes: dict[str, Any] | None = None,
        status: str = "inactive",
        tags: Iterable[str] = (),
    ) -> tuple[DeviceRecord, Credential]:
        """Register a device and its first credential.

        Raises ConflictError if the id is taken in this app, by whichever organisation.
        """
        caller.require(WRITE)
        attributes = {k: v for k, v in (attributes or {}).items() if v is not None}
        cleaned = clean_tags(tags)
        self._check_new(app, device_id, type, name, attributes)
        check_text(status, "status", MAX_STATUS_CHARS)
        token = secrets.token_hex(TOKEN_BYTES)
        verifier = await self._derive(device_id, token)

        def work(tx: Transaction) -> tuple[DeviceRecord, int]:
            at = instants.now()
            try:
                record = repository.insert_device(
                    tx,
                    organization_id=caller.organization_id,
                    app=app,
                    device_id=device_id,
                    type=type,
                    name=name,
                    attributes=attributes,
                    status=status,
                    at=at,
                    tags=cleaned,
                )
            except IntegrityError:
                raise _taken(app, device_id) from None
            token_hash = hash_of(token)
            credential_id = repository.insert_credential(
                tx,
                device=record.id,
                token_hash=token_hash,
                expires_at=None,
                at=at,
                verifier=verifier,
            )
            device = Device(
                record.id, app, device_id, caller.organization_id, type, dict(attributes)
            )

            def after() -> None:
                self._registry.add(device)
                self._registry.add_credential(
                    KnownCredential(credential_id, device, token_hash, verifier=verifier)
                )

            tx.after_commit(after)
            return record, credential_id

        record, credential_id = await self._db.write(work)
        await self._audit.record(
            caller, "device.registered", _subject(app, device_id), detail={"type": type}
        )
        return record, Credential(credential_id, device_id, token, None)

    def check_registration(
        self,
        app: str,
        device_id: str,
        type: str,
        *,
        name: str | None,
        attributes: dict[str, Any],
        tags: Iterable[str],
    ) -> None:
        """Raise what `register` would raise now, and change nothing."""
        clean_tags(tags)
        self._check_new(
            app, device_id, type, name, {k: v for k, v in attributes.items() if v is not None}
        )
        if self._registry.find(app, device_id) is not None:
            raise _taken(app, device_id)

    def _check_new(
        self, app: str, device_id: str, type: str, name: str | None, attributes: dict[str, Any]
    ) -> None:
        if app not in self._apps:
            raise InvalidValueError(
                f"app {app[:64]!r} is not one of {', '.join(sorted(self._apps))}", field="app"
            )
        check_device_id(device_id)
        check_text(type, "type", MAX_TYPE_CHARS)
        if name is not None:
            check_text(name, "name", MAX_NAME_CHARS)
        check_attributes(attributes)

    async def get(self, caller: Caller, app: str, device_id: str) -> DeviceRecord:
        caller.require(READ)
        device = self._own(caller, app, device_id)
        return await self._read(device)

    async def list(
        self,
        caller: Caller,
        app: str | None,
        *,
        attributes: dict[str, str] | None = None,
        search: str | None = None,
        query: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeviceRecord]:
        """Return devices in the order of registration.

        `attributes` must be equal as text, `search` must occur in the id, the name or the type;
        `query` is in the language of query.py.
        """
        caller.require(READ)
        check_limit(limit)
        for name in attributes or {}:
            check_attribute_name(name)
        if search is not None and len(search) > MAX_SEARCH_CHARS:
            raise InvalidValueError(
                f"search must not have more than {MAX_SEARCH_CHARS} characters", field="search"
            )
        meant = None if query is None else condition(parse(query))
        after_id = 0 if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda connection: repository.list_devices(
                connection,
                organization_id=caller.organization_id,
                app=app,
                attributes=attributes or {},
                search=search,
                meant=meant,
                after_id=after_id,
                limit=limit + 1,
            )
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def update(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        *,
        name: str | None = None,
        type: str | None = None,
        attributes: dict[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        expects: Callable[[DeviceRecord], None] = lambda device: None,
    ) -> DeviceRecord:
        caller.require(WRITE)
        device = self._own(caller, app, device_id)
        if name is not None:
            check_text(name, "name", MAX_NAME_CHARS)
        if type is not None:
            check_text(type, "type", MAX_TYPE_CHARS)
        cleaned = None if tags is None else clean_tags(tags)

        def work(tx: Transaction) -> DeviceRecord:
            record = repository.find_device(tx.connection, device.id)
            if record is None:
                raise _not_found(app, device_id)
            expects(record)
            record.updated_at = instants.now()
            changes: dict[str, Any] = {"updated_at": record.updated_at}
            if name is not None:
                record.name = changes["name"] = name
            if type is not None:
                record.type = changes["type"] = type
            if attributes is not None:
                merged = record.attributes | attributes
                merged = {key: value for key, value in merged.items() if value is not None}
                check_attributes(merged)
                record.attributes = changes["attributes"] = merged
                repository.set_facts(tx, device.id, merged)
            if cleaned is not None:
                record.tags = cleaned
                repository.set_tags(tx, device.id, cleaned)
            repository.update_device(tx, device.id, changes)

            def after() -> None:
                device.type = record.type
                device.attributes = dict(record.attributes)

            tx.after_commit(after)
            return record

        record = await self._db.write(work)
        given = {"name": name, "type": type, "attributes": attributes, "tags": tags}
        changed = sorted(field for field, value in given.items() if value is not None)
        await self._audit.record(
            caller, "device.changed", _subject(app, device_id), detail={"fields": changed}
        )
        return record

    async def delete(self, caller: Caller, app: str, device_id: str) -> None:
        """Remove the device; its credentials are revoked, its live connections closed.

        What it measured stays stored under its key, which no other device will be given.
        """
        caller.require(WRITE)
        device = self._own(caller, app, device_id)

        def work(tx: Transaction) -> None:
            if not repository.delete_device(tx, device.id):
                raise _not_found(app, device_id)

            def after() -> None:
                self._registry.remove(device)
                self._downlink.disconnect_device(device.id, "deleted")

            tx.after_commit(after)

        await self._db.write(work)
        await self._audit.record(caller, "device.deleted", _subject(app, device_id))

    async def issue_credential(
        self, caller: Caller, app: str, device_id: str, *, expires_at: int | None = None
    ) -> Credential:
        """Return new credentials beside the existing ones. Raises TooManyError past the bound."""
        caller.require(WRITE)
        device = self._own(caller, app, device_id)
        if expires_at is not None and expires_at <= instants.now():
            raise InvalidValueError("expires_at must be in the future", field="expires_at")
        token = secrets.token_hex(TOKEN_BYTES)
        verifier = await self._derive(device_id, token)

        def work(tx: Transaction) -> int:
            return self._add_credential(
                tx, device, hash_of(token), expires_at, instants.now(), verifier=verifier
            )

        id = await self._db.write(work)
        await self._audit.record(
            caller, "credential.issued", _subject(app, device_id), detail={"credential": id}
        )
        return Credential(id, device_id, token, expires_at)

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
        token_hash = hash_of(secrets.token_hex(TOKEN_BYTES))

        def work(tx: Transaction) -> CredentialRecord:
            at = instants.now()
            if repository.device_of_certificate(tx, fingerprint, at) is not None:
                raise ConflictError(
                    "This certificate is a device's credential already.", field="fingerprint"
                )
            id = self._add_credential(
                tx, device, token_hash, expires_at, at, fingerprint=fingerprint
            )
            return CredentialRecord(id, expires_at, None, None, at, "certificate", fingerprint)

        record = await self._db.write(work)
        await self._audit.record(
            caller,
            "certificate.bound",
            _subject(app, device_id),
            detail={"credential": record.id, "fingerprint": fingerprint},
        )
        return record

    def _add_credential(
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
        if repository.find_device(tx.connection, device.id) is None:
            raise _not_found(device.app, device.device_id)
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

    async def _derive(self, device_id: str, token: str) -> Verifier:
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

        def work(tx: Transaction) -> None:
            at = instants.now()
            if not repository.revoke_credential(tx, device.id, credential_id, at):
                raise NotFoundError(f"Device {device_id!r} has no credential {credential_id}.")

            def after() -> None:
                self._registry.revoke(device, credential_id, at)
                self._downlink.disconnect_credential(credential_id, "revoked")

            tx.after_commit(after)

        await self._db.write(work)
        await self._audit.record(
            caller,
            "credential.revoked",
            _subject(app, device_id),
            detail={"credential": credential_id},
        )

    def _own(self, caller: Caller, app: str, device_id: str) -> Device:
        """Return the caller's device; raises NotFoundError, also for somebody else's."""
        device = self._registry.find(app, device_id)
        if device is None or device.organization_id != caller.organization_id:
            raise _not_found(app, device_id)
        return device

    async def _read(self, device: Device) -> DeviceRecord:
        record = await self._db.read(
            lambda connection: repository.find_device(connection, device.id)
        )
        if record is None:
            raise _not_found(device.app, device.device_id)
        return record


def hash_of(token: str) -> str:
    """Return the form in which a token is stored: SHA-256, hexadecimal."""
    return sha256(token.encode()).hexdigest()


def _verifier(row: Any) -> Verifier | None:
    if row.salt is None:
        return None
    salt, stored_key, server_key = map(bytes.fromhex, (row.salt, row.stored_key, row.server_key))
    return Verifier(salt, row.iterations, stored_key, server_key)


def _subject(app: str, device_id: str) -> str:
    return f"device:{app}/{device_id}"


def _taken(app: str, device_id: str) -> ConflictError:
    return ConflictError(
        f"A device {device_id!r} is registered with {app!r} already.", field="device_id"
    )


def _not_found(app: str, device_id: str) -> NotFoundError:
    return NotFoundError(f"No device {device_id[:128]!r} is registered with {app[:64]!r}.")
