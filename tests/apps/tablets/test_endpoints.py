"""Every call of the contract, on a whole house without sockets."""

from typing import Any

import pytest

from fleetwire.kit import Commands, People
from tests.apps.tablets.field import Field, lend

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATUS = {"battery": 80, "wifiStatus": True, "uptime": 5, "bootTime": 2**53 + 1}


async def test_health_is_open(field: Field) -> None:
    """«`GET /health` → `{status:"ok",timestamp,uptime,mqtt{connected}}` (open).»"""
    answer = await field.nobody.get("/health")
    said = answer.json()
    assert (answer.status_code, said["status"], said["mqtt"]) == (200, "ok", {"connected": True})
    assert said["uptime"] >= 0
    assert said["timestamp"].endswith("Z")


async def test_the_answers_have_the_form_of_the_contract(field: Field) -> None:
    """«(success `{"success": true, "data": …}`, error `{"error": …}`)»"""
    for path in ("/api/device", "/api/checkouts", "/api/user", "/api/user/audit-logs"):
        said = (await field.http.get(path)).json()
        assert (said["success"], type(said["data"])) == (True, list), path
    for path, status in (("/api/device/nobody", 404), ("/api/nothing", 404)):
        answer = await field.http.get(path)
        assert (answer.status_code, type(answer.json()["error"])) == (status, str), path
    answer = await field.nobody.get("/api/device")
    assert (answer.status_code, type(answer.json()["error"])) == (401, str)


# --- people ---


async def test_the_demonstrations_people_sign_in(field: Field) -> None:
    """«`POST /api/auth/login … → `{success,token,user{id,username,email,fullName,role}}`»

    «Demo users `admin`/`123456`, `staff`/`123456`» · «`GET /api/auth/verify`, `/api/auth/me`»
    """
    for username, role in (("admin", "ADMIN"), ("staff", "STAFF")):
        answer = await field.nobody.post(
            "/api/auth/login", json={"username": username, "password": "123456"}
        )
        said = answer.json()
        assert (answer.status_code, said["success"]) == (200, True)
        assert set(said["user"]) == {"id", "username", "email", "fullName", "role"}
        assert (said["user"]["username"], said["user"]["role"]) == (username, role)
        headers = {"Authorization": f"Bearer {said['token']}"}
        for path in ("/api/auth/verify", "/api/auth/me"):
            me = await field.nobody.get(path, headers=headers)
            assert me.json()["data"]["username"] == username, path


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "staff", "password": "wrong"}, 401),
        ({"username": "staff"}, 400),
        ({}, 400),
        ({"username": 5, "password": "x"}, 400),
    ],
)
async def test_a_bad_login_is_refused(field: Field, body: dict[str, Any], status: int) -> None:
    """«400/401/403» · «error `{"error": …}`»"""
    answer = await field.nobody.post("/api/auth/login", json=body)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)


async def test_everything_else_asks_for_a_token(field: Field) -> None:
    for path in ("/api/device", "/api/checkouts", "/api/user", "/api/auth/me", "/api/auth/verify"):
        answer = await field.nobody.get(path)
        assert answer.status_code == 401, path
        assert "error" in answer.json(), path


async def test_users_come_and_go(field: Field) -> None:
    """«`/api/user`: CRUD, `POST /:id/change-password`»"""
    body = {"username": "siti", "password": "correct horse", "role": "STAFF", "fullName": "Siti"}
    made = await field.http.post("/api/user", json=body)
    assert made.status_code == 200, made.text
    id = made.json()["data"]["id"]
    assert (await field.http.post("/api/user", json=body)).status_code == 409
    assert (await field.http.get(f"/api/user/{id}")).json()["data"]["fullName"] == "Siti"
    listed = (await field.http.get("/api/user/")).json()["data"]
    assert "siti" in [each["username"] for each in listed]
    changed = await field.http.put(f"/api/user/{id}", json={"role": "ADMIN", "fullName": "Siti R"})
    assert (
        changed.json()["data"] | {"role": "ADMIN", "fullName": "Siti R"} == changed.json()["data"]
    )

    siti = await field.login("siti", "correct horse")
    wrong = await siti.post(f"/api/user/{id}/change-password", json={"newPassword": "battery st"})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "oldPassword")
    own = {"oldPassword": "correct horse", "newPassword": "battery staple"}
    assert (await siti.post(f"/api/user/{id}/change-password", json=own)).status_code == 200
    reset = {"newPassword": "another one"}
    answer = await field.http.post(f"/api/user/{id}/change-password", json=reset)
    assert answer.status_code == 200
    await field.login("siti", "another one")

    assert (await field.http.delete(f"/api/user/{id}")).status_code == 200
    assert (await field.http.get(f"/api/user/{id}")).status_code == 404


async def test_what_people_change_is_in_the_audit(field: Field) -> None:
    """«`GET /audit-logs`»"""
    device = await field.device("audited")
    await field.http.post(f"/api/device/{device['id']}/command", json={"action": "WIFI_ON"})
    said = (await field.http.get("/api/user/audit-logs?limit=2")).json()
    assert [(each["action"], each["subject"]) for each in said["data"]] == [
        ("device.command", "audited"),
        ("device.create", "audited"),
    ]
    assert said["total"] >= 2


async def test_staff_may_lend_and_command_but_not_register_or_manage(field: Field) -> None:
    device = await field.device("staffed")
    staff = await field.login("staff", "123456")
    command = {"action": "PLAY_SOUND"}
    assert (await staff.get("/api/device")).status_code == 200
    answer = await staff.post(f"/api/device/{device['id']}/command", json=command)
    assert answer.status_code == 200
    for method, path, body in (
        ("POST", "/api/device", {"deviceCode": "not-mine"}),
        ("PUT", f"/api/device/{device['id']}", {"name": "Mine"}),
        ("DELETE", f"/api/device/{device['id']}", None),
        ("GET", "/api/user", None),
        ("GET", "/api/user/audit-logs", None),
        ("POST", "/api/user", {"username": "eve", "password": "correct horse"}),
    ):
        refused = await staff.request(method, path, json=body)
        assert refused.status_code == 403, path
    assert (await field.http.get("/api/device/staffed")).json()["data"]["name"] is None


async def test_a_viewers_command_is_refused_audited_and_changes_nothing(field: Field) -> None:
    tablet = await field.hub.device("watched")
    people = field.hub.service(People)
    caller = field.hub.caller
    await people.create(
        caller, username="vera", password="correct horse", role="viewer", realm="tablets"
    )
    vera = await field.login("vera", "correct horse")
    assert (await vera.get("/api/device/watched")).status_code == 200
    refused = await vera.post("/api/device/watched/command", json={"action": "SHUTDOWN_DEVICE"})
    assert refused.status_code == 403
    assert (await vera.get("/api/device/watched")).json()["data"]["actionLogs"] == []
    await field.hub.settle()
    assert tablet.received == []
    audit = (await field.hub.http("platform").get("/api/v1/audit?limit=5")).json()["items"]
    assert [each["subject"] for each in audit if each["outcome"] == "refused"] == [
        "device:tablets/watched"
    ]


# --- devices ---


async def test_a_tablet_is_registered_once(field: Field) -> None:
    """«`POST / {deviceCode,name?,serialNumber?,model?,osVersion?}` → 200, 409 duplicate»"""
    body = {
        "deviceCode": "9774d56d682e549c",
        "name": "Front desk",
        "serialNumber": "R52",
        "model": "SM-T225",
        "osVersion": "14",
    }
    answer = await field.http.post("/api/device", json=body)
    said = answer.json()
    assert (answer.status_code, said["success"]) == (200, True)
    assert said["data"] | body == said["data"]
    assert said["data"]["mqtt"]["username"] == "9774d56d682e549c"
    again = await field.http.post("/api/device", json=body)
    assert again.status_code == 409
    assert "error" in again.json()


async def test_the_list_has_state_and_count(field: Field) -> None:
    """«`GET /` → `{success,data[],count}`, each with `status, borrowStatus, …`»"""
    await field.device("listed")
    said = (await field.http.get("/api/device/")).json()
    assert (said["success"], said["count"]) == (True, len(said["data"]))
    [found] = [each for each in said["data"] if each["deviceCode"] == "listed"]
    assert (found["status"], found["connectionStatus"]) == ("OFFLINE", "OFFLINE")
    assert (found["borrowStatus"], found["latestProblem"]) == ("AVAILABLE", None)


async def test_a_tablet_shows_metrics_log_and_big_numbers_as_text(field: Field) -> None:
    """«`GET /:id` (+ last 10 `metrics`, 20 `actionLogs`; 64-bit numbers as strings)»"""
    tablet = await field.hub.device("shown")
    assert (await tablet.send("tablet/{device_id}/status", STATUS)).is_stored
    for cpu in range(11):
        outcome = await tablet.send("tablet/{device_id}/metrics", {"cpu": cpu})
        assert outcome.is_stored
    for _ in range(21):
        await tablet.send("tablet/{device_id}/event", {"eventType": "LOCK"})
    data = (await field.http.get("/api/device/shown")).json()["data"]
    assert (data["bootTime"], data["uptime"]) == ("9007199254740993", "5")
    assert (len(data["metrics"]), data["metrics"][0]["cpu"]) == (10, 10)
    assert len(data["actionLogs"]) == 20
    assert (await field.http.get(f"/api/device/{data['id']}")).json()["data"] == data
    assert (await field.http.get("/api/device/999999")).status_code == 404


async def test_a_tablet_is_changed_and_removed(field: Field) -> None:
    """«`PUT /:id`; `DELETE /:id` (400 while checked out)»"""
    device = await field.device("changed")
    path = f"/api/device/{device['id']}"
    body = {"name": "Meeting room", "model": "TB-X306X", "osVersion": "14"}
    assert (await field.http.put(path, json=body)).json()["data"]["name"] == "Meeting room"
    said = (await field.http.put(path, json={"model": None})).json()["data"]
    assert (said["name"], said["model"], said["osVersion"]) == ("Meeting room", None, "14")

    lent = await lend(field, device["id"])
    refused = await field.http.delete(path)
    assert refused.status_code == 400
    assert "checked out" in refused.json()["error"]
    await field.http.post(f"/api/checkouts/{lent['id']}/cancel", json={"reason": "x"})
    assert (await field.http.delete(path)).status_code == 200
    assert (await field.http.get(path)).status_code == 404
    # Who had it stays known.
    kept = (await field.http.get(f"/api/checkouts/{lent['id']}")).json()["data"]
    assert [(each["deviceId"], each["deviceCode"]) for each in kept["items"]] == [(None, "changed")]


async def test_a_change_by_who_has_not_seen_the_last_one_is_refused(field: Field) -> None:
    path = f"/api/device/{(await field.device('shared'))['id']}"
    seen = (await field.http.get(path)).headers["ETag"]
    tablet = await field.hub.device("shared")
    await tablet.send("tablet/{device_id}/status", STATUS)  # what it reports is no change of ours
    first = await field.http.put(path, json={"name": "Hall"}, headers={"If-Match": seen})
    assert first.status_code == 200
    second = await field.http.put(path, json={"name": "Bar"}, headers={"If-Match": seen})
    assert (second.status_code, second.json()["field"]) == (412, "If-Match")
    again = {"If-Match": first.headers["ETag"]}
    assert (await field.http.put(path, json={"model": "X"}, headers=again)).status_code == 200
    assert (await field.http.get(path)).json()["data"]["name"] == "Hall"


async def test_places_are_asked_for_by_time(field: Field) -> None:
    """«`GET /:id/location-history?limit=1000&offset&hours&days&startDate&endDate`»"""
    tablet = await field.hub.device("walker")
    for step in range(3):
        place = {"latitude": 6 + step / 128, "longitude": 106.8}
        await tablet.send("tablet/{device_id}/location", place)
    path = "/api/device/walker/location-history"
    for query, count in (
        ("", 3),
        ("?limit=2", 2),
        ("?offset=2", 1),
        ("?hours=1", 3),
        ("?days=1", 3),
        ("?startDate=2100-01-01", 0),
        ("?endDate=2020-01-01T00:00:00Z", 0),
        ("?startDate=2020-01-01&endDate=2100-01-01", 3),
    ):
        said = (await field.http.get(path + query)).json()
        assert len(said["data"]) == count, query
    for query in (
        "?limit=0",
        "?hours=-1",
        "?startDate=soon",
        "?startDate=2026-02-01&endDate=2026-01-01",
    ):
        assert (await field.http.get(path + query)).status_code == 400, query
    route = (await field.http.get("/api/device/walker/route?days=7&minDistance=200")).json()
    assert route["data"] == [[6, 106.8], [6.0078125, 106.8], [6.015625, 106.8]]
    far = (await field.http.get("/api/device/walker/route?minDistance=100000")).json()
    assert far["data"] == [[6, 106.8], [6.015625, 106.8]]


async def test_maintenance_is_set_for_many_or_none(field: Field) -> None:
    """«`PATCH /maintenance-status {deviceIds[],maintenanceStatus …,problem?,solution?}`»"""
    ids = [(await field.device(code))["id"] for code in ("mended-1", "mended-2")]
    path = "/api/device/maintenance-status"
    body = {"deviceIds": ids, "maintenanceStatus": "DAMAGED", "problem": "Display cracked"}
    said = (await field.http.patch(path, json=body)).json()
    assert [each["borrowStatus"] for each in said["data"]] == ["IN_MAINTENANCE"] * 2
    assert [each["latestProblem"] for each in said["data"]] == ["Display cracked"] * 2
    told = [each for each in field.hub.events if each.name == "device.borrow_status"][-2:]
    assert [each.device.id for each in told] == ids
    assert [each.body["borrowStatus"] for each in told] == ["IN_MAINTENANCE"] * 2

    wrong = {"deviceIds": [ids[0], 999_999], "maintenanceStatus": "NONE"}
    refused = await field.http.patch(path, json=wrong)
    assert (refused.status_code, len(refused.json()["details"])) == (400, 1)
    for bad in ({"maintenanceStatus": "NONE"}, body | {"maintenanceStatus": "FINE"}):
        assert (await field.http.patch(path, json=bad)).status_code == 400
    shown = (await field.http.get("/api/device/mended-1")).json()["data"]
    assert shown["maintenanceStatus"] == "DAMAGED"
    log = (await field.http.get("/api/device/mended-1/history")).json()["data"]["logs"]
    assert [(each["kind"], each["action"]) for each in log] == [("maintenance", "DAMAGED")]


async def test_a_history_is_paged(field: Field) -> None:
    """«`GET /:id/history?limit&offset` → `data{logs,checkouts}`»"""
    tablet = await field.hub.device("paged")
    for event in ("BOOT", "LOCK", "UNLOCK"):
        await tablet.send("tablet/{device_id}/event", {"eventType": event})
    path = "/api/device/paged/history"
    for query, actions in (("?limit=2", ["UNLOCK", "LOCK"]), ("?limit=2&offset=2", ["BOOT"])):
        data = (await field.http.get(path + query)).json()["data"]
        assert set(data) == {"logs", "checkouts"}
        assert [each["action"] for each in data["logs"]] == actions
    assert (await field.http.get(f"{path}?limit=0")).status_code == 400


async def test_a_place_is_shown_with_all_that_was_said_of_it(field: Field) -> None:
    """«`deviceId, latitude, longitude, accuracy m, timestamp` (+ `speed, heading`)»"""
    tablet = await field.hub.device("somewhere")
    place = {"latitude": -6.2, "longitude": 106.8, "accuracy": 12.5, "speed": 1.5, "heading": 90}
    await tablet.send("tablet/{device_id}/location", place | {"deviceId": "somewhere"})
    data = (await field.http.get("/api/device/somewhere")).json()["data"]
    [kept] = (await field.http.get("/api/device/somewhere/location-history")).json()["data"]
    assert {name: data[name] for name in place} == place
    assert {name: kept[name] for name in place} == place


async def test_kiosk_mode_is_shown(field: Field) -> None:
    """«KIOSK_* sets `kioskMode`»"""
    tablet = await field.hub.device("kiosk")
    for event_type, is_on in (("BOOT", False), ("KIOSK_ENABLED", True), ("KIOSK_DISABLED", False)):
        await tablet.send("tablet/{device_id}/event", {"eventType": event_type})
        data = (await field.http.get("/api/device/kiosk")).json()["data"]
        assert data["kioskMode"] is is_on


# --- commands ---


async def test_a_command_reaches_the_tablet_and_ends_at_delivered(field: Field) -> None:
    """«`POST /:id/command {action,params}` → `{success,message,command}`»"""
    tablet = await field.hub.device("commanded")
    body = {"action": "SHOW_MESSAGE", "params": {"title": "Hello", "message": "Come back"}}
    answer = await field.http.post("/api/device/commanded/command", json=body)
    said = answer.json()
    assert (answer.status_code, said["success"]) == (200, True)
    assert set(said) == {"success", "message", "command"}
    assert "SHOW_MESSAGE" in said["message"]
    assert said["command"] | body == said["command"]
    received = await tablet.next_message()
    assert received.topic == "tablet/commanded/command"
    assert received.retain is False
    assert received.json() == body | {"commandId": said["command"]["id"]}
    await field.hub.settle()
    assert await state_of(field, said["command"]["id"]) == "delivered"
    await field.hub.advance(61)
    assert await state_of(field, said["command"]["id"]) == "delivered"


async def state_of(field: Field, command_id: str) -> str:
    ledger = field.hub.service(Commands)
    return (await ledger.get(field.hub.caller, command_id)).state


async def test_delivered_is_what_the_tablet_acknowledged(field: Field) -> None:
    """«`delivered` only on the device's PUBACK»"""
    tablet = await field.hub.device("deaf")
    tablet.is_deaf = True
    answer = await field.http.post("/api/device/deaf/command", json={"action": "WIFI_ON"})
    id = answer.json()["command"]["id"]
    await tablet.next_message()
    await field.hub.settle()
    assert await state_of(field, id) == "sent"
    tablet.is_deaf = False
    tablet.disconnect("lost")
    await tablet.connect()
    await field.hub.settle()
    assert await state_of(field, id) == "delivered"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "DANCE"}, 400),
        ({"action": "OPEN_APP", "params": {}}, 400),
        ({"action": "SHOW_MESSAGE", "params": {"title": "x"}}, 400),
        ({"params": {}}, 400),
        ([], 400),
    ],
)
async def test_a_bad_command_is_400_and_sends_nothing(field: Field, body: Any, status: int) -> None:
    """«400 (unknown action, missing param), 404»"""
    if (await field.http.get("/api/device/unbothered")).status_code == 404:
        await field.device("unbothered")
    answer = await field.http.post("/api/device/unbothered/command", json=body)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str)
    log = (await field.http.get("/api/device/unbothered/history")).json()["data"]["logs"]
    assert log == []
    missing = await field.http.post("/api/device/nobody/command", json={"action": "WIFI_ON"})
    assert missing.status_code == 404


async def test_without_a_broker_a_command_is_503(field: Field) -> None:
    """«503 «MQTT broker not available»»"""
    await field.device("unreachable")
    field.health.is_reachable = False
    try:
        answer = await field.http.post(
            "/api/device/unreachable/command", json={"action": "WIFI_ON"}
        )
    finally:
        field.health.is_reachable = True
    assert (answer.status_code, answer.json()) == (503, {"error": "MQTT broker not available"})


async def test_a_result_closes_a_command_once(field: Field) -> None:
    """«`tablet/{id}/command_result {commandId, success, error}` (ours, optional) closes it»"""
    tablet = await field.hub.device("answering")
    answer = await field.http.post("/api/device/answering/command", json={"action": "TAKE_PHOTO"})
    id = answer.json()["command"]["id"]
    await tablet.next_message()
    await field.hub.settle()
    for body in (
        {"commandId": id, "success": False, "error": "camera busy"},
        {"commandId": id, "success": True},
    ):
        assert (await tablet.send("tablet/{device_id}/command_result", body)).is_stored
    assert await state_of(field, id) == "failed"
    [line] = (await field.http.get("/api/device/answering")).json()["data"]["actionLogs"]
    assert (line["action"], line["state"]) == ("TAKE_PHOTO", "failed")


async def test_another_tablets_result_closes_nothing(field: Field) -> None:
    tablet, other = await field.hub.device("honest"), await field.hub.device("forger")
    answer = await field.http.post("/api/device/honest/command", json={"action": "TAKE_PHOTO"})
    id = answer.json()["command"]["id"]
    await tablet.next_message()
    await field.hub.settle()
    body = {"commandId": id, "success": True}
    await other.send("tablet/{device_id}/command_result", body)
    assert await state_of(field, id) == "delivered"


async def test_an_event_closes_the_command_it_shows(field: Field) -> None:
    """«state ends at `delivered` unless an `event` … closes it»"""
    tablet = await field.hub.device("locking")
    answer = await field.http.post("/api/device/locking/command", json={"action": "LOCK_DEVICE"})
    id = answer.json()["command"]["id"]
    await tablet.next_message()
    await field.hub.settle()
    await tablet.send("tablet/{device_id}/event", {"eventType": "UNLOCK"})
    await field.hub.settle()
    assert await state_of(field, id) == "delivered"
    await tablet.send("tablet/{device_id}/event", {"eventType": "LOCK"})
    await field.hub.settle()
    assert await state_of(field, id) == "succeeded"


async def test_an_event_of_before_closes_nothing(field: Field) -> None:
    tablet = await field.hub.device("locked")
    await tablet.send("tablet/{device_id}/event", {"eventType": "LOCK"})
    await field.hub.advance(1)
    answer = await field.http.post("/api/device/locked/command", json={"action": "LOCK_DEVICE"})
    await tablet.next_message()
    await field.hub.settle()
    assert await state_of(field, answer.json()["command"]["id"]) == "delivered"


# --- checkouts ---


async def test_lending_and_giving_back(field: Field) -> None:
    """«`POST /:id/return {items:[…]}` or `{itemIds[]}`» · «`GET /:id`»"""
    ids = [(await field.device(code))["id"] for code in ("lent-1", "lent-2")]
    lent = await lend(field, *ids)
    assert lent["number"].startswith("CHK-20")
    assert lent["number"].endswith(f"-{lent['id']:03d}")
    path = f"/api/checkouts/{lent['id']}"
    first, second = (each["id"] for each in lent["items"])

    how = {
        "problem": "A scratch",
        "solution": "Polish it",
        "maintenanceStatus": "HAS_PROBLEM",
        "returnNotes": "In its box",
    }
    body: dict[str, Any] = {"items": [{"itemId": first} | how]}
    partly = (await field.http.post(f"{path}/return", json=body)).json()["data"]
    assert partly["status"] == "PARTIAL_RETURN"
    assert {name: partly["items"][0][name] for name in how} == how
    twice = await field.http.post(f"{path}/return", json=body)
    assert (twice.status_code, twice.json()["details"][0]["itemId"]) == (400, first)
    done = (await field.http.post(f"{path}/return", json={"itemIds": [second]})).json()["data"]
    assert done["status"] == "RETURNED"
    assert (await field.http.get(path)).json()["data"] == done
    assert (await field.http.post(f"{path}/cancel", json={})).status_code == 409
    assert (await field.http.post(f"{path}/return", json={})).status_code == 400
    history = (await field.http.get(f"/api/device/{ids[0]}/history?limit=5")).json()["data"]
    assert [each["action"] for each in history["logs"]] == ["RETURNED", "CHECKED_OUT"]
    assert [each["id"] for each in history["checkouts"]] == [lent["id"]]


async def test_what_is_lent_is_not_lent_again(field: Field) -> None:
    """«400 with `details[]` if a device is not AVAILABLE»"""
    device = await field.device("wanted")
    lent = await lend(field, device["id"])
    body = {
        "company": "Other",
        "borrowerId": 18,
        "deviceIds": [device["id"]],
        "startTime": 1_770_000_000_000,
        "endTime": 1_770_086_400,
    }
    refused = await field.http.post("/api/checkouts", json=body)
    assert refused.status_code == 400
    [detail] = refused.json()["details"]
    assert (detail["deviceCode"], detail["borrowStatus"]) == ("wanted", "IN_USE")
    cancelled = await field.http.post(f"/api/checkouts/{lent['id']}/cancel", json={"reason": "no"})
    assert cancelled.json()["data"]["status"] == "CANCELLED"
    assert (await field.http.post("/api/checkouts", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"company": ""}, "company"),
        ({"deviceIds": []}, "deviceIds"),
        ({"startTime": "soon"}, "startTime"),
        ({"endTime": "2026-01-01T00:00:00Z"}, "endTime"),
        ({"borrowerId": None}, "borrowerId"),
    ],
)
async def test_a_checkout_that_lacks_something_names_it(
    field: Field, change: dict[str, Any], named: str
) -> None:
    """«an HTTP caller gets a 4xx whose body names the field at fault»"""
    body = {
        "company": "Acme",
        "borrowerId": "17",
        "deviceIds": [1],
        "startTime": "2026-02-01T08:00:00Z",
        "endTime": "2026-02-03T17:00:00Z",
    }
    answer = await field.http.post("/api/checkouts", json=body | change)
    assert answer.status_code == 400
    assert named in answer.json()["field"]


async def test_checkouts_are_listed_by_status_and_search(field: Field) -> None:
    """«`GET /?status&search&limit=20&offset` → `{data,total,limit,offset}`»"""
    device = await field.device("sought")
    lent = await lend(field, device["id"])
    said = (await field.http.get("/api/checkouts/?status=ACTIVE&search=sought")).json()
    assert [each["id"] for each in said["data"]] == [lent["id"]]
    assert (said["total"], said["limit"], said["offset"]) == (1, 20, 0)
    none = (await field.http.get("/api/checkouts?status=RETURNED&search=sought")).json()
    assert (none["data"], none["total"]) == ([], 0)
    assert (await field.http.get("/api/checkouts?status=LOST")).status_code == 400
