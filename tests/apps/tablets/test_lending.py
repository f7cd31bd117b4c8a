"""Lending over HTTP: what two people ask for at once, and what is asked for twice."""

import asyncio
from typing import Any

import pytest

from fleetwire.kit import Devices
from tests.apps.tablets.field import Field, lend

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY: dict[str, Any] = {
    "company": "Acme",
    "borrowerId": "17",
    "startTime": "2026-02-01T08:00:00Z",
    "endTime": "2026-02-03T17:00:00Z",
}


async def lent(field: Field, *codes: str) -> tuple[str, list[int], dict[str, Any]]:
    """Return the path of a new checkout of new tablets, its items, and the checkout."""
    ids = [(await field.device(code))["id"] for code in codes]
    checkout = await lend(field, *ids)
    return f"/api/checkouts/{checkout['id']}", [each["id"] for each in checkout["items"]], checkout


async def borrow_status(field: Field, code: str) -> str:
    data = (await field.http.get(f"/api/device/{code}")).json()["data"]
    status: str = data["borrowStatus"]
    return status


async def test_of_many_who_want_one_tablet_at_once_one_gets_it(field: Field) -> None:
    """«400 with `details[]` if a device is not AVAILABLE»"""
    device = await field.device("popular")
    body = BODY | {"deviceIds": [device["id"]]}
    answers = await asyncio.gather(
        *(field.http.post("/api/checkouts", json=body) for _ in range(8))
    )
    assert sorted(each.status_code for each in answers) == [200] + [400] * 7
    refusals = [each.json() for each in answers if each.status_code == 400]
    assert {each["details"][0]["borrowStatus"] for each in refusals} == {"IN_USE"}
    history = (await field.http.get("/api/device/popular/history")).json()["data"]
    assert len(history["checkouts"]) == 1
    assert [each["action"] for each in history["logs"]] == ["CHECKED_OUT"]


async def test_numbers_of_a_day_are_all_different(field: Field) -> None:
    """«number `CHK-YYYYMMDD-NNN`»"""
    ids = [(await field.device(f"numbered-{each}"))["id"] for each in range(5)]
    answers = await asyncio.gather(
        *(field.http.post("/api/checkouts", json=BODY | {"deviceIds": [id]}) for id in ids)
    )
    numbers = sorted(each.json()["data"]["number"] for each in answers)
    assert len(set(numbers)) == 5
    counts = [int(each.rpartition("-")[2]) for each in numbers]
    assert counts == list(range(counts[0], counts[0] + 5))


async def test_what_is_in_maintenance_is_not_lent(field: Field) -> None:
    device = await field.device("broken")
    mending = {"deviceIds": ["broken"], "maintenanceStatus": "IN_MAINTENANCE"}
    await field.http.patch("/api/device/maintenance-status", json=mending)
    refused = await field.http.post("/api/checkouts", json=BODY | {"deviceIds": [device["id"]]})
    assert refused.status_code == 400
    assert refused.json()["details"][0]["borrowStatus"] == "IN_MAINTENANCE"
    good = await field.device("whole")
    both = BODY | {"deviceIds": [good["id"], device["id"]]}
    assert (await field.http.post("/api/checkouts", json=both)).status_code == 400
    assert await borrow_status(field, "whole") == "AVAILABLE"


async def test_more_than_was_lent_cannot_come_back(field: Field) -> None:
    path, (own,), _ = await lent(field, "over-1")
    _, (other,), _ = await lent(field, "over-2")
    for body in (
        {"itemIds": [own, other]},
        {"items": [{"itemId": own}, {"itemId": other, "problem": "x"}]},
        {"itemIds": [own, 999_999]},
    ):
        refused = await field.http.post(f"{path}/return", json=body)
        assert refused.status_code == 400
        assert len(refused.json()["details"]) == 1
    assert await borrow_status(field, "over-1") == "IN_USE"
    assert await borrow_status(field, "over-2") == "IN_USE"
    assert (await field.http.get(path)).json()["data"]["status"] == "ACTIVE"


async def test_an_item_is_named_once_and_once_in_two_lists_is_once(field: Field) -> None:
    path, (item,), _ = await lent(field, "twice")
    body = {"items": [{"itemId": item}, {"itemId": item, "problem": "Display cracked"}]}
    refused = await field.http.post(f"{path}/return", json=body)
    assert (refused.status_code, refused.json()["field"]) == (400, "items")
    assert await borrow_status(field, "twice") == "IN_USE"
    both = {"items": [{"itemId": item, "problem": "A scratch"}], "itemIds": [item]}
    done = (await field.http.post(f"{path}/return", json=both)).json()["data"]
    assert (done["status"], done["items"][0]["problem"]) == ("RETURNED", "A scratch")


async def test_of_two_who_return_the_same_at_once_one_does(field: Field) -> None:
    path, (first, second), _ = await lent(field, "race-1", "race-2")
    answers = await asyncio.gather(
        *(field.http.post(f"{path}/return", json={"itemIds": [first]}) for _ in range(4))
    )
    assert sorted(each.status_code for each in answers) == [200, 400, 400, 400]
    assert (await field.http.get(path)).json()["data"]["status"] == "PARTIAL_RETURN"
    refused = await field.http.post(f"{path}/cancel", json={"reason": "too late"})
    assert refused.status_code == 409
    assert "return the rest" in refused.json()["error"]
    done = await field.http.post(f"{path}/return", json={"itemIds": [second]})
    assert done.json()["data"]["status"] == "RETURNED"
    again = await field.http.post(f"{path}/return", json={"itemIds": [second]})
    assert again.status_code == 409


async def test_a_cancelled_checkout_takes_nothing_back(field: Field) -> None:
    """«`POST /:id/cancel {reason}`»"""
    path, items, _ = await lent(field, "called-off")
    answers = await asyncio.gather(
        *(field.http.post(f"{path}/cancel", json={"reason": "rain"}) for _ in range(3))
    )
    assert sorted(each.status_code for each in answers) == [200, 409, 409]
    done = (await field.http.get(path)).json()["data"]
    assert (done["status"], done["cancelReason"]) == ("CANCELLED", "rain")
    assert await borrow_status(field, "called-off") == "AVAILABLE"
    assert (await field.http.post(f"{path}/return", json={"itemIds": items})).status_code == 409
    without = await lent(field, "no-reason")
    assert (await field.http.post(f"{without[0]}/cancel")).status_code == 200


async def test_a_tablet_that_was_removed_meanwhile_does_not_hold_the_rest_back(
    field: Field,
) -> None:
    path, (first, second), _ = await lent(field, "removed-1", "removed-2")
    await field.hub.service(Devices).delete(field.hub.caller, "tablets", "removed-1")
    done = await field.http.post(f"{path}/return", json={"itemIds": [first, second]})
    assert (done.status_code, done.json()["data"]["status"]) == (200, "RETURNED")
    assert await borrow_status(field, "removed-2") == "AVAILABLE"


async def test_staff_lends_and_takes_back(field: Field) -> None:
    """«Roles ADMIN, STAFF»"""
    device = await field.device("staffed-out")
    staff = await field.login("staff", "123456")
    made = await staff.post("/api/checkouts", json=BODY | {"deviceIds": [device["id"]]})
    assert made.status_code == 200
    data = made.json()["data"]
    items = [each["id"] for each in data["items"]]
    done = await staff.post(f"/api/checkouts/{data['id']}/return", json={"itemIds": items})
    me = (await staff.get("/api/auth/me")).json()["data"]
    assert done.json()["data"]["items"][0]["returnedBy"] == f"account:{me['id']}"


async def test_another_organisations_checkouts_do_not_exist(field: Field) -> None:
    path, items, _ = await lent(field, "ours")
    other = await field.elsewhere()
    assert (await other.get("/api/checkouts")).json()["total"] == 0
    for method, where, body in (
        ("GET", path, None),
        ("POST", f"{path}/return", {"itemIds": items}),
        ("POST", f"{path}/cancel", {"reason": "mine"}),
    ):
        assert (await other.request(method, where, json=body)).status_code == 404, where
    wanted = await other.post("/api/checkouts", json=BODY | {"deviceIds": ["ours"]})
    assert wanted.status_code == 400
    assert await borrow_status(field, "ours") == "IN_USE"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_what_is_sent_twice_with_one_key_is_done_once(field: Field, slash: str) -> None:
    name = f"once{slash and '-more'}"
    headers = {"Idempotency-Key": f"key of {name}"}

    async def twice(path: str, body: dict[str, Any]) -> Any:
        first = await field.http.post(path + slash, json=body, headers=headers)
        second = await field.http.post(path + slash, json=body, headers=headers)
        assert (first.status_code, second.status_code) == (200, 200), first.text
        assert second.json() == first.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        return first.json()

    device = (await twice("/api/device", {"deviceCode": name}))["data"]
    assert device["mqtt"]["password"]
    await twice("/api/user", {"username": name, "password": "correct horse battery"})
    await twice("/api/checkouts", BODY | {"deviceIds": [device["id"]]})
    again = await field.http.post(f"/api/device{slash}", json={"deviceCode": name})
    assert again.status_code == 409  # without the key it is another wish
    history = (await field.http.get(f"/api/device/{name}/history")).json()["data"]
    assert len(history["checkouts"]) == 1


async def test_a_command_sent_twice_with_one_key_is_one_command(field: Field) -> None:
    tablet = await field.hub.device("pressed-twice")
    headers = {"Idempotency-Key": "one press"}
    path, body = "/api/device/pressed-twice/command", {"action": "TAKE_PHOTO"}
    answers = [await field.http.post(path, json=body, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    await field.hub.settle()
    assert [each.json()["commandId"] for each in tablet.received] == [
        answers[0].json()["command"]["id"]
    ]
    other = await field.http.post(path, json={"action": "WIFI_OFF"}, headers=headers)
    assert (other.status_code, other.json()["field"]) == (400, "Idempotency-Key")
