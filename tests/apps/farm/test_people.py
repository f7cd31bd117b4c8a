"""Signing in, roles, health, the page of figures."""

from fleetwire.features.accounts.password_resets import PasswordResets
from fleetwire.testing import TestHub
from tests.apps.farm.barn import Barn

PASSWORD = "correct horse battery"


async def test_login_tells_who_he_is_and_what_he_may_do(hub: TestHub, barn: Barn) -> None:
    """«`data{user{id,name,email,role},permissions[],roles[],token,refreshToken}`»"""
    body = {"name": "Ann", "email": "ann@farm.example", "password": PASSWORD, "role": "Supervisor"}
    made = (await barn.ask("POST", "/auth/signup", body)).json()
    assert made["data"]["user"]["role"] == "Supervisor"
    again = await barn.ask("POST", "/auth/signup", body)
    assert again.status_code == 409
    login = {"email": "ann@farm.example", "password": PASSWORD}
    said = (await barn.ask("POST", "/auth/login", login, token="")).json()["data"]
    assert said["user"] == made["data"]["user"]
    assert said["roles"] == ["Supervisor"]
    assert "device.view" in said["permissions"]
    assert "device.create" not in said["permissions"]
    me = await barn.good("GET", "/auth/me", token=said["token"])
    assert me["user"] == said["user"]
    renewed = await barn.good(
        "POST", "/auth/refresh-token", {"refreshToken": said["refreshToken"]}, token=""
    )
    assert (await barn.ask("POST", "/auth/logout", token=renewed["token"])).status_code == 200
    assert (await barn.ask("GET", "/auth/me", token=renewed["token"])).status_code == 401
    wrong = await barn.ask("POST", "/auth/login", {**login, "password": "wrong"}, token="")
    assert wrong.status_code == 401
    assert wrong.json()["status"] == "fail"


async def test_a_forgotten_password_is_replaced_by_a_token_of_an_administrator(
    hub: TestHub, barn: Barn
) -> None:
    """«`/auth/forgot-password`, `/auth/reset-password`»"""
    body = {"name": "Ann", "email": "ann@farm.example", "password": PASSWORD}
    ann = (await barn.good("POST", "/auth/signup", body))["user"]
    for address in ("ann@farm.example", "nobody@farm.example"):
        asked = await barn.ask("POST", "/auth/forgot-password", {"email": address}, token="")
        assert asked.status_code == 200
    platform = hub.http("platform")
    records = (await platform.get("/api/v1/audit?action=password.forgotten")).json()["items"]
    assert {each["subject"] for each in records} == {
        "email:ann@farm.example",
        "email:nobody@farm.example",
    }
    token = (await hub.service(PasswordResets).create(hub.caller, ann["id"]))[0]
    reset = {"token": token, "password": "another long secret"}
    for status in (200, 401):  # it is used up
        answer = await barn.ask("POST", "/auth/reset-password", reset, token="")
        assert answer.status_code == status, answer.text
    login = {"email": "ann@farm.example", "password": "another long secret"}
    assert (await barn.ask("POST", "/auth/login", login, token="")).status_code == 200


async def test_strangers_do_not_sign_themselves_up(barn: Barn) -> None:
    body = {"name": "Eve", "email": "eve@farm.example", "password": PASSWORD}
    assert (await barn.ask("POST", "/auth/signup", body, token="")).status_code == 401


async def test_roles_are_given_and_taken(barn: Barn) -> None:
    """«Roles Viewer, Org Admin, Supervisor, System Admin.»"""
    roles = (await barn.good("GET", "/roles"))["roles"]
    assert [each["name"] for each in roles] == ["Viewer", "Supervisor", "Org Admin", "System Admin"]
    names = {each["name"] for each in (await barn.good("GET", "/permissions"))["permissions"]}
    for subject in ("device", "area", "sensor", "organization", "rule"):
        assert {f"{subject}.{what}" for what in ("view", "create", "update", "delete")} <= names
    assert {"permission.view", "permission.manage", "role.view", "role.assign"} <= names
    body = {"name": "Ann", "email": "ann@farm.example", "password": PASSWORD}
    ann = (await barn.good("POST", "/auth/signup", body))["user"]
    assert ann["role"] == "Viewer"
    body = {"userId": ann["id"], "roleId": 3}
    given = (await barn.good("POST", "/user-roles", body))["userRole"]
    assert (given["role"], given["roleId"]) == ("Org Admin", 3)
    assert (await barn.ask("DELETE", f"/user-roles/{ann['id']}")).status_code == 204
    found = (await barn.good("GET", f"/user-roles/{ann['id']}"))["userRole"]
    assert found["role"] == "Viewer"
    for wrong in ({"roleId": 9}, {"role": "King"}, {}):
        answer = await barn.ask("PATCH", f"/user-roles/{ann['id']}", wrong)
        assert answer.status_code == 400


async def test_health_says_how_database_and_mqtt_are(hub: TestHub, barn: Barn) -> None:
    """«200 `{status:"ok",timestamp,services{database{status},mqtt{status,connectedClients,authenticatedClients,port,host}}}` or 503»"""  # noqa: E501 a quotation
    answer = await barn.ask("GET", "/health", token="")
    said = answer.json()
    assert set(said["services"]["mqtt"]) == {
        "status", "connectedClients", "authenticatedClients", "port", "host",
    }  # fmt: skip
    assert said["services"]["database"] == {"status": "ok"}
    # A hub has no listeners, so that MQTT is down here; see test_page for a house that has.
    assert (answer.status_code, said["status"]) == (503, "error")
    assert (await barn.ask("GET", "/health/liveness", token="")).status_code == 200
    root = await hub.http(token="").get("/health")
    assert root.status_code == 503


async def test_statistics_say_where_mqtt_is(barn: Barn) -> None:
    """«MQTT statistics `{isInitialized,connectedClients,authenticatedClients,port,host}`.»"""
    said = await barn.good("GET", "/mqtt/stats")
    assert set(said) == {
        "isInitialized", "connectedClients", "authenticatedClients", "port", "host",
    }  # fmt: skip
