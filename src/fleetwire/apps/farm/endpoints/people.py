"""HTTP: `/roles`, `/permissions` and `/user-roles`.

The four roles are the house's own by the farm's names: what each may do is not changed here.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from pydantic import ConfigDict

from fleetwire.apps.farm.endpoints.common import (
    MANAGE,
    WRONG,
    Answer,
    Body,
    Cursor,
    Key,
    KeyInBody,
    Limit,
    ThePeople,
    success,
)
from fleetwire.apps.farm.errors import RefusedError
from fleetwire.apps.farm.roles import NEEDS, ROLE_ROWS, ROLES, permissions_of
from fleetwire.kit import Asks, NotFoundError, Person
from fleetwire.kit.caller import EVERYTHING

Number = Annotated[int, Path(ge=1, le=1000)]
LAST: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "The last owner stays one"}}


class UserRoleBody(Body):
    """Who shall have which role, by its number or its name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"userId": 1, "role": "Viewer"}]})

    user_id: KeyInBody
    role_id: int | None = None
    role: str | None = None


class UserRoleChange(Body):
    """Which role he shall have, by its number or its name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "Supervisor"}]})

    role_id: int | None = None
    role: str | None = None


router = APIRouter(responses=WRONG)


@router.get("/roles", tags=["roles"])
async def list_roles(caller: Asks) -> Answer:
    """List the roles, in rising order."""
    caller.require(MANAGE)
    shown = [_role(number) for number in range(1, len(ROLE_ROWS) + 1)]
    return {**success(roles=shown), "results": len(shown)}


@router.get("/roles/{id}", tags=["roles"])
async def read_role(id: Number, caller: Asks) -> Answer:
    """Return a role."""
    caller.require(MANAGE)
    return success(role=_role(id))


@router.get("/permissions", tags=["roles"])
async def list_permissions(caller: Asks) -> Answer:
    """List the permissions."""
    caller.require(MANAGE)
    shown = [{"id": number, "name": name} for number, name in enumerate(NEEDS, start=1)]
    return {**success(permissions=shown), "results": len(shown)}


@router.get("/user-roles", tags=["roles"])
async def list_user_roles(
    caller: Asks, people: ThePeople, limit: Limit = 100, cursor: Cursor = None
) -> Answer:
    """List who has which role."""
    caller.require(MANAGE)
    found = await people.list(caller, limit=limit, cursor=cursor)
    shown = [_user_role(each) for each in found.items]
    return {**success(userRoles=shown), "results": len(shown), "nextCursor": found.next_cursor}


@router.post("/user-roles", tags=["roles"], status_code=201, responses=LAST)
async def assign_role(caller: Asks, body: UserRoleBody, people: ThePeople) -> Answer:
    """Give somebody a role in the place of the one he has."""
    caller.require(MANAGE)
    role = _said(body.role_id, body.role)
    return success(userRole=_user_role(await people.change(caller, body.user_id, role=role)))


@router.get("/user-roles/{id}", tags=["roles"])
async def read_user_role(id: Key, caller: Asks, people: ThePeople) -> Answer:
    """Return which role a person has."""
    caller.require(MANAGE)
    return success(userRole=_user_role(await people.get(caller, id)))


@router.put("/user-roles/{id}", include_in_schema=False)
@router.patch("/user-roles/{id}", tags=["roles"], responses=LAST)
async def change_user_role(
    id: Key, caller: Asks, body: UserRoleChange, people: ThePeople
) -> Answer:
    """Give a person another role."""
    caller.require(MANAGE)
    role = _said(body.role_id, body.role)
    return success(userRole=_user_role(await people.change(caller, id, role=role)))


@router.delete("/user-roles/{id}", tags=["roles"], status_code=204, responses=LAST)
async def remove_user_role(id: Key, caller: Asks, people: ThePeople) -> None:
    """Take a person's role away: he is a Viewer from now on."""
    caller.require(MANAGE)
    await people.change(caller, id, role="viewer")


def _said(role_id: int | None, role: str | None) -> str:
    if role_id is not None and 1 <= role_id <= len(ROLE_ROWS):
        return ROLE_ROWS[role_id - 1][1]
    if role_id is not None:
        raise RefusedError(f"roleId must be 1 to {len(ROLE_ROWS)}", field="roleId")
    if role is None:
        raise RefusedError("Say roleId or role", field="roleId")
    return ROLES.ours(role)


def _role(id: int) -> dict[str, Any]:
    if id > len(ROLE_ROWS):
        raise NotFoundError("There is no such role.", field="id")
    name, ours, description = ROLE_ROWS[id - 1]
    return {
        "id": id,
        "name": name,
        "description": description,
        "permissions": permissions_of(_PERMISSIONS[ours]),
    }


def _user_role(person: Person) -> dict[str, Any]:
    names = [row[0] for row in ROLE_ROWS]
    role = ROLES.theirs(person.role)
    return {
        "id": person.id,
        "userId": person.id,
        "roleId": names.index(role) + 1,
        "role": role,
        "name": person.full_name or person.username,
        "email": person.email,
    }


_VIEWER: Final = frozenset({"device.read", "telemetry.read"})
# As far as the farm's permissions tell them apart.
_PERMISSIONS: Final = {
    "viewer": _VIEWER,
    "operator": _VIEWER,
    "administrator": EVERYTHING,
    "owner": EVERYTHING,
}
