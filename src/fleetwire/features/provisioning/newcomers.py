"""Newcomers: devices that come in, each in the transaction of what lets it in.

The row, its credential, the event `device.enrolled` and the audit record are stored together with
the use of the code or key, or not at all; the registry knows the device after the commit.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy.exc import IntegrityError

from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.devices import repository
from fleetwire.features.devices.credentials import hash_of, subject_of
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import DeviceService
from fleetwire.features.provisioning.errors import taken
from fleetwire.ingest.events import EventLog
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.effects import Event
from fleetwire.kit.services import Caller, Credential
from fleetwire.protocol.scram import Verifier
from fleetwire.store.database import Transaction

ENROLLED: Final = "device.enrolled"  # the event, and the word of the audit

CLAIM: Final = "claim"
FLEET_KEY: Final = "fleet_key"
CERTIFICATE: Final = "certificate"
MESSAGE: Final = "message"


class Newcomer(msgspec.Struct):
    """What a device is to be called and to carry."""

    organization_id: int
    app: str
    device_id: str
    type: str
    name: str | None = None
    attributes: dict[str, Any] = {}
    tags: list[str] = []


class Token(msgspec.Struct):
    """A token to be given out, with what SCRAM checks it with."""

    text: str
    verifier: Verifier


class Newcomers:
    """Adds devices and credentials within a transaction."""

    def __init__(
        self,
        registry: Registry,
        devices: DeviceService,
        events: EventLog,
        audit: SqlAudit,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._registry = registry
        self._devices = devices
        self._events = events
        self._audit = audit
        self._clock = clock

    def find(self, app: str, device_id: str) -> Device | None:
        """Return the device of this name, whoever it belongs to."""
        return self._registry.find(app, device_id)

    def by_id(self, id: int) -> Device | None:
        """Return the device with this key."""
        return self._registry.by_id(id)

    def check(self, newcomer: Newcomer) -> None:
        """Raise what registering it would raise now: InvalidValueError, ConflictError."""
        self._devices.check_registration(
            newcomer.app,
            newcomer.device_id,
            newcomer.type,
            name=newcomer.name,
            attributes=newcomer.attributes,
            tags=newcomer.tags,
        )

    def add(self, tx: Transaction, newcomer: Newcomer, way: str, by: Caller) -> Device:
        """Store a device that came in this way, and tell of it. Raises ConflictError."""
        at = self._clock()
        attributes = {name: of for name, of in newcomer.attributes.items() if of is not None}
        try:
            record = repository.insert_device(
                tx,
                organization_id=newcomer.organization_id,
                app=newcomer.app,
                device_id=newcomer.device_id,
                type=newcomer.type,
                name=newcomer.name,
                attributes=attributes,
                status="inactive",
                at=at,
                tags=tuple(sorted(set(newcomer.tags))),
            )
        except IntegrityError:
            raise taken(newcomer.app, newcomer.device_id) from None
        device = Device(
            record.id,
            newcomer.app,
            newcomer.device_id,
            newcomer.organization_id,
            newcomer.type,
            attributes,
        )
        tx.after_commit(lambda: self._registry.add(device))  # first: the event names it
        body = {
            "device_id": device.device_id,
            "device_type": device.type,
            "way": way,
            "since": instants.iso(at),
        }
        self._events.record(tx, [Event(ENROLLED, device, body)], received_at=at)
        self._audit.record_in(
            tx, by, ENROLLED, subject_of(device.app, device.device_id), detail={"way": way}
        )
        return device

    async def new_token(self, device_id: str) -> Token:
        """Return a token for a device of this name; milliseconds of work on another thread."""
        text = self._devices.new_token()
        return Token(text, await self._devices.derive(device_id, text))

    def give(self, tx: Transaction, device: Device, token: Token) -> Credential:
        """Make the token a credential of the device. Raises NotFoundError, TooManyError."""
        id = self._devices.add_credential(
            tx, device, hash_of(token.text), None, self._clock(), verifier=token.verifier
        )
        return Credential(id, device.device_id, token.text, None)

    def bind(self, tx: Transaction, device: Device, fingerprint: str) -> int:
        """Make a client certificate a credential of the device; return its key."""
        # No token has this hash: nobody ever sees the random bits that it is made of.
        token_hash = hash_of(self._devices.new_token())
        return self._devices.add_credential(
            tx, device, token_hash, None, self._clock(), fingerprint=fingerprint
        )

    def is_unused(self, device: Device, credential_id: int) -> bool:
        """Say whether a credential can still be used, and nobody has connected with it yet."""
        known = self._registry.credential_of(device.id, credential_id)
        return known is not None and not known.used_at and not known.revoked_at

    def take_back(self, tx: Transaction, device: Device, credential_id: int) -> None:
        """Revoke a credential. Raises NotFoundError."""
        self._devices.revoke_in(tx, device, credential_id)
