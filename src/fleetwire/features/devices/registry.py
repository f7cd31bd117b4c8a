"""Registry: every device and every usable credential, in memory.

Messages and CONNECTs are decided from here without a question to the database. It is loaded once
and kept right by the service, after each commit, on the event loop.
"""

from collections.abc import Iterator

from fleetwire.kit.device import Device


class KnownCredential:
    """A credential as CONNECT needs it. `expires_at` and `revoked_at` 0 = never."""

    __slots__ = ("device", "expires_at", "id", "revoked_at", "token_hash")

    def __init__(
        self, id: int, device: Device, token_hash: str, expires_at: int = 0, revoked_at: int = 0
    ) -> None:
        self.id = id
        self.device = device
        self.token_hash = token_hash
        self.expires_at = expires_at
        self.revoked_at = revoked_at


class Registry:
    """All devices by name and by key, all credentials by the hash of their token."""

    def __init__(self) -> None:
        self._by_app: dict[str, dict[str, Device]] = {}
        self._by_id: dict[int, Device] = {}
        self._by_hash: dict[str, KnownCredential] = {}
        self._credentials: dict[int, dict[int, KnownCredential]] = {}  # by device, by credential

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

    def add(self, device: Device) -> None:
        """Add a device that was stored."""
        self._by_app.setdefault(device.app, {})[device.device_id] = device
        self._by_id[device.id] = device

    def add_credential(self, credential: KnownCredential) -> None:
        """Add a credential that was stored."""
        self._by_hash[credential.token_hash] = credential
        self._credentials.setdefault(credential.device.id, {})[credential.id] = credential

    def revoke(self, device: Device, credential_id: int, at: int) -> None:
        """Note that a credential was revoked: it is kept, so that its user is told why."""
        credential = self._credentials.get(device.id, {}).get(credential_id)
        if credential is not None and not credential.revoked_at:
            credential.revoked_at = at

    def remove(self, device: Device) -> None:
        """Forget a device and its credentials."""
        self._by_id.pop(device.id, None)
        self._by_app.get(device.app, {}).pop(device.device_id, None)
        for credential in self._credentials.pop(device.id, {}).values():
            self._by_hash.pop(credential.token_hash, None)
