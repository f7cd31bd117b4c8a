"""Groups: named queries, over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.errors import ForbiddenError, TooManyError
from fleetwire.features.devices import groups as room
from fleetwire.features.devices.endpoints import router as devices_router
from fleetwire.features.devices.group_endpoints import router
from fleetwire.features.devices.groups import Groups
from fleetwire.kit import Caller, Devices
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms

GROUP = {"name": "cold", "query": "tag:cold and attr.floor=2", "description": "Fridges"}
PATH = "/api/v1/groups"


@pytest.fixture
def groups(rooms: Rooms) -> Groups:
    return Groups(rooms.db, rooms.devices, rooms.audit, rooms.clock)


@pytest.fixture
async def http(rooms: Rooms, groups: Groups) -> AsyncIterator[httpx.AsyncClient]:
    services = {Groups: groups, Devices: rooms.devices}
    async with serving([router, devices_router], services) as client:
        yield client


async def test_a_group_is_made_read_changed_and_removed(http: httpx.AsyncClient) -> None:
    made = await http.post(PATH, json=GROUP)
    assert made.status_code == 201
    read = await http.get(f"{PATH}/cold")
    assert read.json() == made.json()
    assert read.json().items() >= GROUP.items()
    assert read.headers["ETag"] == made.headers["ETag"]
    changed = await http.patch(
        f"{PATH}/cold", json={"query": "tag:b"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert (changed.json()["query"], changed.json()["description"]) == ("tag:b", "Fridges")
    late = await http.patch(
        f"{PATH}/cold", json={"query": "tag:c"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert late.status_code == 412
    assert (await http.get(f"{PATH}/cold")).json()["query"] == "tag:b"
    assert (await http.delete(f"{PATH}/cold")).status_code == 204
    assert (await http.get(f"{PATH}/cold")).status_code == 404


async def test_a_group_has_the_devices_that_its_query_means_now(http: httpx.AsyncClient) -> None:
    await http.post(PATH, json=GROUP)
    device = {"app": "demo", "device_id": "d", "type": "meter", "attributes": {"floor": 2}}
    registered = (await http.post("/api/v1/devices", json=device)).json()["device"]
    assert registered["tags"] == []
    assert (await http.get(f"{PATH}/cold/devices")).json()["items"] == []
    tag = (await http.get("/api/v1/devices/demo/d")).headers["ETag"]
    patched = await http.patch("/api/v1/devices/demo/d", json={"tags": ["cold", "a", "a"]})
    assert patched.json()["tags"] == ["a", "cold"]
    assert patched.headers["ETag"] != tag
    found = (await http.get(f"{PATH}/cold/devices")).json()["items"]
    assert [each["device_id"] for each in found] == ["d"]


async def test_a_fault_in_a_query_is_422_with_its_place(http: httpx.AsyncClient) -> None:
    refused = await http.post(PATH, json=GROUP | {"query": "tag:cold und type:x"})
    assert (refused.status_code, refused.json()["field"]) == (422, "query")
    assert "character 10" in refused.json()["detail"]
    await http.post(PATH, json=GROUP)
    assert (await http.patch(f"{PATH}/cold", json={"query": "("})).status_code == 422
    asked = await http.get("/api/v1/devices", params={"query": "nothing"})
    assert (asked.status_code, asked.json()["field"]) == (422, "query")


async def test_a_taken_name_is_409_and_a_bad_one_422(http: httpx.AsyncClient) -> None:
    await http.post(PATH, json=GROUP)
    assert (await http.post(PATH, json=GROUP)).status_code == 409
    bad = await http.post(PATH, json=GROUP | {"name": "a/b"})
    assert (bad.status_code, bad.json()["field"]) == (422, "name")


async def test_groups_are_of_one_organisation(http: httpx.AsyncClient) -> None:
    await http.post(PATH, json=GROUP)
    other = {"Organization": "2"}
    assert (await http.get(PATH, headers=other)).json()["items"] == []
    for method, path in (("GET", ""), ("GET", "/devices"), ("DELETE", "")):
        answer = await http.request(method, f"{PATH}/cold{path}", headers=other)
        assert answer.status_code == 404
    assert (await http.patch(f"{PATH}/cold", json={}, headers=other)).status_code == 404
    assert (await http.post(PATH, json=GROUP, headers=other)).status_code == 201


async def test_groups_are_listed_in_pages_and_searched(http: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await http.post(PATH, json=GROUP | {"name": name, "description": f"all of {name}"})
    first = (await http.get(PATH, params={"limit": 2})).json()
    rest = (await http.get(PATH, params={"cursor": first["next_cursor"]})).json()
    assert [each["name"] for each in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert rest["next_cursor"] is None
    found = (await http.get(PATH, params={"search": "of B"})).json()["items"]
    assert [each["name"] for each in found] == ["b"]


async def test_changes_need_their_permission_and_are_audited(rooms: Rooms, groups: Groups) -> None:
    reader = Caller("account:9", 1, frozenset({"device.read"}))
    with pytest.raises(ForbiddenError):
        await groups.create(reader, "g", "tag:a")
    await groups.create(caller(), "g", "tag:a")
    for change in (groups.update(reader, "g", query="tag:b"), groups.delete(reader, "g")):
        with pytest.raises(ForbiddenError):
            await change
    await groups.update(caller(), "g", query="tag:b")
    await groups.delete(caller(), "g")
    assert [record[1:] for record in rooms.audit.records] == [
        ("group.created", "group:g"),
        ("group.changed", "group:g"),
        ("group.deleted", "group:g"),
    ]


async def test_groups_are_bounded(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_GROUPS", 1)
    await groups.create(caller(), "a", "tag:a")
    with pytest.raises(TooManyError):
        await groups.create(caller(), "b", "tag:a")
    await groups.create(caller(2), "b", "tag:a")
