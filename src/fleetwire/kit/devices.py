"""Devices: the registry."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from fleetwire.kit.caller import Caller
from fleetwire.kit.device import Device
from fleetwire.kit.paging import Page


class DeviceRecord(msgspec.Struct):
    """A device as stored, with what it reported and whether it is there."""

    id: int
    app: str
    device_id: str
    organization_id: int
    type: str
    name: str | None
    attributes: dict[str, Any]
    status: str
    reported: dict[str, Any]
    connected: bool
    connected_reason: str | None
    connected_since_at: int | None
    last_seen_at: int | None
    created_at: int
    updated_at: int
    tags: tuple[str, ...] = ()  # in order
    area_id: int | None = None
    area: str | None = None  # its path: Clinic/Floor 2/Ward 3


class Credential(msgspec.Struct):
    """MQTT credentials, given out once: the token is stored as a hash only."""

    id: int
    username: str
    password: str
    expires_at: int | None


class CredentialRecord(msgspec.Struct):
    """What is known of a credential after it was given out.

    `kind` is "token" or "certificate"; the fingerprint is a certificate's, SHA-256 in hexadecimal.
    """

    id: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    created_at: int
    kind: str = "token"
    fingerprint: str | None = None


class Devices(ABC):
    """The registry."""

    @abstractmethod
    def find(self, app: str, device_id: str) -> Device | None:
        """Return the device from memory, or None; for handlers and authorisation."""

    @abstractmethod
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
        """Register a device and its first credential. Raises ConflictError if the id is taken."""

    @abstractmethod
    async def get(self, caller: Caller, app: str, device_id: str) -> DeviceRecord: ...

    @abstractmethod
    async def list(
        self,
        caller: Caller,
        app: str | None,
        *,
        attributes: dict[str, str] | None = None,
        search: str | None = None,
        query: str | None = None,
        area_id: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[DeviceRecord]:
        """Return devices in the order of registration.

        `attributes` must be equal as text, `search` must occur in the id, the name or the type,
        `query` is such as `tag:cold and attr.floor>=2`; `area_id` are those of an area and below.
        """

    @abstractmethod
    async def count(
        self, caller: Caller, app: str | None = None, *, query: str | None = None
    ) -> int:
        """Return how many devices are meant."""

    @abstractmethod
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
        """Change what is given; `attributes` are merged, a None inside removes that attribute;
        `tags` are all of them from now on; `area_id` 0 takes it out of its area.

        `expects` is called with the device as it is, within the transaction, and may raise.
        """

    @abstractmethod
    async def delete(self, caller: Caller, app: str, device_id: str) -> None:
        """Remove the device; its credentials are revoked, its live connections closed."""

    @abstractmethod
    async def issue_credential(
        self,
        caller: Caller,
        app: str,
        device_id: str,
        *,
        expires_at: int | None = None,
        overlap_s: float | None = None,
    ) -> Credential:
        """Return new credentials; with `overlap_s` the older tokens end that long from now."""

    @abstractmethod
    async def credentials(
        self, caller: Caller, app: str, device_id: str
    ) -> Sequence[CredentialRecord]: ...

    @abstractmethod
    async def revoke_credential(
        self, caller: Caller, app: str, device_id: str, credential_id: int
    ) -> None: ...
