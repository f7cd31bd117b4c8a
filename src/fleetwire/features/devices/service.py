"""DeviceService: the registry's one writer.

Every change is stored first; memory and live connections follow in the same order, after the
commit. Each change leaves an audit record.
"""

import secrets
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy.exc import IntegrityError

from fleetwire.errors import ConflictError, InvalidValueError
from fleetwire.features.devices import repository
from fleetwire.features.devices.credential_repository import all_credentials, insert_credential
from fleetwire.features.devices.credentials import (
    MAX_CREDENTIALS,
    TOKEN_BYTES,
    DeviceCredentials,
    hash_of,
)
from fleetwire.features.devices.directory import READ, WRITE, not_found, subject_of
from fleetwire.features.devices.registry import KnownCredential, Registry
from fleetwire.features.devices.rules import (
    MAX_NAME_CHARS,
    MAX_STATUS_CHARS,
    MAX_TYPE_CHARS,
    check_attributes,
    check_device_id,
    check_text,
    clean_tags,
)
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import Audit, Caller, Credential, DeviceRecord
from fleetwire.net.clients import Downlink
from fleetwire.protocol.scram import Verifier
from fleetwire.store.database import Database, Transaction

__all__ = ["MAX_CREDENTIALS", "READ", "WRITE", "DeviceService", "hash_of"]


class DeviceService(DeviceCredentials):
    """Registers, shows, changes and removes devices and their credentials."""

    def __init__(
        self,
        db: Database,
        registry: Registry,
        audit: Audit,
        downlink: Downlink,
        apps: Collection[str],
    ) -> None:
        super().__init__(db, registry, audit, downlink)
        self._apps = apps

    async def load(self) -> None:
        """Fill the registry from the database, before anybody asks it."""
        devices, credentials = await self._db.read(
            lambda connection: (
                repository.all_devices(connection),
                all_credentials(connection),
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
                        used_at=row.last_used_at or 0,
                    )
                )

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
        area_id: int | None = None,
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
        verifier = await self.derive(device_id, token)

        def work(tx: Transaction) -> tuple[DeviceRecord, int]:
            at = instants.now()
            area = repository.area_to_stand_in(tx, caller.organization_id, area_id)
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
                    area=area,
                )
            except IntegrityError:
                raise _taken(app, device_id) from None
            token_hash = hash_of(token)
            credential_id = insert_credential(
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
            caller, "device.registered", subject_of(app, device_id), detail={"type": type}
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
        area_id: int | None = None,
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
                raise not_found(app, device_id)
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
            if area_id is not None:
                area = repository.set_area(tx, device.id, caller.organization_id, area_id)
                record.area_id = None if area is None else area.id
                record.area = None if area is None else area.path
            repository.update_device(tx, device.id, changes)

            def after() -> None:
                device.type = record.type
                device.attributes = dict(record.attributes)
                self._registry.touch(device.id)

            tx.after_commit(after)
            return record

        record = await self._db.write(work)
        given = {
            "name": name, "type": type, "attributes": attributes, "tags": tags, "area": area_id
        }  # fmt: skip
        changed = sorted(field for field, value in given.items() if value is not None)
        await self._audit.record(
            caller, "device.changed", subject_of(app, device_id), detail={"fields": changed}
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
                raise not_found(app, device_id)

            def after() -> None:
                self._registry.remove(device)
                self._downlink.disconnect_device(device.id, "deleted")

            tx.after_commit(after)

        await self._db.write(work)
        await self._audit.record(caller, "device.deleted", subject_of(app, device_id))


def _verifier(row: Any) -> Verifier | None:
    if row.salt is None:
        return None
    salt, stored_key, server_key = map(bytes.fromhex, (row.salt, row.stored_key, row.server_key))
    return Verifier(salt, row.iterations, stored_key, server_key)


def _taken(app: str, device_id: str) -> ConflictError:
    return ConflictError(
        f"A device {device_id!r} is registered with {app!r} already.", field="device_id"
    )
