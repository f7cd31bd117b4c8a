"""Accounts and logins as HTTP takes and shows them."""

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from fleetwire.features.accounts.directory import Account
from fleetwire.features.accounts.logins import Tokens
from fleetwire.features.accounts.rules import (
    MAX_EMAIL_CHARS,
    MAX_FULL_NAME_CHARS,
    MAX_PASSWORD_CHARS,
    MAX_USERNAME_CHARS,
    MIN_PASSWORD_CHARS,
)
from fleetwire.kit.instants import iso

Role = Literal["viewer", "operator", "administrator", "owner"]

_ACCOUNT = {
    "id": 2,
    "email": "ann@example.org",
    "username": "ann",
    "full_name": "Ann Example",
    "role": "operator",
    "is_active": True,
    "organization_id": 1,
    "created_at": "2026-01-30T08:00:00.000Z",
    "last_login_at": "2026-01-31T12:00:00.250Z",
}
_PASSWORD = "correct horse battery staple"


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class Login(BaseModel):
    """Who signs in: by user name or e-mail address."""

    model_config = _examples({"username": "admin", "password": _PASSWORD})

    username: str = Field(
        max_length=MAX_EMAIL_CHARS, validation_alias=AliasChoices("username", "email")
    )
    password: str = Field(max_length=MAX_PASSWORD_CHARS)
    organization: int | None = Field(None, description="its id; none = your oldest")


class Switch(BaseModel):
    """The organisation to go on in."""

    model_config = _examples({"organization": 2})

    organization: int


class RefreshRequest(BaseModel):
    """A refresh token."""

    model_config = _examples({"refresh_token": "43 characters"})

    refresh_token: str = Field(max_length=256)


class PasswordChange(BaseModel):
    """The password as it is and as it shall be."""

    model_config = _examples({"old_password": "what it was", "new_password": _PASSWORD})

    old_password: str = Field(max_length=MAX_PASSWORD_CHARS)
    new_password: str = Field(min_length=MIN_PASSWORD_CHARS, max_length=MAX_PASSWORD_CHARS)


class NewAccount(BaseModel):
    """An account to be made; without a password its owner signs in elsewhere (JWKS)."""

    model_config = _examples(
        {key: _ACCOUNT[key] for key in ("email", "username", "full_name", "role")}
        | {"password": _PASSWORD}
    )

    email: str | None = Field(None, max_length=MAX_EMAIL_CHARS, description="none = has none")
    username: str = Field(max_length=MAX_USERNAME_CHARS)
    full_name: str = Field("", max_length=MAX_FULL_NAME_CHARS)
    role: Role = "viewer"
    password: str | None = Field(None, min_length=MIN_PASSWORD_CHARS, max_length=MAX_PASSWORD_CHARS)


class AccountChange(BaseModel):
    """What is to be changed; what is not sent stays."""

    model_config = _examples({"role": "viewer"}, {"is_active": False})

    email: str | None = Field(None, max_length=MAX_EMAIL_CHARS)
    username: str | None = Field(None, max_length=MAX_USERNAME_CHARS)
    full_name: str | None = Field(None, max_length=MAX_FULL_NAME_CHARS)
    role: Role | None = None
    password: str | None = Field(None, min_length=MIN_PASSWORD_CHARS, max_length=MAX_PASSWORD_CHARS)
    is_active: bool | None = None


class AccountView(BaseModel):
    """A person's account."""

    model_config = _examples(_ACCOUNT)

    id: int
    email: str
    username: str
    full_name: str | None
    role: str
    is_active: bool
    organization_id: int
    created_at: str
    last_login_at: str | None

    @classmethod
    def of(cls, account: Account) -> "AccountView":
        """Return the view of an account."""
        return cls(
            id=account.id,
            email=account.email,
            username=account.username,
            full_name=account.full_name,
            role=account.role,
            is_active=account.is_active,
            organization_id=account.organization_id,
            created_at=iso(account.created_at),
            last_login_at=None if account.last_login_at is None else iso(account.last_login_at),
        )


class TokensView(BaseModel):
    """Tokens: send the access token as `Authorization: Bearer …`, keep the refresh token safe."""

    model_config = _examples(
        {
            "access_token": "eyJhbGciOiJIUzI1NiIs…",
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": "43 characters",
            "refresh_expires_in": 2592000,
            "user": _ACCOUNT,
        }
    )

    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="seconds")
    refresh_token: str = Field(description="good for one use")
    refresh_expires_in: int = Field(description="seconds")
    user: AccountView

    @classmethod
    def of(cls, tokens: Tokens) -> "TokensView":
        """Return the view of new tokens."""
        return cls(
            access_token=tokens.access_token,
            expires_in=tokens.expires_in_s,
            refresh_token=tokens.refresh_token,
            refresh_expires_in=tokens.refresh_expires_in_s,
            user=AccountView.of(tokens.account),
        )


class MeView(BaseModel):
    """Who you are, and what you may do."""

    model_config = _examples({"account": _ACCOUNT, "permissions": ["device.read"]})

    account: AccountView
    permissions: list[str]


class AccountPage(BaseModel):
    """One page of accounts, in the order they were made."""

    items: list[AccountView]
    next_cursor: str | None = None
