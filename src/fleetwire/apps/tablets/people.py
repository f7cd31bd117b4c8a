"""The app's people: they are the house's, with the names that the field gives their roles.

HTTP: `/api/auth`, signing in, and `/api/user`, people and what they did.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from fleetwire.apps.tablets import audit_log
from fleetwire.apps.tablets.schemas import LoginBody, PasswordBody, UserBody, UserChange
from fleetwire.apps.tablets.web import WRONG_REQUEST, Answer, TheClock, ThePeople, TheStore
from fleetwire.kit import (
    CREATES,
    Asks,
    Caller,
    InvalidValueError,
    People,
    Person,
    RoleNames,
    remote_of,
)
from fleetwire.kit.instants import iso

REALM = "tablets"
ROLES = RoleNames({"ADMIN": "administrator", "STAFF": "operator"})
PAGE = 200

Key = Annotated[int, Path(ge=1, lt=2**63)]

auth_router = APIRouter(prefix="/api/auth", tags=["people"], responses=WRONG_REQUEST)
router = APIRouter(prefix="/api/user", tags=["people"], responses=WRONG_REQUEST)


def view(person: Person) -> dict[str, Any]:
    """Return somebody as the login tells of him."""
    return {
        "id": person.id,
        "username": person.username,
        "email": person.email,
        "fullName": person.full_name,
        "role": ROLES.theirs(person.role),
    }


def full_view(person: Person) -> dict[str, Any]:
    """Return somebody as the list of users shows him."""
    last_login_at = person.last_login_at
    return view(person) | {
        "isActive": person.is_active,
        "createdAt": iso(person.created_at),
        "lastLogin": None if last_login_at is None else iso(last_login_at),
    }


async def all_of(caller: Caller, people: People) -> Sequence[Person]:
    """Return everybody of the organisation: those of the app and those of the platform."""
    found: list[Person] = []
    cursor: str | None = None
    while True:
        page = await people.list(caller, limit=PAGE, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


@auth_router.post(
    "/login",
    responses={
        401: {"description": "Wrong name or password"},
        403: {"description": "He may not sign in here"},
        429: {"description": "Too many failures: wait"},
    },
)
async def login(body: LoginBody, request: Request, people: ThePeople) -> Answer:
    """Sign in; the token opens everything here until it expires."""
    signed_in = await people.sign_in(body.username, body.password, remote_of(request), realm=REALM)
    return {"success": True, "token": signed_in.token, "user": view(signed_in.person)}


@auth_router.get("/verify")
async def verify(caller: Asks, people: ThePeople) -> Answer:
    """Say that the token is good, and whose it is."""
    user = view(people.me(caller))
    return {"success": True, "data": user, "user": user}


@auth_router.get("/me")
async def me(caller: Asks, people: ThePeople) -> Answer:
    """Return who asks."""
    user = full_view(people.me(caller))
    return {"success": True, "data": user, "user": user}


@router.get("/audit-logs")
async def read_audit(
    caller: Asks,
    store: TheStore,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Answer:
    """Return who changed what, newest first."""
    caller.require("audit.read")
    found, total = await store.read(
        lambda connection: audit_log.latest(connection, caller.organization_id, limit, offset)
    )
    return {"success": True, "data": found, "total": total, "limit": limit, "offset": offset}


@router.get("/", include_in_schema=False)
@router.get("")
async def list_users(caller: Asks, people: ThePeople) -> Answer:
    """List the organisation's people."""
    found = await all_of(caller, people)
    return {"success": True, "data": [full_view(each) for each in found], "count": len(found)}


@router.post("/", include_in_schema=False)
@router.post(
    "",
    responses={409: {"description": "The name or the address is taken"}},
    openapi_extra=CREATES,
)
async def create_user(
    body: UserBody, caller: Asks, people: ThePeople, store: TheStore, clock: TheClock
) -> Answer:
    """Add somebody who signs in with this password."""
    person = await people.create(
        caller,
        username=body.username,
        password=body.password,
        role=ROLES.ours(body.role),
        realm=REALM,
        email=body.email or "",
        full_name=body.full_name or "",
    )
    at = clock.now()
    await store.write(lambda tx: audit_log.add(tx, caller, "user.create", person.username, at))
    return {"success": True, "data": full_view(person)}


@router.get("/{id}")
async def read_user(id: Key, caller: Asks, people: ThePeople) -> Answer:
    """Return one of them."""
    return {"success": True, "data": full_view(await people.get(caller, id))}


@router.put("/{id}", responses={409: {"description": "The name or the address is taken"}})
async def change_user(
    id: Key, body: UserChange, caller: Asks, people: ThePeople, store: TheStore, clock: TheClock
) -> Answer:
    """Change what is sent."""
    person = await people.change(
        caller,
        id,
        username=body.username,
        role=None if body.role is None else ROLES.ours(body.role),
        email=body.email,
        full_name=body.full_name,
        is_active=body.is_active,
    )
    at = clock.now()
    await store.write(lambda tx: audit_log.add(tx, caller, "user.update", person.username, at))
    return {"success": True, "data": full_view(person)}


@router.delete("/{id}", responses={409: {"description": "The last owner stays"}})
async def delete_user(
    id: Key, caller: Asks, people: ThePeople, store: TheStore, clock: TheClock
) -> Answer:
    """Remove somebody; his tokens end at once."""
    person = await people.get(caller, id)
    await people.delete(caller, id)
    at = clock.now()
    await store.write(lambda tx: audit_log.add(tx, caller, "user.delete", person.username, at))
    return {"success": True, "data": {"id": id}}


@router.post("/{id}/change-password")
async def change_password(
    id: Key, body: PasswordBody, caller: Asks, people: ThePeople, store: TheStore, clock: TheClock
) -> Answer:
    """Replace one's own password, by the old one, or somebody else's; all his tokens end."""
    if id == caller.account_id:
        old = body.old_password or body.current_password
        if not old:
            raise InvalidValueError("Send the old password too", field="oldPassword")
        await people.change_password(caller, old, body.new_password)
    else:
        await people.change(caller, id, password=body.new_password)
    at = clock.now()
    await store.write(lambda tx: audit_log.add(tx, caller, "user.password", str(id), at))
    return {"success": True, "message": "The password was changed"}
