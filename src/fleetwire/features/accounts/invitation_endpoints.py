"""HTTP: organisations people belong to, invitations into them, and new passwords by token."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, status
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.features.accounts.endpoints import TheAccounts
from fleetwire.features.accounts.invitations import Invitation, Invitations
from fleetwire.features.accounts.password_resets import PasswordResets
from fleetwire.features.accounts.rules import (
    MAX_EMAIL_CHARS,
    MAX_FULL_NAME_CHARS,
    MAX_PASSWORD_CHARS,
    MAX_USERNAME_CHARS,
    MIN_PASSWORD_CHARS,
)
from fleetwire.features.accounts.schemas import AccountView, Role
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import iso
from fleetwire.kit.people import remote_of

router = APIRouter(prefix="/api/v1", tags=["accounts"])

TheInvitations = Annotated[Invitations, service(Invitations)]
TheResets = Annotated[PasswordResets, service(PasswordResets)]

_TOKEN = "43 characters"
_PASSWORD = "correct horse battery staple"


class OrganizationName(BaseModel):
    """An organisation to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ward 4"}]})

    name: str = Field(min_length=1, max_length=MAX_FULL_NAME_CHARS)


class PlaceView(BaseModel):
    """An organisation you belong to; sign in to it with its id."""

    id: int
    name: str
    role: str


class PlaceList(BaseModel):
    """The organisations you belong to, the oldest first."""

    items: list[PlaceView]


class NewOrganizationView(BaseModel):
    """A new organisation; `POST /api/v1/auth/switch` takes you there."""

    id: int


class InvitationRequest(BaseModel):
    """Who is invited, and as what."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ann@example.org", "role": "operator"}]}
    )

    email: str = Field(max_length=MAX_EMAIL_CHARS)
    role: Role = "viewer"


class InvitationView(BaseModel):
    """An invitation, without its token."""

    id: int
    email: str
    role: str
    expires_at: str
    accepted_at: str | None
    revoked_at: str | None
    created_at: str
    created_by: str

    @classmethod
    def of(cls, invitation: Invitation) -> "InvitationView":
        """Return the view of an invitation."""
        return cls(
            id=invitation.id,
            email=invitation.email,
            role=invitation.role,
            expires_at=iso(invitation.expires_at),
            accepted_at=_iso(invitation.accepted_at),
            revoked_at=_iso(invitation.revoked_at),
            created_at=iso(invitation.created_at),
            created_by=invitation.created_by,
        )


class NewInvitationView(BaseModel):
    """A new invitation. Hand over its token, which is shown here and never again."""

    invitation: InvitationView
    token: str


class InvitationPage(BaseModel):
    """One page of invitations, the oldest first."""

    items: list[InvitationView]
    next_cursor: str | None = None


class Acceptance(BaseModel):
    """The token and who you are; with an account of this e-mail address, its password is enough."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": _TOKEN, "username": "ann", "password": _PASSWORD}]
        }
    )

    token: str = Field(max_length=256)
    username: str = Field("", max_length=MAX_USERNAME_CHARS)
    full_name: str = Field("", max_length=MAX_FULL_NAME_CHARS)
    password: str = Field(max_length=MAX_PASSWORD_CHARS)


class ResetView(BaseModel):
    """A token to set a new password with. Hand it over; it is shown here and never again."""

    token: str
    expires_at: str


class Reset(BaseModel):
    """The token you were handed, and your new password."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"token": _TOKEN, "new_password": _PASSWORD}]}
    )

    token: str = Field(max_length=256)
    new_password: str = Field(min_length=MIN_PASSWORD_CHARS, max_length=MAX_PASSWORD_CHARS)


@router.get("/organizations")
async def list_organizations(caller: Asks, accounts: TheAccounts) -> PlaceList:
    """List the organisations that you belong to."""
    found = await accounts.organizations_of(caller)
    return PlaceList(
        items=[PlaceView(id=each.id, name=each.name, role=role) for each, role in found]
    )


@router.post(
    "/organizations",
    status_code=status.HTTP_201_CREATED,
    responses={409: {"description": "Another organisation has this name"}},
)
async def create_organization(
    body: OrganizationName, caller: Asks, accounts: TheAccounts
) -> NewOrganizationView:
    """Make an organisation, which is yours."""
    return NewOrganizationView(id=await accounts.create_organization(caller, body.name))


@router.post("/invitations", status_code=status.HTTP_201_CREATED)
async def create_invitation(
    body: InvitationRequest, caller: Asks, invitations: TheInvitations
) -> NewInvitationView:
    """Invite somebody into your organisation. It is good for a week."""
    made, token = await invitations.create(caller, body.email, body.role)
    return NewInvitationView(invitation=InvitationView.of(made), token=token)


@router.get("/invitations")
async def list_invitations(
    caller: Asks,
    invitations: TheInvitations,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> InvitationPage:
    """List your organisation's invitations."""
    page = await invitations.list(caller, limit=limit, cursor=cursor)
    return InvitationPage(
        items=[InvitationView.of(each) for each in page.items], next_cursor=page.next_cursor
    )


@router.delete(
    "/invitations/{invitation_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={409: {"description": "It was accepted"}},
)
async def revoke_invitation(invitation_id: int, caller: Asks, invitations: TheInvitations) -> None:
    """Take an invitation back."""
    await invitations.revoke(caller, invitation_id)


@router.post(
    "/auth/accept-invitation",
    status_code=status.HTTP_201_CREATED,
    responses={
        401: {"description": "The invitation or the password is not good"},
        409: {"description": "The user name is taken, or you are a member"},
        429: {"description": "Too many attempts failed"},
    },
)
async def accept_invitation(
    body: Acceptance, request: Request, invitations: TheInvitations
) -> AccountView:
    """Join an organisation by the token of an invitation."""
    return AccountView.of(
        await invitations.accept(
            body.token,
            username=body.username,
            full_name=body.full_name,
            password=body.password,
            remote=remote_of(request),
        )
    )


@router.post("/accounts/{account_id}/password-reset", status_code=status.HTTP_201_CREATED)
async def create_reset(account_id: int, caller: Asks, resets: TheResets) -> ResetView:
    """Make a token with which somebody sets a new password, good for a day."""
    token, expires_at = await resets.create(caller, account_id)
    return ResetView(token=token, expires_at=iso(expires_at))


@router.post(
    "/auth/reset-password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses={
        401: {"description": "The token is unknown, used or expired"},
        429: {"description": "Too many people set passwords at this moment"},
    },
)
async def reset_password(body: Reset, request: Request, resets: TheResets) -> None:
    """Set a new password by token; all your logins end."""
    await resets.reset(body.token, body.new_password, remote_of(request))


def _iso(at: int | None) -> str | None:
    return None if at is None else iso(at)
