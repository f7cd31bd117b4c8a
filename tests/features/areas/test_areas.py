"""Areas: a tree of each organisation's own, in which devices stand."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import select

from fleetwire.errors import (
    ConflictError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    TooManyError,
)
from fleetwire.features.areas import service
from fleetwire.features.areas.endpoints import router
from fleetwire.features.areas.rules import MAX_DEPTH
from fleetwire.features.areas.service import AreaService
from fleetwire.features.areas.tables import areas as area_rows, device_areas
from fleetwire.features.devices.area_endpoints import router as devices_router
from fleetwire.features.devices.endpoints import router as device_router
from fleetwire.kit import Caller, Devices
from fleetwire.kit.areas import Area, Areas
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms


@pytest.fixture
async def http(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    services = {Areas: rooms.areas, Devices: rooms.devices}
    async with serving([router, devices_router, device_router], services) as client:
        yield client


async def paths(rooms: Rooms, by: Caller | None = None) -> list[str]:
    page = await rooms.areas.list(by or caller(), limit=1000)
    return sorted(area.path for area in page.items)


async def grow(rooms: Rooms, *wanted: str) -> list[Area]:
    return [await rooms.areas.ensure(caller(), path) for path in wanted]


async def stand(rooms: Rooms, device_id: str, area: Area) -> None:
    await rooms.devices.register(caller(), "demo", device_id, "meter", area_id=area.id)


async def names(rooms: Rooms, query: str) -> list[str]:
    page = await rooms.devices.list(caller(), None, query=query)
    return [device.device_id for device in page.items]


async def test_a_path_is_made_once_and_is_the_organisations_own(rooms: Rooms) -> None:
    first, second = await grow(rooms, "Clinic/Floor 2/Ward 3", "Clinic/Floor 2/Ward 3")
    assert (first.id, first.path, first.name) == (second.id, "Clinic/Floor 2/Ward 3", "Ward 3")
    assert await paths(rooms) == ["Clinic", "Clinic/Floor 2", "Clinic/Floor 2/Ward 3"]
    assert await paths(rooms, caller(2)) == []
    assert await rooms.areas.find(caller(2), "Clinic") is None
    for call in (
        rooms.areas.get(caller(2), first.id),
        rooms.areas.update(caller(2), first.id, name="x"),
        rooms.areas.delete(caller(2), first.id),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_who_renames_takes_along_what_is_below_and_nothing_beside(rooms: Rooms) -> None:
    clinic, ward, beside, capital = await grow(
        rooms, "Clinic", "Clinic/Floor/Ward", "Clinic 2/Floor", "clinic/Floor"
    )
    await stand(rooms, "d", ward)
    renamed = await rooms.areas.update(caller(), clinic.id, name="Haus_1%")
    assert renamed.path == "Haus_1%"
    assert await paths(rooms) == sorted(
        ["Haus_1%", "Haus_1%/Floor", "Haus_1%/Floor/Ward", "Clinic 2", beside.path, "clinic",
         capital.path]
    )  # fmt: skip
    device = await rooms.devices.get(caller(), "demo", "d")
    assert (device.area_id, device.area) == (ward.id, "Haus_1%/Floor/Ward")
    assert [action for _, action, _ in rooms.audit.records].count("area.changed") == 1


async def test_a_move_takes_along_what_is_below_and_can_go_to_the_top(rooms: Rooms) -> None:
    floor, other = await grow(rooms, "Clinic/Floor", "Other")
    await grow(rooms, "Clinic/Floor/Ward")
    moved = await rooms.areas.update(caller(), floor.id, parent_id=other.id, name="Floor 9")
    assert (moved.path, moved.parent_id) == ("Other/Floor 9", other.id)
    assert await paths(rooms) == ["Clinic", "Other", "Other/Floor 9", "Other/Floor 9/Ward"]
    top = await rooms.areas.update(caller(), floor.id, parent_id=0)
    assert (top.path, top.parent_id) == ("Floor 9", None)
    assert await paths(rooms) == ["Clinic", "Floor 9", "Floor 9/Ward", "Other"]


async def test_no_area_stands_in_itself_however_it_is_tried(rooms: Rooms) -> None:
    a, c, other = await grow(rooms, "a", "a/b/c", "other")
    for parent in (a, c):
        with pytest.raises(ConflictError) as error:
            await rooms.areas.update(caller(), a.id, parent_id=parent.id)
        assert error.value.field == "parent_id"
    # Each alone is fine, both together would be a cycle.
    done = await asyncio.gather(
        rooms.areas.update(caller(), a.id, parent_id=other.id),
        rooms.areas.update(caller(), other.id, parent_id=c.id),
        return_exceptions=True,
    )
    assert [type(each) for each in done] == [Area, ConflictError]
    assert await paths(rooms) == ["other", "other/a", "other/a/b", "other/a/b/c"]


async def test_a_name_is_taken_once_among_its_neighbours(rooms: Rooms) -> None:
    a, b, inner = await grow(rooms, "a", "b", "b/a")
    for call in (
        rooms.areas.create(caller(), "a"),
        rooms.areas.create(caller(), "a", parent_id=b.id),
        rooms.areas.update(caller(), b.id, name="a"),
        rooms.areas.update(caller(), inner.id, parent_id=0),
    ):
        with pytest.raises(ConflictError) as error:
            await call
        assert error.value.field == "name"
    assert (await rooms.areas.create(caller(), "b", parent_id=a.id)).path == "a/b"


async def test_the_tree_is_no_deeper_than_its_bound_also_after_a_move(rooms: Rooms) -> None:
    deep = "/".join("x" * MAX_DEPTH)
    bottom, stem = await grow(rooms, deep, "stem")
    with pytest.raises(InvalidValueError):
        await rooms.areas.ensure(caller(), deep + "/x")
    with pytest.raises(InvalidValueError):
        await rooms.areas.create(caller(), "y", parent_id=bottom.id)
    top = await rooms.areas.find(caller(), "x")
    assert top is not None
    with pytest.raises(InvalidValueError):
        await rooms.areas.update(caller(), top.id, parent_id=stem.id)
    assert deep in await paths(rooms)


async def test_an_organisation_has_only_so_many(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_AREAS", 2)
    with pytest.raises(TooManyError):
        await rooms.areas.ensure(caller(), "a/b/c")
    assert await paths(rooms) == []  # all or nothing
    await rooms.areas.ensure(caller(), "a/b")
    assert (await rooms.areas.ensure(caller(2), "a/b")).path == "a/b"


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", "\n", "x" * 65, "/", "\x00"])
async def test_a_name_out_of_form_is_refused(rooms: Rooms, name: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        await rooms.areas.create(caller(), name)
    assert error.value.field == "name"
    with pytest.raises(InvalidValueError):
        await rooms.areas.ensure(caller(), f"{name}//x")


async def test_what_holds_something_is_not_removed(rooms: Rooms) -> None:
    a, b = await grow(rooms, "a", "a/b")
    await stand(rooms, "d", b)
    with pytest.raises(ConflictError, match="1 area and 0 devices"):
        await rooms.areas.delete(caller(), a.id)
    with pytest.raises(ConflictError, match="0 areas and 1 device:"):
        await rooms.areas.delete(caller(), b.id)
    await rooms.devices.delete(caller(), "demo", "d")
    await rooms.areas.delete(caller(), b.id)
    await rooms.areas.delete(caller(), a.id)
    rows = await rooms.db.read(
        lambda c: (c.execute(select(area_rows)).all(), c.execute(select(device_areas)).all())
    )
    assert rows == ([], [])


async def test_a_query_for_an_area_means_what_is_below_too(rooms: Rooms) -> None:
    top, floor, beside = await grow(rooms, "Clinic", "Clinic/Floor 2", "Clinic/Floor 22")
    for device_id, area in (("t", top), ("f", floor), ("b", beside)):
        await stand(rooms, device_id, area)
    await rooms.register("nowhere")
    assert await names(rooms, 'area:"Clinic/Floor 2"') == ["f"]
    assert await names(rooms, "area:Clinic") == ["t", "f", "b"]
    assert await names(rooms, "area:clinic or area:Clin or area:Clinic/") == []
    assert await names(rooms, "not area:Clinic") == ["nowhere"]
    await rooms.devices.update(caller(), "demo", "t", area_id=0)
    assert await names(rooms, "area:Clinic") == ["f", "b"]
    assert (await rooms.devices.get(caller(), "demo", "t")).area is None
    assert await rooms.devices.count(caller(), "demo", query="area:Clinic") == 2


async def test_groups_hear_that_paths_changed_after_the_commit(rooms: Rooms) -> None:
    heard: list[int] = []
    areas = AreaService(rooms.db, rooms.audit, heard.append)
    area = await areas.create(caller(), "a")
    await areas.update(caller(), area.id, attributes={"x": 1})
    assert heard == []
    await areas.update(caller(), area.id, name="b")
    assert heard == [1]


async def test_only_who_may_write_devices_changes_the_tree(rooms: Rooms) -> None:
    (area,) = await grow(rooms, "a")
    reader = Caller("account:9", 1, frozenset({"device.read"}))
    for call in (
        rooms.areas.create(reader, "b"),
        rooms.areas.ensure(reader, "b"),
        rooms.areas.update(reader, area.id, name="b"),
        rooms.areas.delete(reader, area.id),
    ):
        with pytest.raises(ForbiddenError):
            await call
    assert await paths(rooms, reader) == ["a"]


async def test_over_http_a_device_is_put_into_an_area_and_taken_out(
    http: httpx.AsyncClient, rooms: Rooms
) -> None:
    await rooms.register("d")
    area = (await http.post("/api/v1/areas", json={"name": "Ward"})).json()
    before = (await http.get("/api/v1/devices/demo/d")).headers["etag"]
    put = await http.patch("/api/v1/devices/demo/d", json={"area_id": area["id"]})
    assert (put.json()["area_id"], put.json()["area"]) == (area["id"], "Ward")
    assert put.headers["etag"] != before
    listed = (await http.get(f"/api/v1/areas/{area['id']}/devices")).json()["items"]
    assert [each["device_id"] for each in listed] == ["d"]
    assert (await http.get(f"/api/v1/areas/{area['id']}")).json()["device_count"] == 1
    kept = await http.patch("/api/v1/devices/demo/d", json={"name": "Bed"})
    assert kept.json()["area"] == "Ward"
    out = await http.patch("/api/v1/devices/demo/d", json={"area_id": None})
    assert out.json()["area"] is None
    foreign = await rooms.areas.create(caller(2), "theirs")
    refused = await http.patch("/api/v1/devices/demo/d", json={"area_id": foreign.id})
    assert (refused.status_code, refused.json()["field"]) == (422, "area_id")
    new = {"app": "demo", "device_id": "n", "type": "meter", "area_id": foreign.id}
    assert (await http.post("/api/v1/devices", json=new)).status_code == 422
    assert rooms.devices.find("demo", "n") is None


async def test_over_http_the_tree_is_listed_changed_and_paged(http: httpx.AsyncClient) -> None:
    top = (await http.post("/api/v1/areas", json={"name": "Top"})).json()
    for name in ("A", "B", "C"):
        body = {"name": name, "parent_id": top["id"], "attributes": {"x": 1, "y": None}}
        assert (await http.post("/api/v1/areas", json=body)).json()["attributes"] == {"x": 1}
    first = (await http.get("/api/v1/areas", params={"under": "Top", "limit": 3})).json()
    rest = await http.get("/api/v1/areas", params={"under": "Top", "cursor": first["next_cursor"]})
    assert [each["path"] for each in first["items"]] == ["Top", "Top/A", "Top/B"]
    assert [each["path"] for each in rest.json()["items"]] == ["Top/C"]
    at_top = (await http.get("/api/v1/areas", params={"parent_id": 0})).json()["items"]
    assert [each["name"] for each in at_top] == ["Top"]
    inner = (await http.get("/api/v1/areas", params={"parent_id": top["id"]})).json()["items"]
    moved = await http.patch(f"/api/v1/areas/{inner[0]['id']}", json={"parent_id": None})
    assert (moved.json()["path"], moved.json()["attributes"]) == ("A", {"x": 1})
    assert (await http.delete(f"/api/v1/areas/{top['id']}")).status_code == 409
