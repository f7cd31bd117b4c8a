"""SelfEnrolment: devices that nobody registered come in by themselves, where a setting says so.

By a message: an unknown device publishes to a topic of its app, is registered, and its message goes
the usual way: the device's row is committed first, then the message's, then it is acknowledged. By
a client certificate that a trusted CA signed: its common name is registered, and the certificate is
its credential from then on.

They belong to the sender's organisation, or where he has none, to the oldest one. Everybody who may
publish can make devices this way, so it is bounded: in a minute, and in all. A device that connects
with a credential of its own makes no other.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

import structlog

from fleetwire.broker.delivery import Delivery
from fleetwire.errors import ConflictError, DomainError, StoreUnavailableError
from fleetwire.features.devices.rules import check_device_id
from fleetwire.features.organizations.repository import oldest_organization
from fleetwire.features.provisioning import requests as repository
from fleetwire.features.provisioning.newcomers import (
    CERTIFICATE,
    MESSAGE,
    Newcomer,
    Newcomers,
)
from fleetwire.features.provisioning.requests import ENROLLED, insert_request
from fleetwire.ingest.unknown import Unknown
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.services import Caller
from fleetwire.net.authenticator import ClientCertificate, RefusedError
from fleetwire.net.meter import TokenBucket
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.provisioning")

QUARANTINE: Final = "quarantine"
ENROL: Final = "enrol"  # whoever sends, if he may publish there
ENROL_ANONYMOUS: Final = "enrol_anonymous"  # whoever has no credential
UNKNOWN_TYPE: Final = "unknown"  # until a person says what it is
TOLD_EVERY_S: Final = 60.0

_MINUTE_S: Final = 60.0


class SelfEnrolment(Unknown):
    """Registers who comes unknown. `load()` comes first.

    `policy` says of an app what becomes of its unknown devices; `certificate_app` is where devices
    of unknown certificates belong, None = they are not let in.
    """

    def __init__(
        self,
        db: Database,
        newcomers: Newcomers,
        policy: Callable[[str], str],
        *,
        certificate_app: str | None = None,
        per_minute: int = 600,
        most: int = 10_000,
        clock: Callable[[], int] = instants.now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._newcomers = newcomers
        self._policy = policy
        self._certificate_app = certificate_app
        self._per_minute = per_minute
        self._most = most
        self._clock = clock
        self._monotonic = monotonic
        self._rate = TokenBucket(per_minute / _MINUTE_S, per_minute)
        self._devices: set[int] = set()  # that came by a message
        self._told_at = -TOLD_EVERY_S

    async def load(self) -> None:
        """Learn which devices came by a message before."""
        self._devices.update(await self._db.read(lambda c: repository.devices_of_way(c, MESSAGE)))

    @property
    def count(self) -> int:
        """How many devices there are that came by a message."""
        self._devices = {key for key in self._devices if self._newcomers.by_id(key) is not None}
        return len(self._devices)

    # --- by a message ---

    def objection(self, app: str, device_id: str, delivery: Delivery) -> str | None:
        policy = self._policy(app)
        if policy == QUARANTINE or delivery.device:
            return ""
        if policy == ENROL_ANONYMOUS and not delivery.sender.grant.anonymous:
            return ""
        try:
            check_device_id(device_id)
        except DomainError as error:
            return error.message
        if len(self._devices) >= self._most and self.count >= self._most:
            return self._bound(f"{self._most} devices have enrolled themselves, which is the most")
        if self._rate.credit(self._monotonic()) < 1:
            return self._bound(f"more than {self._per_minute} devices a minute enrol themselves")
        return None

    def _bound(self, reason: str) -> str:
        now = self._monotonic()
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            log.warning("unknown devices are not enrolled", reason=reason)
        return reason

    async def enrol(self, found: Mapping[tuple[str, str], Delivery]) -> None:
        organization_id = await self._db.read(oldest_organization)
        places = max(0, self._most - self.count)
        outcomes = await asyncio.gather(
            *(
                self._enrol(app, device_id, delivery, organization_id)
                for (app, device_id), delivery in islice(found.items(), places)
                if self._rate.take(self._monotonic())
            ),
            return_exceptions=True,
        )
        away = None
        for outcome in outcomes:
            if isinstance(outcome, StoreUnavailableError):
                away = outcome
            elif isinstance(outcome, BaseException) and not isinstance(outcome, DomainError):
                raise outcome
        if away is not None:
            raise away

    async def _enrol(
        self, app: str, device_id: str, delivery: Delivery, organization_id: int
    ) -> None:
        organization_id = delivery.organization_id or organization_id
        newcomer = Newcomer(organization_id, app, device_id, UNKNOWN_TYPE)
        self._newcomers.check(newcomer)
        by = _by(delivery.identity, organization_id, "")
        facts = {"client_id": delivery.client_id[:256], "topic": delivery.publish.topic_name[:256]}

        def work(tx: Transaction) -> Device:
            device = self._newcomers.add(tx, newcomer, MESSAGE, by)
            self._note(tx, newcomer, MESSAGE, device, facts=facts)
            return device

        device = await self._db.write(work)
        self._devices.add(device.id)
        log.info("device enrolled", device=device_id, app=app, way=MESSAGE, identity=by.actor)

    # --- by a certificate ---

    async def admit(self, certificate: ClientCertificate, remote: str) -> bool:
        """Register the device that a trusted certificate names, if a setting says so; say if.

        Raises RefusedError if it cannot be registered.
        """
        app, device_id = self._certificate_app, certificate.common_name
        if app is None or not device_id:
            return False
        try:
            organization_id = await self._db.read(oldest_organization)
            newcomer = Newcomer(organization_id, app, device_id, UNKNOWN_TYPE)
            self._newcomers.check(newcomer)
            by = _by(f"certificate:{device_id}", organization_id, remote)
            facts = {"fingerprint": certificate.fingerprint, "subject": certificate.subject[:512]}

            def work(tx: Transaction) -> None:
                device = self._newcomers.add(tx, newcomer, CERTIFICATE, by)
                credential = self._newcomers.bind(tx, device, certificate.fingerprint)
                self._note(tx, newcomer, CERTIFICATE, device, facts=facts, credential=credential)

            await self._db.write(work)
        except ConflictError as error:  # by another connection of the same client
            if self._newcomers.find(app, device_id) is None:
                raise RefusedError(error.message) from None
            return True
        except DomainError as error:
            raise RefusedError(f"its certificate enrols no device: {error.message}") from None
        log.info("device enrolled", device=device_id, app=app, way=CERTIFICATE)
        return True

    def _note(
        self,
        tx: Transaction,
        newcomer: Newcomer,
        way: str,
        device: Device,
        *,
        facts: Mapping[str, str],
        credential: int | None = None,
    ) -> None:
        row = {
            "organization_id": newcomer.organization_id,
            "way": way,
            "app": newcomer.app,
            "device_id": newcomer.device_id,
            "type": newcomer.type,
            "facts": dict(facts),
            "state": ENROLLED,
            "device": device.id,
            "credential": credential,
            "asked_at": self._clock(),
        }
        insert_request(tx, row)


def _by(actor: str, organization_id: int, remote: str) -> Caller:
    return Caller(actor, organization_id, frozenset(), remote=remote)
