"""Devices and credentials as HTTP takes and shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.devices.rules import (
    MAX_ID_CHARS,
    MAX_NAME_CHARS,
    MAX_TAGS,
    MAX_TYPE_CHARS,
)
from fleetwire.kit.instants import iso
from fleetwire.kit.services import Credential, CredentialRecord, DeviceRecord

MAX_KEY = 2**63 - 1  # of a row: what the databases take

_DEVICE = {
    "app": "medical",
    "device_id": "bp-1",
    "type": "blood_pressure_monitor",
    "name": "Ward 3, bed 12",
    "attributes": {"patient_id": "p-17"},
    "tags": ["cold", "ward-3"],
    "area_id": 3,
    "area": "Clinic/Ward 3",
    "status": "online",
    "reported": {"battery": 85},
    "presence": {
        "connected": True,
        "reason": "connect",
        "since": "2026-01-31T11:58:00.000Z",
        "last_seen": "2026-01-31T12:00:00.250Z",
    },
    "created_at": "2026-01-30T08:00:00.000Z",
    "updated_at": "2026-01-31T12:00:00.250Z",
}
_CREDENTIAL = {"id": 5, "username": "bp-1", "password": "64 hexadecimal digits", "expires_at": None}


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class Registration(BaseModel):
    """A device to be registered."""

    model_config = _examples(
        {key: _DEVICE[key] for key in ("app", "device_id", "type", "name", "attributes", "tags")}
    )

    app: str = Field(max_length=64)
    device_id: str = Field(min_length=1, max_length=MAX_ID_CHARS)
    type: str = Field(min_length=1, max_length=MAX_TYPE_CHARS)
    name: str | None = Field(None, max_length=MAX_NAME_CHARS)
    attributes: dict[str, Any] = {}
    tags: list[str] = Field([], max_length=MAX_TAGS)
    area_id: int | None = Field(None, ge=1, le=MAX_KEY)


class Change(BaseModel):
    """What is to be changed; what is not sent stays. A null attribute is removed."""

    model_config = _examples({"name": "Ward 3, bed 14", "attributes": {"patient_id": "p-18"}})

    type: str | None = Field(None, min_length=1, max_length=MAX_TYPE_CHARS)
    name: str | None = Field(None, min_length=1, max_length=MAX_NAME_CHARS)
    attributes: dict[str, Any] | None = None
    tags: list[str] | None = Field(None, max_length=MAX_TAGS, description="all of them")
    area_id: int | None = Field(
        None, ge=1, le=MAX_KEY, description="where it stands; null takes it out of its area"
    )

    @property
    def area_to_be(self) -> int | None:
        """The area's key, 0 for none, None if nothing was said of it."""
        return (self.area_id or 0) if "area_id" in self.model_fields_set else None


class Presence(BaseModel):
    """Whether the device is there, why, since when, and when it was last heard."""

    connected: bool
    reason: str | None
    since: str | None
    last_seen: str | None


class DeviceView(BaseModel):
    """A device, what it last reported of itself, and whether it is there."""

    model_config = _examples(_DEVICE)

    app: str
    device_id: str
    type: str
    name: str | None
    attributes: dict[str, Any]
    tags: list[str]
    area_id: int | None
    area: str | None = Field(description="the path of its area")
    status: str
    reported: dict[str, Any]
    presence: Presence
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, device: DeviceRecord) -> "DeviceView":
        """Return the view of a device."""
        return cls(
            app=device.app,
            device_id=device.device_id,
            type=device.type,
            name=device.name,
            attributes=device.attributes,
            tags=list(device.tags),
            area_id=device.area_id,
            area=device.area,
            status=device.status,
            reported=device.reported,
            presence=Presence(
                connected=device.connected,
                reason=device.connected_reason,
                since=_iso(device.connected_since_at),
                last_seen=_iso(device.last_seen_at),
            ),
            created_at=iso(device.created_at),
            updated_at=iso(device.updated_at),
        )


class DevicePage(BaseModel):
    """One page of devices, in the order of registration."""

    items: list[DeviceView]
    next_cursor: str | None = None


class CredentialView(BaseModel):
    """MQTT credentials. The password is shown here and never again."""

    model_config = _examples(_CREDENTIAL)

    id: int
    username: str
    password: str
    expires_at: str | None

    @classmethod
    def of(cls, credential: Credential) -> "CredentialView":
        """Return the view of new credentials."""
        return cls(
            id=credential.id,
            username=credential.username,
            password=credential.password,
            expires_at=_iso(credential.expires_at),
        )


class RegisteredView(BaseModel):
    """A new device with its first credentials."""

    model_config = _examples({"device": _DEVICE, "credential": _CREDENTIAL})

    device: DeviceView
    credential: CredentialView


class CredentialRequest(BaseModel):
    """Credentials to be issued."""

    model_config = _examples({"expires_at": "2027-01-01T00:00:00Z", "overlap": "24h"})

    expires_at: str | None = Field(None, description="ISO 8601 or epoch; none = never")
    overlap: str | None = Field(
        None, max_length=32, description="the older tokens end after this time; none = they stay"
    )


class CertificateRequest(BaseModel):
    """A client certificate to be bound to a device."""

    model_config = _examples({"fingerprint": "64 hexadecimal digits", "expires_at": None})

    fingerprint: str = Field(max_length=128, description="SHA-256 of its DER form")
    expires_at: str | None = Field(None, description="ISO 8601 or epoch; none = the certificate's")


class CredentialRecordView(BaseModel):
    """What is known of credentials after they were given out."""

    id: int
    kind: str = Field(description="token or certificate")
    fingerprint: str | None = Field(description="of a certificate: SHA-256, hexadecimal")
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    created_at: str

    @classmethod
    def of(cls, record: CredentialRecord) -> "CredentialRecordView":
        """Return the view of stored credentials."""
        return cls(
            id=record.id,
            kind=record.kind,
            fingerprint=record.fingerprint,
            expires_at=_iso(record.expires_at),
            revoked_at=_iso(record.revoked_at),
            last_used_at=_iso(record.last_used_at),
            created_at=iso(record.created_at),
        )


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
