"""Many devices at once: each line for itself, first dry, then for good."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fleetwire.errors import ForbiddenError
from fleetwire.features.devices.bulk import BulkImport, Line
from fleetwire.features.devices.bulk_endpoints import router
from fleetwire.features.devices.service import hash_of
from fleetwire.features.jobs.service import JobService
from fleetwire.kit import Caller
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms

PATH = "/api/v1/device-imports"


@pytest.fixture
async def http(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    services = {
        BulkImport: BulkImport(rooms.devices, rooms.areas),
        JobService: JobService(rooms.db),
    }
    async with serving([router], services) as client:
        yield client


def line(device_id: str, **more: Any) -> dict[str, Any]:
    return {"app": "demo", "device_id": device_id, "type": "meter"} | more


async def test_each_line_stands_alone_and_dry_says_the_same_as_for_good(
    http: httpx.AsyncClient, rooms: Rooms
) -> None:
    await rooms.devices.register(caller(), "demo", "same", "meter", tags=["a"], name="Bed")
    await rooms.devices.register(caller(), "demo", "other", "meter", attributes={"x": 1})
    await rooms.register("theirs", by=caller(2))
    devices = [
        line("new", attributes={"floor": 2}, tags=["cold"]),
        line("same", tags=["a", "a"]),
        line("other", attributes={"x": None}),
        line("theirs"),
        line("a/b"),
        line("new"),
        line("nowhere", app="none"),
        line("tagged", tags=["a b"]),
        line("same2", name="\n"),
        line("", type=""),
    ]
    dry = await http.post(PATH, json={"devices": devices}, params={"dry_run": "true"})
    assert dry.status_code == 200
    assert rooms.devices.find("demo", "new") is None
    assert (await rooms.devices.get(caller(), "demo", "other")).attributes == {"x": 1}
    done = await http.post(PATH, json={"devices": devices})
    assert done.status_code == 201
    assert [(each["outcome"], each["field"]) for each in done.json()["items"]] == [
        ("created", None),
        ("unchanged", None),
        ("changed", None),
        ("refused", "device_id"),
        ("refused", "device_id"),
        ("refused", "device_id"),
        ("refused", "app"),
        ("refused", "tags"),
        ("refused", "name"),
        ("refused", "device_id"),
    ]
    without = [each | {"credential": None} for each in done.json()["items"]]
    assert dry.json()["items"] == without
    assert (await rooms.devices.get(caller(), "demo", "other")).attributes == {}
    new = await rooms.devices.get(caller(), "demo", "new")
    assert (new.attributes, new.tags) == ({"floor": 2}, ("cold",))


async def test_the_credential_of_a_new_device_is_its_own(
    http: httpx.AsyncClient, rooms: Rooms
) -> None:
    given = (await http.post(PATH, json={"devices": [line("d")]})).json()["items"][0]["credential"]
    known = rooms.registry.credential(hash_of(given["password"]))
    assert known is not None
    assert known.device is rooms.device("d")


async def test_a_portion_that_comes_again_changes_nothing(http: httpx.AsyncClient) -> None:
    body = {"devices": [line("d", tags=["b", "a"], attributes={"x": 1}, name="Bed 4")]}
    await http.post(PATH, json=body)
    again = (await http.post(PATH, json=body)).json()["items"][0]
    assert (again["outcome"], again["credential"]) == ("unchanged", None)


async def test_a_bad_change_of_a_device_is_refused_dry_and_for_good(
    http: httpx.AsyncClient, rooms: Rooms
) -> None:
    await rooms.register("d")
    for change in ({"tags": ["é"]}, {"attributes": {"a b": 1}}, {"name": ""}, {"type": "x" * 65}):
        for dry_run in ("true", "false"):
            body = {"devices": [line("d", **change)]}
            answer = await http.post(PATH, json=body, params={"dry_run": dry_run})
            item = answer.json()["items"][0]
            assert (item["outcome"], item["field"]) == ("refused", next(iter(change)))


@pytest.mark.parametrize(
    "devices",
    [[], [line(f"d{n}") for n in range(101)], [line("d", tag="cold")], [{"device_id": "d"}]],
)
async def test_a_portion_out_of_form_is_refused_whole(
    http: httpx.AsyncClient, rooms: Rooms, devices: list[Any]
) -> None:
    assert (await http.post(PATH, json={"devices": devices})).status_code == 422
    assert len(rooms.registry) == 0


async def test_an_import_needs_the_permission_to_write(rooms: Rooms) -> None:
    reader = Caller("account:9", 1, frozenset({"device.read"}))
    for dry_run in (True, False):
        with pytest.raises(ForbiddenError):
            await BulkImport(rooms.devices, rooms.areas).run(
                reader, [Line("demo", "d", "meter")], dry_run=dry_run
            )
    assert rooms.devices.find("demo", "d") is None
