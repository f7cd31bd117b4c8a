"""Registry: every device and every usable credential, in memory.

Messages and CONNECTs are decided from here without a question to the database. It is loaded once
and kept right by the service, after each commit, on the event loop.
"""

from collections.abc import Callable, Iterator

from fleetwire.kit.device import Device
from fleetwire.protocol.scram import Verifier


class KnownCredential:
    """A credential as CONNECT needs it. `expires_at` and `revoked_at` 0 = never.

    `verifier` is what SCRAM checks the token with, None if there is none; `fingerprint` is that of
    a client certificate, "" for a token. `used_at` is when somebody last connected with it.
    """

    __slots__ = (
        "device",
        "expires_at",
        "fingerprint",
        "id",
        "revoked_at",
        "token_hash",
        "used_at",
        "verifier",
    )

    def __init__(
        self,
        id: int,
        device: Device,
        token_hash: str,
        expires_at: int = 0,
        revoked_at: int = 0,
        *,
        verifier: Verifier | None = None,
        fingerprint: str = "",
        used_at: int = 0,
    ) -> None:
        self.id = id
        self.device = device
        self.token_hash = token_hash
        self.expires_at = expires_at
        self.revoked_at = revoked_at
        self.verifier = verifier
        self.fingerprint = fingerprint
        self.used_at = used_at


class Registry:
    """All devices by name and by key, all credentials by what they are shown by."""

    def __init__(self) -> None:
        self._by_app: dict[str, dict[str, Device]] = {}
        self._by_id: dict[int, Device] = {}
        self._by_organization: dict[int, int] = {}  # how many
        self._by_hash: dict[str, KnownCredential] = {}
        self._by_fingerprint: dict[str, KnownCredential] = {}
        self._credentials: dict[int, dict[int, KnownCredential]] = {}  # by device, by credential
        # Called with the key of a device that was added, changed or removed, after the commit, and
        # what of it changed, in the words of queries: "connected", "status", "" = anything.
        self.watchers: list[Callable[[int, str], None]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Device]:
        return iter(self._by_id.values())

    def find(self, app: str, device_id: str) -> Device | None:
        """Return the device of this app and name."""
        devices = self._by_app.get(app)
        return None if devices is None else devices.get(device_id)

    def by_id(self, id: int) -> Device | None:
        """Return the device with this key."""
        return self._by_id.get(id)

    def credential(self, token_hash: str) -> KnownCredential | None:
        """Return the credential whose token has this SHA-256, also if expired or revoked."""
        return self._by_hash.get(token_hash)

    def certificate(self, fingerprint: str) -> KnownCredential | None:
        """Return the credential that is this client certificate, the one bound last."""
        return self._by_fingerprint.get(fingerprint)

    def named(self, device_id: str) -> list[Device]:
        """Return the devices of this name, at most one of each app."""
        found = (devices.get(device_id) for devices in self._by_app.values())
        return [device for device in found if device is not None]

    def credentials_of(self, device: Device) -> list[KnownCredential]:
        """Return a device's credentials, oldest first, also if expired or revoked."""
        return list(self._credentials.get(device.id, {}).values())

    def credential_of(self, device_id: int, credential_id: int) -> KnownCredential | None:
        """Return a credential by our keys of the device and of itself."""
        return self._credentials.get(device_id, {}).get(credential_id)

    def has_others(self, organization_id: int) -> bool:
        """Say whether any device, of whichever app, belongs to another organisation."""
        return self._by_organization.get(organization_id, 0) != len(self._by_id)

    def of_organization(self, app: str, organization_id: int) -> list[Device]:
        """Return an organisation's devices of an app."""
        devices = self._by_app.get(app, {}).values()
        return [device for device in devices if device.organization_id == organization_id]

    def add(self, device: Device) -> None:
        """Add a device that was stored."""
        self._by_app.setdefault(device.app, {})[device.device_id] = device
        if device.id not in self._by_id:
            organization_id = device.organization_id
            here = self._by_organization.get(organization_id, 0)
            self._by_organization[organization_id] = here + 1
        self._by_id[device.id] = device
        self.touch(device.id)

    def touch(self, id: int, field: str = "") -> None:
        """Tell who watches that what is stored of a device has changed; "" = any of it."""
        for watcher in self.watchers:
            watcher(id, field)

    def add_credential(self, credential: KnownCredential) -> None:
        """Add a credential that was stored."""
        self._by_hash[credential.token_hash] = credential
        if credential.fingerprint:
            self._by_fingerprint[credential.fingerprint] = credential
        self._credentials.setdefault(credential.device.id, {})[credential.id] = credential

    def revoke(self, device: Device, credential_id: int, at: int) -> None:
        """Note that a credential was revoked: it is kept, so that its user is told why."""
        credential = self._credentials.get(device.id, {}).get(credential_id)
        if credential is not None and not credential.revoked_at:
            credential.revoked_at = at

    def remove(self, device: Device) -> None:
        """Forget a device and its credentials."""
        if self._by_id.pop(device.id, None) is not None:
            self._by_organization[device.organization_id] -= 1
        self._by_app.get(device.app, {}).pop(device.device_id, None)
        for credential in self._credentials.pop(device.id, {}).values():
            self._by_hash.pop(credential.token_hash, None)
            if self._by_fingerprint.get(credential.fingerprint) is credential:
                del self._by_fingerprint[credential.fingerprint]
        self.touch(device.id)
