"""Who may do what, and that each change is on record."""

from typing import Any

import jwt
import pytest
from sqlalchemy import select

from fleetwire.apps.tablets import configure
from fleetwire.features.accounts.tables import accounts
from fleetwire.kit import ForbiddenError, People
from fleetwire.testing import TestHub
from tests.apps.tablets.field import Field, lend

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse battery"


async def person(field: Field, username: str, role: str = "STAFF") -> int:
    body = {"username": username, "password": PASSWORD, "role": role}
    answer = await field.http.post("/api/user", json=body)
    assert answer.status_code == 200, answer.text
    id: int = answer.json()["data"]["id"]
    return id


async def test_without_a_demonstration_nobody_knows_its_password() -> None:
    """«Demo credentials written in a contract exist only when demo data is asked for»"""
    async with TestHub(configure({})) as hub:
        for username in ("admin", "staff"):
            body = {"username": username, "password": "123456"}
            answer = await hub.http(token="").post("/api/auth/login", json=body)
            assert answer.status_code == 401, username


async def test_tokens_expire_within_a_day(field: Field) -> None:
    """«Tokens expire»"""
    body = {"username": "staff", "password": "123456"}
    token = (await field.nobody.post("/api/auth/login", json=body)).json()["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert 0 < claims["exp"] - claims["iat"] <= 86_400


async def test_passwords_are_hashed_with_argon2(field: Field) -> None:
    """«passwords are hashed with argon2»"""
    stored = await field.hub.house.database.read(
        lambda connection: connection.execute(select(accounts.c.password_hash)).scalars().all()
    )
    assert len(stored) >= 3
    assert {each.split("$")[1] for each in stored} == {"argon2id"}


async def test_who_was_switched_off_is_out_at_once(field: Field) -> None:
    id = await person(field, "gone")
    gone = await field.login("gone", PASSWORD)
    answer = await field.http.put(f"/api/user/{id}", json={"isActive": False})
    assert answer.json()["data"]["isActive"] is False
    assert (await gone.get("/api/auth/me")).status_code == 401
    body = {"username": "gone", "password": PASSWORD}
    assert (await field.nobody.post("/api/auth/login", json=body)).status_code == 401


async def test_who_belongs_elsewhere_is_told_so(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """«400/401/403»: whom the house refuses so is proved with its accounts."""

    async def sign_in(*_: Any, **__: Any) -> None:
        raise ForbiddenError("You do not belong to this organisation")

    monkeypatch.setattr(field.hub.service(People), "sign_in", sign_in)
    body = {"username": "staff", "password": "123456"}
    answer = await field.nobody.post("/api/auth/login", json=body)
    assert answer.status_code == 403
    assert answer.json() == {"error": "You do not belong to this organisation"}


async def test_staff_changes_nobodys_password_but_their_own(field: Field) -> None:
    """«Roles ADMIN, STAFF»"""
    own, other = await person(field, "wati"), await person(field, "yani")
    wati = await field.login("wati", PASSWORD)
    new = {"newPassword": "staple horse mount"}
    refused = await wati.post(f"/api/user/{other}/change-password", json=new)
    assert refused.status_code == 403
    await field.login("yani", PASSWORD)
    wrong = new | {"oldPassword": "not it"}
    assert (await wati.post(f"/api/user/{own}/change-password", json=wrong)).status_code == 400
    await field.login("wati", PASSWORD)
    for method, body in (("PUT", {"role": "ADMIN"}), ("DELETE", None)):
        answer = await wati.request(method, f"/api/user/{own}", json=body)
        assert answer.status_code == 403, method
    me = (await wati.get("/api/auth/me")).json()["user"]
    assert me["role"] == "STAFF"


async def test_every_change_is_in_the_audit_with_who_made_it(field: Field) -> None:
    """«`GET /audit-logs`»"""
    http = field.http
    device = (await field.device("on-record"))["id"]
    path = f"/api/device/{device}"
    await http.put(path, json={"name": "Hall"})
    await http.post(f"{path}/command", json={"action": "WIFI_ON"})
    mending = {"deviceIds": [device], "maintenanceStatus": "HAS_PROBLEM", "problem": "A scratch"}
    await http.patch("/api/device/maintenance-status", json=mending)
    first = await lend(field, device)
    await http.post(f"/api/checkouts/{first['id']}/cancel", json={"reason": "rain"})
    second = await lend(field, device)
    item = second["items"][0]["id"]
    await http.post(f"/api/checkouts/{second['id']}/return", json={"itemIds": [item]})
    await http.delete(path)
    user = await person(field, "noted")
    await http.put(f"/api/user/{user}", json={"fullName": "Noted"})
    await http.post(f"/api/user/{user}/change-password", json={"newPassword": "another one"})
    await http.delete(f"/api/user/{user}")
    said = (await http.get("/api/user/audit-logs?limit=13")).json()["data"]
    assert [(each["action"], each["subject"]) for each in reversed(said)] == [
        ("device.create", "on-record"),
        ("device.update", "on-record"),
        ("device.command", "on-record"),
        ("device.maintenance", "on-record"),
        ("checkout.create", str(first["id"])),
        ("checkout.cancel", str(first["id"])),
        ("checkout.create", str(second["id"])),
        ("checkout.return", str(second["id"])),
        ("device.delete", "on-record"),
        ("user.create", "noted"),
        ("user.update", "noted"),
        ("user.password", str(user)),
        ("user.delete", "noted"),
    ]
    me = (await http.get("/api/auth/me")).json()["data"]
    assert {(each["actor"], each["username"]) for each in said} == {
        (f"account:{me['id']}", me["username"])
    }


async def test_what_was_refused_is_not_in_the_audit_as_done(field: Field) -> None:
    device = await field.device("unchanged")
    await lend(field, device["id"])
    before = (await field.http.get("/api/user/audit-logs")).json()["total"]
    staff = await field.login("staff", "123456")
    asked: list[tuple[Any, str, str, Any, int]] = [
        (staff, "PUT", f"/api/device/{device['id']}", {"name": "Mine"}, 403),
        (staff, "DELETE", f"/api/device/{device['id']}", None, 403),
        (field.http, "DELETE", f"/api/device/{device['id']}", None, 400),
        (field.http, "POST", "/api/device", {"deviceCode": "unchanged"}, 409),
        (field.http, "POST", "/api/checkouts/999/return", {"itemIds": [1]}, 404),
        (staff, "POST", "/api/user", {"username": "eve", "password": PASSWORD}, 403),
    ]
    for http, method, path, body, status in asked:
        answer = await http.request(method, path, json=body)
        assert answer.status_code == status, (method, path, answer.text)
    assert (await field.http.get("/api/user/audit-logs")).json()["total"] == before


async def test_another_organisations_people_and_audit_do_not_exist(field: Field) -> None:
    other = await field.elsewhere()
    assert (await other.get("/api/device")).json()["data"] == []
    assert (await other.get("/api/user/audit-logs")).json()["total"] == 0
    me = (await other.get("/api/auth/me")).json()["data"]
    people = (await field.http.get("/api/user")).json()["data"]
    theirs = [each for each in people if each["id"] != me["id"]]  # the owner is in both
    assert {each["username"] for each in theirs} >= {"admin", "staff"}
    for each in theirs:
        assert (await other.get(f"/api/user/{each['id']}")).status_code == 404
