"""Keys as HTTP takes and shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.accounts.api_key_repository import ApiKey
from fleetwire.features.accounts.api_keys import NewApiKey
from fleetwire.features.accounts.key_rules import MAX_NAME_CHARS, MAX_RIGHTS
from fleetwire.kit.instants import iso

_KEY: dict[str, Any] = {
    "id": 3,
    "name": "exporter",
    "kind": "service",
    "publish": [],
    "subscribe": ["devices/+/data"],
    "permissions": ["device.read"],
    "expires_at": "2027-01-31T00:00:00.000Z",
    "revoked_at": None,
    "last_used_at": None,
    "created_at": "2026-01-31T12:00:00.000Z",
    "created_by": "account:1",
    "account_id": None,
}
_PLACES = (
    "Topic Filters; {client_id} {username} {organization} {role} stand for the client that connects"
)


class ApiKeyRequest(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {k: _KEY[k] for k in ("name", "publish", "subscribe", "permissions", "expires_at")},
            ]
        }
    )

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    publish: list[str] = Field([], max_length=MAX_RIGHTS, description=_PLACES)
    subscribe: list[str] = Field([], max_length=MAX_RIGHTS, description=_PLACES)
    permissions: list[str] = Field(
        [], max_length=MAX_RIGHTS, description="over HTTP: some of yours, such as device.read"
    )
    expires_at: str | None = Field(None, description="ISO 8601 or epoch; none = never")


class PersonalKeyRequest(BaseModel):
    """A key of your own to be made."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "laptop",
                    "permissions": ["device.read", "telemetry.read"],
                    "expires_at": "2027-01-31T00:00:00.000Z",
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    permissions: list[str] = Field(
        min_length=1,
        max_length=MAX_RIGHTS,
        description="some of yours; message.read and message.publish are for MQTT",
    )
    expires_at: str | None = Field(None, description="ISO 8601 or epoch; none = never")


class ApiKeyView(BaseModel):
    """A key, without its token."""

    model_config = ConfigDict(json_schema_extra={"examples": [_KEY]})

    id: int
    name: str
    kind: str
    publish: list[str]
    subscribe: list[str]
    permissions: list[str]
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    created_at: str
    created_by: str
    account_id: int | None = Field(description="whose own it is; none = the organisation's")

    @classmethod
    def of(cls, key: ApiKey) -> "ApiKeyView":
        """Return the view of a key."""
        return cls(
            id=key.id,
            name=key.name,
            kind=key.kind,
            publish=key.publish,
            subscribe=key.subscribe,
            permissions=key.permissions,
            expires_at=_iso(key.expires_at),
            revoked_at=_iso(key.revoked_at),
            last_used_at=_iso(key.last_used_at),
            created_at=iso(key.created_at),
            created_by=key.created_by,
            account_id=key.account_id,
        )


class NewApiKeyView(BaseModel):
    """A new key. Send the token as MQTT password or Bearer; it is shown here and never again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"key": _KEY, "token": "fwk_ and 43 characters"}]}
    )

    key: ApiKeyView
    token: str

    @classmethod
    def of(cls, made: NewApiKey) -> "NewApiKeyView":
        """Return the view of a new key."""
        return cls(key=ApiKeyView.of(made.key), token=made.token)


class ApiKeyPage(BaseModel):
    """One page of keys, in the order they were made."""

    items: list[ApiKeyView]
    next_cursor: str | None = None


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
