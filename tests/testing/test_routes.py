"""Routes of apps: who may call them, and how they say errors."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Request, WebSocket
from pydantic import BaseModel

from fleetwire.errors import DomainError, SettingsError
from fleetwire.kit import (
    App,
    Asks,
    AsksOrDevelops,
    Caller,
    Devices,
    ErrorForm,
    Intake,
    Machines,
    Visitor,
    open_to_all,
    remote_of,
    service,
)
from fleetwire.testing import TestHub
from tests.testing.coffee import coffee

TheMachines = Annotated[Machines, service(Machines)]


class Login(BaseModel):
    machine_id: str
    token: str


def cafe(**more: Any) -> App:
    """Return an app with a route of each kind."""
    app = coffee(**more)
    router, debug = APIRouter(), APIRouter()

    @router.get("/menu", dependencies=[open_to_all(per_minute=3)])
    async def menu(visitor: Visitor) -> dict[str, Any]:
        return {"actor": visitor.actor, "is_anonymous": visitor.is_anonymous}

    @router.get("/till")
    async def till(caller: Asks) -> dict[str, Any]:
        return {"actor": caller.actor, "device_id": caller.device_id}

    @router.post("/brew")
    async def brew(caller: AsksOrDevelops) -> dict[str, Any]:
        return {"actor": caller.actor, "organization_id": caller.organization_id}

    @router.post("/auth/machine", dependencies=[open_to_all(per_minute=30)])
    async def sign_in(body: Login, request: Request, machines: TheMachines) -> dict[str, Any]:
        login = machines.sign_in("coffee", body.machine_id, body.token, remote_of(request))
        return {"token": login.token, "machine_id": body.machine_id}

    @debug.get("/debug")
    async def look() -> dict[str, str]:
        return {"debug": "yes"}

    app.include(router)
    app.include(debug, only_in_development=True)
    return app


async def test_an_open_route_lets_anybody_in_and_knows_who_shows_himself() -> None:
    async with TestHub(cafe()) as hub:
        nobody = await hub.http(token="").get("/menu")
        somebody = await hub.http().get("/menu")
        wrong = await hub.http(token="x.y.z").get("/menu")
    assert nobody.json() == {"actor": "anonymous", "is_anonymous": True}
    assert somebody.json()["actor"].startswith("account:")
    assert wrong.status_code == 401


async def test_an_open_route_is_limited_for_each_address() -> None:
    async with TestHub(cafe()) as hub:
        http = hub.http(token="")
        answers = [await http.get("/menu") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
        application = hub.house.listeners.application("coffee")
        elsewhere = httpx.ASGITransport(application, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=elsewhere, base_url="http://hub") as other:
            assert (await other.get("/menu")).status_code == 200


async def test_other_routes_ask_for_credentials() -> None:
    async with TestHub(cafe()) as hub:
        assert (await hub.http(token="").get("/till")).status_code == 401
        assert (await hub.http().get("/till")).status_code == 200


async def test_in_development_this_machine_needs_no_credentials_where_a_route_says_so() -> None:
    async with TestHub(cafe()) as hub:
        answer = await hub.http(token="").post("/brew")
        assert answer.json() == {
            "actor": "system", "organization_id": hub.caller.organization_id
        }  # fmt: skip
        assert (await hub.http(token="wrong").post("/brew")).status_code == 401


async def test_who_comes_through_a_proxy_is_not_this_machine() -> None:
    async with TestHub(cafe()) as hub:
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            answer = await hub.http(token="").post("/brew", headers={header: "127.0.0.1"})
            assert answer.status_code == 401, header


async def test_a_page_of_somebody_else_is_not_this_machine() -> None:
    async with TestHub(cafe()) as hub:
        http = hub.http(token="")
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example:3001"},  # a name that leads to 127.0.0.1 all of a sudden
        ):
            assert (await http.post("/brew", headers=headers)).status_code == 401, headers
        for headers in ({"Origin": "http://localhost:5173"}, {"Host": "127.0.0.1:3001"}):
            assert (await http.post("/brew", headers=headers)).status_code == 200, headers


async def test_who_comes_from_elsewhere_is_not_this_machine() -> None:
    async with TestHub(cafe()) as hub:
        application = hub.house.listeners.application("coffee")
        elsewhere = httpx.ASGITransport(application, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=elsewhere, base_url="http://hub") as other:
            assert (await other.post("/brew")).status_code == 401


async def test_in_production_there_are_no_debugging_routes_and_everybody_signs_in() -> None:
    async with TestHub(cafe()) as hub:
        assert (await hub.http().get("/debug")).json() == {"debug": "yes"}
    async with TestHub(cafe(), environment={"FLEETWIRE_MODE": "production"}) as hub:
        assert (await hub.http().get("/debug")).status_code == 404
        assert (await hub.http(token="").post("/brew")).status_code == 401


async def test_a_machine_signs_in_with_its_credential_and_loses_it_with_it() -> None:
    async with TestHub(cafe()) as hub:
        machine = await hub.device("m1")
        secret = machine.credential.password
        http = hub.http(token="")
        wrong = await http.post("/auth/machine", json={"machine_id": "m1", "token": "no"})
        other = await http.post("/auth/machine", json={"machine_id": "m2", "token": secret})
        assert (wrong.status_code, other.status_code) == (401, 401)
        assert wrong.json()["detail"] == other.json()["detail"]
        right = await http.post("/auth/machine", json={"machine_id": "m1", "token": secret})
        token = right.json()["token"]
        signed_in = hub.http(token=token)
        assert (await signed_in.get("/till")).json() == {
            "actor": "device:coffee/m1", "device_id": "m1"
        }  # fmt: skip
        assert (await hub.http("platform", token=token).get("/api/v1/devices")).status_code == 403
        await hub.service(Devices).revoke_credential(
            hub.caller, "coffee", "m1", machine.credential.id
        )
        assert (await signed_in.get("/till")).status_code == 401


async def test_a_machines_token_ends_in_its_time() -> None:
    async with TestHub(cafe()) as hub:
        machine = await hub.device("m1")
        machines = hub.service(Machines)
        login = machines.sign_in("coffee", "m1", machine.credential.password, "", life_s=60)
        assert machines.verify(login.token, "").device_id == "m1"
        await hub.advance(61)
        with pytest.raises(DomainError, match="expired"):
            machines.verify(login.token, "")


async def test_a_machine_that_is_signed_in_sends_what_it_may() -> None:
    async with TestHub(cafe()) as hub:
        machine = await hub.device("m1")
        machines = hub.service(Machines)
        caller = machines.sign_in("coffee", "m1", machine.credential.password, "").caller
        assert caller == Caller.of_device(machine.device)
        intake = hub.service(Intake)
        assert (await intake.receive(caller, "coffee/m1/brewed", b'{"cups":1}')).is_stored


async def test_every_error_is_said_in_the_apps_own_form() -> None:
    def form(error: DomainError) -> tuple[int, dict[str, Any]]:
        return error.status, {"error": error.message}

    schema = {"type": "object", "properties": {"error": {"type": "string"}}}
    app = cafe(error_form=ErrorForm(form, schema))
    broken = APIRouter()

    @broken.get("/broken")
    async def fail() -> None:
        raise RuntimeError("spilt")

    app.include(broken)
    async with TestHub(app) as hub:
        http = hub.http(token="")
        answers = {
            401: await http.get("/till"),
            404: await http.get("/nowhere"),
            405: await http.delete("/till"),
            422: await http.post("/auth/machine", json={}),
            500: await http.get("/broken"),
        }
        document = (await http.get("/openapi.json")).json()
    for status, answer in answers.items():
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]
        assert answer.headers["content-type"] == "application/json"
    assert {"401", "429"} <= document["paths"]["/menu"]["get"]["responses"].keys()
    assert {"401", "403"} <= document["paths"]["/brew"]["post"]["responses"].keys()
    assert "security" not in document["paths"]["/menu"]["get"]
    responses = document["paths"]["/till"]["get"]["responses"]
    assert responses["401"]["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}}
    }
    assert document["components"]["schemas"]["Error"] == schema


async def test_a_route_where_live_events_are_served_is_refused_by_name() -> None:
    app = coffee()
    router = APIRouter()

    @router.websocket("/socket.io/{rest:path}")
    async def mine(websocket: WebSocket) -> None: ...

    app.include(router)
    async with TestHub(app) as hub:
        with pytest.raises(SettingsError, match="coffee"):
            hub.http()
