"""HTTP: `/auth`, signing in and out."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.apps.farm.endpoints.common import (
    WRONG,
    Answer,
    Body,
    TheAudit,
    ThePeople,
    success,
    token_in,
)
from fleetwire.apps.farm.roles import ROLES, permissions_of
from fleetwire.kit import (
    Asks,
    Caller,
    Mode,
    Person,
    SignedIn,
    open_to_all,
    remote_of,
    service,
)

# User names have few signs; people sign in by their address.
_NO_LETTER = re.compile(r"[^a-z0-9._-]|^[._-]")
TheMode = Annotated[Mode, service(Mode)]
Secret = Annotated[str, Field(min_length=1, max_length=1024)]

REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "Wrong, expired or revoked"},
    403: {"description": "He may not sign in here"},
    429: {"description": "Too many failures: wait"},
}


class LoginBody(BaseModel):
    """Who signs in."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "ann@farm.example", "password": "a long secret"}]}
    )

    email: Annotated[str, Field(min_length=1, max_length=320)]
    password: Secret


class SignupBody(Body):
    """Somebody new, who may look around until he is given a role."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "Ann", "email": "ann@farm.example", "password": "a long secret phrase"}
            ]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
    email: Annotated[str, Field(min_length=3, max_length=320)]
    password: Secret
    role: Annotated[str, Field(max_length=32)] = "Viewer"


class RefreshBody(Body):
    """The refresh token, which is used up."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refreshToken": "x"}]})

    refresh_token: Secret


class ForgotBody(BaseModel):
    """Whose password was forgotten."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "ann@farm.example"}]})

    email: Annotated[str, Field(min_length=1, max_length=320, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ResetBody(BaseModel):
    """A token that an administrator has handed out, and the new password."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"token": "x", "password": "another long secret"}]}
    )

    token: Secret
    password: Secret


router = APIRouter(prefix="/auth", tags=["sign in"], responses=WRONG)


@router.post("/login", responses=REFUSED)
async def login(body: LoginBody, request: Request, people: ThePeople) -> Answer:
    """Sign in; the token opens everything here until it expires."""
    return _signed_in(await people.sign_in(body.email, body.password, remote_of(request)))


@router.post("/refresh-token", responses=REFUSED)
async def refresh(body: RefreshBody, request: Request, people: ThePeople) -> Answer:
    """Return new tokens. The refresh token is used up; using it again ends the login."""
    return _signed_in(await people.renew(body.refresh_token, remote_of(request)))


@router.post(
    "/signup", status_code=201, responses={409: {"description": "The name or address is taken"}}
)
async def signup(body: SignupBody, caller: Asks, people: ThePeople) -> Answer:
    """Add somebody. Strangers do not add themselves: this needs the right to manage people."""
    person = await people.create(
        caller,
        username=_NO_LETTER.sub("-", body.email.strip().lower())[:128],
        email=body.email,
        password=body.password,
        role=ROLES.ours(body.role),
        full_name=body.name,
    )
    return success(user=user_of(person))


@router.post("/forgot-password", dependencies=[open_to_all(per_minute=10)])
async def forgot_password(
    body: ForgotBody, request: Request, audit: TheAudit, mode: TheMode
) -> Answer:
    """Put on record that somebody asks for a new password; administrators hand out the token.

    The answer is the same for addresses that nobody has.
    """
    house = Caller.system(mode.organization_id)
    detail = {"remote": remote_of(request)}
    await audit.record(house, "password.forgotten", f"email:{body.email}", detail=detail)
    return {"status": "success", "message": "An administrator can give you a token now"}


@router.post("/reset-password", dependencies=[open_to_all(per_minute=10)], responses=REFUSED)
async def reset_password(body: ResetBody, request: Request, people: ThePeople) -> Answer:
    """Set a new password by a token; all logins of that person end."""
    await people.reset_password(body.token, body.password, remote_of(request))
    return {"status": "success", "message": "The password was changed"}


@router.post("/logout")
async def logout(request: Request, caller: Asks, people: ThePeople) -> Answer:
    """End the login that the token belongs to."""
    await people.sign_out(token_in(request))
    return {"status": "success", "message": "Signed out"}


@router.get("/me")
async def me(caller: Asks, people: ThePeople) -> Answer:
    """Return who asks and what he may do."""
    person = people.me(caller)
    return success(
        user=user_of(person),
        permissions=permissions_of(caller.permissions),
        roles=[ROLES.theirs(person.role)],
    )


def user_of(person: Person) -> dict[str, Any]:
    """Return a person as the wire has people."""
    return {
        "id": person.id,
        "name": person.full_name or person.username,
        "email": person.email,
        "role": ROLES.theirs(person.role),
    }


def _signed_in(signed_in: SignedIn) -> Answer:
    person = signed_in.person
    return success(
        user=user_of(person),
        permissions=permissions_of(signed_in.caller.permissions),
        roles=[ROLES.theirs(person.role)],
        token=signed_in.token,
        refreshToken=signed_in.refresh_token,
    )
