"""Claims, fleet keys and requests to enrol as people see them over HTTP."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.errors import InvalidValueError
from fleetwire.features.devices.rules import (
    MAX_ID_CHARS,
    MAX_NAME_CHARS,
    MAX_TAGS,
    MAX_TYPE_CHARS,
)
from fleetwire.features.provisioning.approvals import MAX_REASON_CHARS
from fleetwire.features.provisioning.claims import USES_MOST, Claim
from fleetwire.features.provisioning.fleet_keys import (
    DEVICES_MOST,
    MAX_NAME_CHARS as MAX_KEY_NAME,
    FleetKey,
)
from fleetwire.features.provisioning.requests import Request
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.instants import iso, parse

MAX_LIFE_S: Final = 100 * 365 * 86_400.0


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class Lasting(BaseModel):
    """How long something is good for: until an instant, or for a length of time from now."""

    expires_at: str | None = Field(None, max_length=64, description="ISO 8601 or epoch")
    valid_for: str | None = Field(None, max_length=32, description="such as 24h or 30d, instead")

    def until(self, now: int) -> int | None:
        """Return when it ends, None if nothing was said. Raises InvalidValueError."""
        if self.valid_for is None:
            return None if self.expires_at is None else parse(self.expires_at, "expires_at")
        if self.expires_at is not None:
            raise InvalidValueError("Say expires_at or valid_for, not both", field="valid_for")
        length_s = parse_duration(self.valid_for, "valid_for")
        if not 1 <= length_s <= MAX_LIFE_S:
            raise InvalidValueError("valid_for must be 1s to 100 years", field="valid_for")
        return now + round(length_s * 1_000_000)


class ClaimRequest(Lasting):
    """A claim to be made. Without a device_id, whoever claims says it."""

    model_config = _examples(
        {
            "app": "medical",
            "device_id": "bp-7",
            "type": "blood_pressure_monitor",
            "attributes": {"patient_id": "p-17"},
            "valid_for": "24h",
        },
        {"app": "medical", "type": "ecg_monitor", "uses": 20, "valid_for": "30d"},
    )

    app: str = Field(max_length=64)
    device_id: str | None = Field(None, min_length=1, max_length=MAX_ID_CHARS)
    type: str = Field(min_length=1, max_length=MAX_TYPE_CHARS)
    name: str | None = Field(None, min_length=1, max_length=MAX_NAME_CHARS)
    attributes: dict[str, Any] = {}
    tags: list[str] = Field([], max_length=MAX_TAGS)
    uses: int = Field(1, ge=1, le=USES_MOST, description="devices that may claim with it")


class ClaimView(BaseModel):
    """A claim, without its code."""

    id: int
    app: str
    device_id: str | None
    type: str
    name: str | None
    attributes: dict[str, Any]
    tags: list[str]
    state: str = Field(description="open, used, revoked or expired")
    max_uses: int
    uses: int
    expires_at: str
    revoked_at: str | None
    last_used_at: str | None
    created_at: str
    created_by: str

    @classmethod
    def of(cls, claim: Claim, now: int) -> "ClaimView":
        """Return the view of a claim."""
        return cls(
            id=claim.id,
            app=claim.app,
            device_id=claim.device_id,
            type=claim.type,
            name=claim.name,
            attributes=claim.attributes,
            tags=claim.tags,
            state=claim.state(now),
            max_uses=claim.max_uses,
            uses=claim.uses,
            expires_at=iso(claim.expires_at),
            revoked_at=_iso(claim.revoked_at),
            last_used_at=_iso(claim.last_used_at),
            created_at=iso(claim.created_at),
            created_by=claim.created_by,
        )


class NewClaimView(BaseModel):
    """A new claim, its code, and the URL that its QR code holds."""

    claim: ClaimView
    code: str
    url: str


class ClaimPage(BaseModel):
    """One page of claims, the newest first."""

    items: list[ClaimView]
    next_cursor: str | None = None


class FleetKeyRequest(Lasting):
    """A fleet key to be made. Unless it approves at once, a person decides on each device."""

    model_config = _examples(
        {
            "name": "Line 2, week 47",
            "app": "medical",
            "type": "ecg_monitor",
            "auto_approve": False,
            "max_devices": 500,
            "valid_for": "30d",
        }
    )

    name: str = Field(min_length=1, max_length=MAX_KEY_NAME)
    app: str = Field(max_length=64)
    type: str = Field(
        min_length=1, max_length=MAX_TYPE_CHARS, description="of a device that says no other"
    )
    tags: list[str] = Field([], max_length=MAX_TAGS)
    auto_approve: bool = False
    max_devices: int | None = Field(None, ge=1, le=DEVICES_MOST)


class FleetKeyView(BaseModel):
    """A fleet key, without its text."""

    id: int
    name: str
    app: str
    type: str
    tags: list[str]
    auto_approve: bool
    max_devices: int | None
    enrolled: int = Field(description="devices it has let in, also those since removed")
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    created_at: str
    created_by: str

    @classmethod
    def of(cls, key: FleetKey) -> "FleetKeyView":
        """Return the view of a key."""
        return cls(
            id=key.id,
            name=key.name,
            app=key.app,
            type=key.type,
            tags=key.tags,
            auto_approve=key.auto_approve,
            max_devices=key.max_devices,
            enrolled=key.enrolled,
            expires_at=_iso(key.expires_at),
            revoked_at=_iso(key.revoked_at),
            last_used_at=_iso(key.last_used_at),
            created_at=iso(key.created_at),
            created_by=key.created_by,
        )


class NewFleetKeyView(BaseModel):
    """A new fleet key. Its text is shown here and never again."""

    key: FleetKeyView
    fleet_key: str


class FleetKeyPage(BaseModel):
    """One page of fleet keys, the oldest first."""

    items: list[FleetKeyView]
    next_cursor: str | None = None


class EnrolmentView(BaseModel):
    """A device that asked to be let in, or that came in by itself."""

    id: int
    way: str = Field(description="fleet_key, certificate or message")
    fleet_key: int | None
    app: str
    device_id: str
    type: str
    name: str | None
    facts: dict[str, Any] = Field(description="what it says of itself; nobody has checked it")
    attributes: dict[str, Any]
    tags: list[str]
    state: str = Field(description="pending, approved (it has yet to fetch), refused or enrolled")
    reason: str
    remote: str
    asked: int = Field(description="how often")
    asked_at: str
    expires_at: str | None
    decided_at: str | None
    decided_by: str | None

    @classmethod
    def of(cls, request: Request) -> "EnrolmentView":
        """Return the view of a request."""
        return cls(
            id=request.id,
            way=request.way,
            fleet_key=request.fleet_key,
            app=request.app,
            device_id=request.device_id,
            type=request.type,
            name=request.name,
            facts=request.facts,
            attributes=request.attributes,
            tags=request.tags,
            state=request.state,
            reason=request.reason,
            remote=request.remote,
            asked=request.asked,
            asked_at=iso(request.asked_at),
            expires_at=_iso(request.expires_at),
            decided_at=_iso(request.decided_at),
            decided_by=request.decided_by,
        )


class EnrolmentPage(BaseModel):
    """One page of requests, in the order in which they first came."""

    items: list[EnrolmentView]
    next_cursor: str | None = None


class Approval(BaseModel):
    """What the device is to be called and to carry; what is not sent is as it asked."""

    model_config = _examples({"name": "Ward 3, bed 12", "attributes": {"patient_id": "p-17"}})

    type: str | None = Field(None, min_length=1, max_length=MAX_TYPE_CHARS)
    name: str | None = Field(None, min_length=1, max_length=MAX_NAME_CHARS)
    attributes: dict[str, Any] | None = None
    tags: list[str] | None = Field(None, max_length=MAX_TAGS)


class Refusal(BaseModel):
    """Why a device is kept out; it is told so."""

    model_config = _examples({"reason": "not one of ours"})

    reason: str = Field("", max_length=MAX_REASON_CHARS)


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
