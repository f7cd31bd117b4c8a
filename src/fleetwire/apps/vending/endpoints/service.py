"""HTTP: signing in, the sum of sales, and how the service is."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from fleetwire.apps.vending import payments
from fleetwire.apps.vending.endpoints.common import READ, LenientRoute, TheClock, TheStore
from fleetwire.apps.vending.errors import RefusedError
from fleetwire.apps.vending.machines import APP
from fleetwire.kit import (
    Asks,
    Machines,
    People,
    Person,
    open_to_all,
    remote_of,
    service,
)
from fleetwire.kit.instants import iso

VERSION = "1.0.0"
LOGINS_PER_MINUTE = 60


class Login(BaseModel):
    """A person, by user name or e-mail address."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "admin", "password": "correct horse battery"}]}
    )

    username: str | None = Field(None, max_length=254)
    email: str | None = Field(None, max_length=254)
    password: str = Field(min_length=1, max_length=1024)


class MachineLogin(BaseModel):
    """A machine, by its MQTT credential."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"machine_id": "VM01", "token": "its MQTT password"}]}
    )

    machine_id: str = Field(min_length=1, max_length=128)
    token: str = Field(min_length=1, max_length=1024)


router = APIRouter(route_class=LenientRoute, tags=["service"])
ThePeople = Annotated[People, service(People)]
_LOGIN = [open_to_all(per_minute=LOGINS_PER_MINUTE)]
_REFUSED: dict[int | str, dict[str, Any]] = {401: {"description": "Wrong, whatever it is"}}


@router.get("/health", dependencies=[open_to_all(per_minute=600)])
async def read_health(clock: TheClock) -> dict[str, Any]:
    """Say that the service is there."""
    return {"status": "OK", "timestamp": iso(clock.now()), "version": VERSION}


@router.post("/api/auth/login", dependencies=_LOGIN, responses=_REFUSED)
async def sign_in(body: Login, request: Request, people: ThePeople) -> dict[str, Any]:
    """Sign in; the token is sent as `Authorization: Bearer …`."""
    name = body.username or body.email
    if not name:
        raise RefusedError("username or email is missing", field="username")
    signed_in = await people.sign_in(name, body.password, remote_of(request))
    return {"token": signed_in.token, "user": _shown(signed_in.person)}


@router.post("/api/auth/machine", dependencies=_LOGIN, responses=_REFUSED)
async def sign_machine_in(
    body: MachineLogin, request: Request, machines: Annotated[Machines, service(Machines)]
) -> dict[str, Any]:
    """Sign a machine in for 30 days."""
    login = machines.sign_in(APP, body.machine_id, body.token, remote_of(request))
    return {"token": login.token, "machine_id": body.machine_id, "status": "authenticated"}


@router.get("/api/auth/me")
async def read_me(caller: Asks, people: ThePeople) -> dict[str, Any]:
    """Return who is signed in."""
    if caller.device_id:
        return {"machine_id": caller.device_id, "type": "machine"}
    if not caller.account_id:
        return {"actor": caller.actor, "type": "service"}
    return {"user": _shown(people.me(caller))}


@router.get("/api/finance/summary")
async def read_finance(caller: Asks, store: TheStore, clock: TheClock) -> dict[str, Any]:
    """Return what was sold, without what was or will be paid back. Days and months are UTC."""
    caller.require(READ)
    return await store.read(
        lambda connection: payments.finance(connection, caller.organization_id, clock.now())
    )


def _shown(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "username": person.username,
        "email": person.email,
        "role": person.role,
    }
