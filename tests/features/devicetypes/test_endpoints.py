"""Device types over HTTP, and what stays of them after a restart."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fleetwire.errors import ConflictError, ForbiddenError, NotFoundError, TooManyError
from fleetwire.features.devicetypes import service
from fleetwire.features.devicetypes.book import TypeBook
from fleetwire.features.devicetypes.endpoints import router
from fleetwire.features.devicetypes.service import DeviceTypeService
from fleetwire.kit import App, Caller, DeviceType, DeviceTypes
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms

PATH = "/api/v1/device-types"
FRIDGE: dict[str, Any] = {
    "name": "fridge",
    "metrics": [{"name": "temperature", "unit": "Cel", "low": 2, "high": 8}],
    "states": ["cooling", "idle"],
    "commands": [{"name": "reset", "parameters": []}, {"name": "free"}],
}
APPS = [
    App("demo", types=[DeviceType("lamp"), DeviceType("meter")]),
    App("vending", types=[DeviceType("lamp")]),
]


@pytest.fixture
def book() -> TypeBook:
    """The types that two apps declare."""
    return TypeBook(APPS)


@pytest.fixture
async def http(types: DeviceTypeService) -> AsyncIterator[httpx.AsyncClient]:
    async with serving([router], {DeviceTypes: types}) as client:
        yield client


async def test_a_type_is_made_read_changed_and_removed(
    http: httpx.AsyncClient, rooms: Rooms
) -> None:
    made = await http.post(PATH, json=FRIDGE)
    assert made.status_code == 201
    seen = (await http.get(f"{PATH}/fridge")).headers["etag"]
    assert seen == made.headers["etag"]
    assert made.json()["commands"][1]["parameters"] is None
    assert (await http.post(PATH, json=FRIDGE)).status_code == 409
    changed = await http.patch(
        f"{PATH}/fridge", json={"states": ["on"]}, headers={"If-Match": seen}
    )
    assert (changed.status_code, changed.json()["states"]) == (200, ["on"])
    assert changed.json()["metrics"] == made.json()["metrics"]
    late = await http.patch(f"{PATH}/fridge", json={"states": []}, headers={"If-Match": seen})
    assert late.status_code == 412
    assert (await http.delete(f"{PATH}/fridge")).status_code == 204
    assert (await http.get(f"{PATH}/fridge")).status_code == 404
    assert [action for _, action, _ in rooms.audit.records] == [
        "device_type.created",
        "device_type.changed",
        "device_type.deleted",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metrics": [{"name": "t", "low": 2, "high": 1}]}, "metrics.0.low"),
        ({"states": [""]}, "states.0"),
    ],
)
async def test_a_fault_is_named_with_its_place_and_changes_nothing(
    http: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    refused = await http.post(PATH, json=FRIDGE | change)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    await http.post(PATH, json=FRIDGE)
    refused = await http.patch(f"{PATH}/fridge", json=change)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert (await http.get(f"{PATH}/fridge")).json()["states"] == FRIDGE["states"]


async def test_choices_are_kept_as_texts_and_numbers(http: httpx.AsyncClient) -> None:
    parameters = [
        {"name": "mode", "type": "text", "choices": ["1", "soft"]},
        {"name": "level", "type": "integer", "choices": [1, 2]},
    ]
    body = {"name": "x", "commands": [{"name": "c", "parameters": parameters}]}
    made = await http.post(PATH, json=body)
    assert made.status_code == 201
    found = made.json()["commands"][0]["parameters"]
    assert [each["choices"] for each in found] == [["1", "soft"], [1, 2]]


async def test_an_unknown_word_is_refused_and_not_dropped(http: httpx.AsyncClient) -> None:
    for body in (
        FRIDGE | {"state": []},
        FRIDGE | {"metrics": [{"name": "t", "min": 1}]},
        FRIDGE | {"commands": [{"name": "c", "parameters": [{"name": "p", "type": "float"}]}]},
    ):
        assert (await http.post(PATH, json=body)).status_code == 422


async def test_a_type_in_use_is_not_removed_and_it_is_said_by_how_many(
    types: DeviceTypeService, rooms: Rooms
) -> None:
    await types.create(caller(), DeviceType("thing"))
    await types.create(caller(2), DeviceType("thing"))
    for device_id in ("a", "b"):
        await rooms.register(device_id)
    with pytest.raises(ConflictError, match="2 devices are of the type 'thing'"):
        await types.delete(caller(), "thing")
    await types.delete(caller(2), "thing")  # the devices are somebody else's
    await rooms.devices.update(caller(), "demo", "a", type="lamp")
    with pytest.raises(ConflictError, match="1 device is"):
        await types.delete(caller(), "thing")
    await rooms.devices.delete(caller(), "demo", "b")
    await types.delete(caller(), "thing")


async def test_an_apps_type_is_read_but_not_changed_unless_one_has_his_own(
    types: DeviceTypeService,
) -> None:
    assert (await types.get(caller(), "lamp")).app == "demo"
    assert (await types.get(caller(), "lamp", app="vending")).app == "vending"
    for call in (
        types.update(caller(), "lamp", lambda type: type),
        types.delete(caller(), "lamp"),
    ):
        with pytest.raises(ConflictError, match="'demo' declares"):
            await call
    await types.create(caller(), DeviceType("lamp", states=("on",)))
    assert (await types.get(caller(), "lamp")).app is None
    assert (await types.get(caller(), "lamp", app="demo")).app == "demo"
    assert (await types.get(caller(2), "lamp")).app == "demo"
    await types.delete(caller(), "lamp")
    assert (await types.get(caller(), "lamp")).app == "demo"


async def test_nobody_sees_or_changes_anothers_types(types: DeviceTypeService) -> None:
    await types.create(caller(), DeviceType("fridge"))
    for call in (
        types.get(caller(2), "fridge"),
        types.get(caller(), "fridge", app="demo"),
        types.update(caller(2), "fridge", lambda type: type),
        types.delete(caller(2), "fridge"),
    ):
        with pytest.raises(NotFoundError):
            await call
    reader = Caller("account:9", 1, frozenset({"device.read"}))
    assert (await types.get(reader, "fridge")).id == 1
    for call in (
        types.create(reader, DeviceType("x")),
        types.update(reader, "fridge", lambda type: type),
        types.delete(reader, "fridge"),
    ):
        with pytest.raises(ForbiddenError):
            await call


async def test_the_list_is_paged_through_apps_types_and_own_ones(http: httpx.AsyncClient) -> None:
    for name in ("zebra", "apple", "lamp2"):
        await http.post(PATH, json={"name": name})
    seen: list[tuple[str | None, str]] = []
    cursor: str | None = None
    for limit in (2, 2, 1, 5):
        page = (
            await http.get(PATH, params={"limit": limit} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [(each["app"], each["name"]) for each in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [
        ("demo", "lamp"),
        ("demo", "meter"),
        ("vending", "lamp"),
        (None, "zebra"),
        (None, "apple"),
        (None, "lamp2"),
    ]
    assert cursor is None
    found = (await http.get(PATH, params={"search": "LAMP"})).json()["items"]
    assert [each["name"] for each in found] == ["lamp", "lamp", "lamp2"]


async def test_an_organisation_has_only_so_many(
    types: DeviceTypeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_TYPES", 1)
    await types.create(caller(), DeviceType("a"))
    with pytest.raises(TooManyError):
        await types.create(caller(), DeviceType("b"))
    await types.create(caller(2), DeviceType("b"))


async def test_after_a_restart_all_is_as_it_was(http: httpx.AsyncClient, rooms: Rooms) -> None:
    await http.post(PATH, json=FRIDGE)
    before = (await http.get(f"{PATH}/fridge")).json()
    again = DeviceTypeService(rooms.db, TypeBook(APPS), rooms.audit)
    await again.load()
    async with serving([router], {DeviceTypes: again}) as later:
        assert (await later.get(f"{PATH}/fridge")).json() == before
    await rooms.devices.register(caller(), "demo", "d", "fridge")
    found = again.of(rooms.device("d"))
    assert found is not None
    assert found.states == ("cooling", "idle")
