"""DeviceAuthenticator: a CONNECT is decided from memory."""

import asyncio
import re
from collections.abc import Callable, Mapping
from hashlib import sha256

import structlog
from sqlalchemy import bindparam, update

from fleetwire.broker.grants import Grant
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.tables import device_credentials
from fleetwire.kit import instants
from fleetwire.kit.app import App
from fleetwire.net.authenticator import Authenticator, Offer, RefusedError
from fleetwire.store.database import Database

log = structlog.get_logger("fleetwire.devices")

BAD_USER_NAME_OR_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87
FLUSH_S = 5.0  # how late `last_used_at` may be; a fleet that reconnects costs one transaction

_PLACE = re.compile(r"\{(\w+)\}")

_used = (
    update(device_credentials)
    .where(device_credentials.c.id == bindparam("credential"))
    .values(last_used_at=bindparam("at"))
)


class DeviceAuthenticator(Authenticator):
    """Knows devices by user name (their device_id) and password (a token)."""

    def __init__(
        self,
        registry: Registry,
        apps: Mapping[str, App],
        db: Database,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._registry = registry
        self._apps = apps
        self._db = db
        self._clock = clock
        self._used: dict[int, int] = {}  # credential → when; bounded by how many there are

    async def authenticate(self, offer: Offer) -> Grant:
        if offer.username is None and offer.password is None:
            if offer.anonymous_allowed:
                return Grant("anonymous", ["#"], ["#"], anonymous=True)
            raise RefusedError("credentials are required on this listener", NOT_AUTHORIZED)
        # The token's hash finds the credential, and so the app: one device_id may exist in several.
        # What a timing could tell is the hash of a guess, which tells nothing of a token.
        credential = self._registry.credential(sha256(offer.password or b"").hexdigest())
        if credential is None or credential.device.device_id != offer.username:
            raise RefusedError("wrong user name or password", BAD_USER_NAME_OR_PASSWORD)
        now = self._clock()
        if credential.revoked_at:
            raise RefusedError("credential revoked", NOT_AUTHORIZED)
        if credential.expires_at and credential.expires_at <= now:
            raise RefusedError("credential expired", NOT_AUTHORIZED)
        device = credential.device
        app = self._apps.get(device.app)
        if app is None:
            raise RefusedError(f"app {device.app!r} is not running here", NOT_AUTHORIZED)
        self._used[credential.id] = now
        return Grant(
            f"device:{device.app}/{device.device_id}",
            [_filled(template, device.device_id) for template in app.publishes],
            [_filled(template, device.device_id) for template in app.subscribes],
            organization_id=device.organization_id,
            app=device.app,
            device=device.id,
            credential=credential.id,
            expires_at=credential.expires_at,
        )

    async def run(self) -> None:
        """Store when credentials were last used, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self.flush()
            except StoreUnavailableError as error:
                log.warning("last use of credentials is not stored yet", reason=str(error))

    async def flush(self) -> None:
        """Store when credentials were last used. Raises StoreUnavailableError; nothing is lost."""
        if not self._used:
            return
        used, self._used = self._used, {}
        rows = [{"credential": id, "at": at} for id, at in used.items()]
        try:
            await self._db.write(lambda tx: tx.execute(_used, rows))
        except StoreUnavailableError:
            self._used = used | self._used
            raise


def _filled(template: str, device_id: str) -> str:
    """Return the Topic Filter of a template: the device's own name, any name in other places."""
    return _PLACE.sub(lambda place: device_id if place[1] == "device_id" else "+", template)
