"""DeviceAuthenticator: a device's CONNECT is decided from memory."""

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Final

from sqlalchemy import bindparam, update

from fleetwire.broker.grants import Grant
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.devices.registry import KnownCredential, Registry
from fleetwire.features.devices.scram import ScramExchange
from fleetwire.features.devices.tables import device_credentials
from fleetwire.features.devices.topics import TopicsOf, topics_of_app
from fleetwire.kit import instants
from fleetwire.kit.app import App
from fleetwire.kit.device import Device
from fleetwire.net.authenticator import (
    Authenticator,
    ClientCertificate,
    Exchange,
    Offer,
    RefusedError,
)
from fleetwire.net.rights import granted
from fleetwire.protocol.constants import BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED
from fleetwire.protocol.scram import METHOD
from fleetwire.store.database import Database

# What a client certificate says of who a client is.
NOTHING: Final = "off"
FINGERPRINT: Final = "fingerprint"  # it may be bound to a device
COMMON_NAME: Final = "common_name"  # or else its subject's common name is the device_id

_used = (
    update(device_credentials)
    .where(device_credentials.c.id == bindparam("credential"))
    .values(last_used_at=bindparam("at"))
)


class DeviceAuthenticator(Authenticator):
    """Knows devices by user name (their device_id) and token, sent or proved, or by certificate.

    `secret` is the server's own, any bytes that stay the same. A password decides before a
    certificate does; with neither a client is anonymous, where its listener allows that.

    `enrol` is asked about a certificate whose common name is no device's yet: it may make it one
    (True), or raise RefusedError. Called with where the client comes from.
    """

    enrol: Callable[[ClientCertificate, str], Awaitable[bool]] | None = None

    def __init__(
        self,
        registry: Registry,
        apps: Mapping[str, App],
        db: Database,
        clock: Callable[[], int] = instants.now,
        *,
        secret: bytes = b"",
        tls_identity: str = FINGERPRINT,
        topics_of: TopicsOf = topics_of_app,
    ) -> None:
        self._registry = registry
        self._apps = apps
        self._db = db
        self._clock = clock
        self._secret = secret
        self._tls_identity = tls_identity
        self.topics_of = topics_of
        self._used: dict[int, int] = {}  # credential → when; bounded by how many there are

    async def authenticate(self, offer: Offer) -> Grant:
        if offer.password is None and offer.certificate and self._tls_identity != NOTHING:
            grant = self._by_certificate(offer) or await self._enrolled(offer)
            if grant is not None:
                return grant
            if not offer.anonymous_allowed or offer.username is not None:
                raise RefusedError("this client certificate is no device's", NOT_AUTHORIZED)
        if offer.username is None and offer.password is None:
            return self.grant_of_anonymous(offer)
        # The token's hash finds the credential, and so the app: one device_id may exist in several.
        # What a timing could tell is the hash of a guess, which tells nothing of a token.
        credential = self._registry.credential(sha256(offer.password or b"").hexdigest())
        if credential is None or credential.device.device_id != offer.username:
            raise RefusedError("wrong user name or password", BAD_USER_NAME_OR_PASSWORD)
        return self._admit(credential, offer)

    def grant_of_anonymous(self, offer: Offer) -> Grant:
        """Return what a client without credentials may do. Raises RefusedError if it may not be."""
        if offer.anonymous_allowed:
            return Grant("anonymous", ["#"], ["#", "$SYS/#"], anonymous=True)
        raise RefusedError("credentials are required on this listener", NOT_AUTHORIZED)

    def begin(self, method: str, offer: Offer) -> Exchange:
        if method != METHOD:
            return super().begin(method, offer)
        return ScramExchange(
            self._registry, self._secret, lambda credential: self._admit(credential, offer)
        )

    def stands(self, grant: Grant) -> bool:
        if not grant.credential:
            return True
        device = self._registry.by_id(grant.device)
        known = [] if device is None else self._registry.credentials_of(device)
        return any(each.id == grant.credential and not each.revoked_at for each in known)

    def _by_certificate(self, offer: Offer) -> Grant | None:
        """Return what the device may do whose certificate this is; None if it is nobody's."""
        certificate = offer.certificate
        assert certificate is not None
        credential = self._registry.certificate(certificate.fingerprint)
        if credential is not None:
            _check_name(credential.device, offer)
            grant = self._admit(credential, offer)
        elif self._tls_identity == COMMON_NAME and certificate.common_name:
            devices = self._registry.named(certificate.common_name)
            if len(devices) > 1:
                # Which of them it is, only binding the certificate can say.
                raise RefusedError(
                    "several apps have a device of the certificate's name", NOT_AUTHORIZED
                )
            if not devices:
                return None
            _check_name(devices[0], offer)
            grant = self.grant_for(devices[0], offer)
        else:
            return None
        ends = certificate.not_after_at
        grant.expires_at = min(grant.expires_at or ends, ends)
        return grant

    async def _enrolled(self, offer: Offer) -> Grant | None:
        """Return what a device may do that its certificate has just made one."""
        certificate = offer.certificate
        assert certificate is not None
        if self.enrol is None or self._tls_identity != COMMON_NAME:
            return None
        if offer.username not in (None, certificate.common_name):
            return None
        is_new = await self.enrol(certificate, offer.remote)
        return self._by_certificate(offer) if is_new else None

    def _admit(self, credential: KnownCredential, offer: Offer) -> Grant:
        """Return what a client with this credential may do. Raises RefusedError."""
        grant = self.grant_of(credential, offer)
        credential.used_at = self._used[credential.id] = self._clock()
        return grant

    def grant_of(self, credential: KnownCredential, offer: Offer) -> Grant:
        """Return what a client with this credential would be let do, which is no use of it.

        Raises RefusedError.
        """
        now = self._clock()
        if credential.revoked_at:
            raise RefusedError("credential revoked", NOT_AUTHORIZED)
        if credential.expires_at and credential.expires_at <= now:
            raise RefusedError("credential expired", NOT_AUTHORIZED)
        grant = self.grant_for(credential.device, offer)
        grant.credential = credential.id
        grant.expires_at = credential.expires_at
        return grant

    def grant_for(self, device: Device, offer: Offer) -> Grant:
        """Return what a client may do that was found to be this device. Raises RefusedError."""
        app = self._apps.get(device.app)
        if app is None:
            raise RefusedError(f"app {device.app!r} is not running here", NOT_AUTHORIZED)
        identity = f"device:{device.app}/{device.device_id}"
        values = {
            "device_id": device.device_id,
            "client_id": offer.client_id,
            "username": device.device_id,
            "organization": str(device.organization_id),
            "role": "device",
        }
        publishes, subscribes = self.topics_of(app, device)
        return Grant(
            identity,
            granted(publishes, values, identity, offer.remote),
            granted(subscribes, values, identity, offer.remote),
            organization_id=device.organization_id,
            app=device.app,
            device=device.id,
        )

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


def _check_name(device: Device, offer: Offer) -> None:
    if offer.username is not None and offer.username != device.device_id:
        raise RefusedError("the user name is not that of the certificate's device", NOT_AUTHORIZED)
