"""What goes out as a file comes in again as it was, and is no weapon on the way."""

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetwire.cli.device_file import portions, read
from fleetwire.errors import FleetwireError, ForbiddenError
from fleetwire.features.devices import export
from fleetwire.features.devices.bulk import BulkImport, Line
from fleetwire.features.devices.export import DeviceExport
from fleetwire.features.devices.export_endpoints import router
from fleetwire.kit import Caller
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms, open_rooms

PATH = "/api/v1/devices/export"
FLEET: list[dict[str, Any]] = [
    {"device_id": "plain", "type": "meter"},
    {
        "device_id": "=cmd|' C calc'!A0",
        "type": "@SUM(1)",
        "name": "-1+1",
        "tags": ["-cold", "b", ".c"],
        "attributes": {"floor": 2, "share": 0.1, "text": "2", "open": True, "deep": {"a": [None]}},
    },
    {"device_id": "'=quoted", "type": "''+x", "name": "'plain", "attributes": {"a": "=x"}},
    {"device_id": 'q"uo,te; é😀', "type": "meter", "name": 'a "b", c', "area": "=Clinic/+2"},
    {
        "device_id": "lines",
        "type": "meter",
        "area": "=Clinic",
        "attributes": {"t": "a\nb\r\n\t", "half": "\ud800", "big": 2**70, "s": "'"},
    },
]


@pytest.fixture
async def http(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    services = {DeviceExport: DeviceExport(rooms.devices, rooms.audit)}
    async with serving([router], services) as client:
        yield client


async def fill(rooms: Rooms) -> None:
    for device in FLEET:
        said = dict(device)
        path = said.pop("area", None)
        area_id = None if path is None else (await rooms.areas.ensure(caller(), path)).id
        await rooms.devices.register(caller(), "demo", **said, area_id=area_id)


async def everything(rooms: Rooms) -> list[tuple[Any, ...]]:
    page = await rooms.devices.list(caller(), None, limit=1000)
    return [
        (each.app, each.device_id, each.type, each.name, each.attributes, each.tags, each.area)
        for each in page.items
    ]


@pytest.mark.parametrize("format", ["csv", "json", "ndjson"])
async def test_what_was_given_out_comes_into_an_empty_house_as_it_was(
    http: httpx.AsyncClient,
    rooms: Rooms,
    format: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    await fill(rooms)
    answer = await http.get(PATH, params={"format": format})
    assert answer.status_code == 200
    (tmp_path / f"fleet.{format}").write_bytes(answer.content)
    lines = [Line(**line) for line in read(tmp_path / f"fleet.{format}", "vending")]
    async with open_rooms(tmp_path / "empty.db") as empty:
        bulk = BulkImport(empty.devices, empty.areas)
        for outcome in ("created", "unchanged"):
            done = await bulk.run(caller(), lines, dry_run=False)
            assert [each.outcome for each in done] == [outcome] * len(FLEET)
        assert await everything(empty) == await everything(rooms)


async def test_no_cell_begins_as_a_formula_does(http: httpx.AsyncClient, rooms: Rooms) -> None:
    await fill(rooms)
    text = (await http.get(PATH, params={"format": "csv"})).text
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert len(cells) == 7 * (len(FLEET) + 1)
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []


async def test_only_what_is_meant_and_ones_own_is_given_out(
    http: httpx.AsyncClient, rooms: Rooms
) -> None:
    await fill(rooms)
    await rooms.register("theirs", by=caller(2))
    await rooms.register("machine", app="vending")

    async def names(**asked: str) -> list[str]:
        answer = await http.get(PATH, params=asked)
        return [json.loads(line)["device_id"] for line in answer.text.splitlines()]

    assert await names(query='area:"=Clinic"') == [FLEET[3]["device_id"], "lines"]
    assert await names(app="vending") == ["machine"]
    assert "theirs" not in await names()
    assert [action for _, action, _ in rooms.audit.records].count("devices.exported") == 3


@pytest.mark.parametrize(("format", "text"), [("json", "[]\n"), ("ndjson", "")])
async def test_an_empty_house_is_an_empty_list(
    http: httpx.AsyncClient, format: str, text: str
) -> None:
    assert (await http.get(PATH, params={"format": format})).text == text


async def test_a_fault_in_the_query_is_told_before_anything_is_sent(
    http: httpx.AsyncClient, rooms: Rooms
) -> None:
    refused = await http.get(PATH, params={"query": "tag:"})
    assert (refused.status_code, refused.json()["field"]) == (422, "query")
    assert rooms.audit.records == []
    nobody = Caller("account:9", 1, frozenset())
    with pytest.raises(ForbiddenError, match=r"device\.read"):
        await DeviceExport(rooms.devices, rooms.audit).pages(nobody, app=None, query=None)


async def test_areas_of_an_import_are_made_and_a_refused_line_makes_none(rooms: Rooms) -> None:
    bulk = BulkImport(rooms.devices, rooms.areas)
    lines = [
        Line("demo", "a", "meter", area="Clinic/Ward"),
        Line("demo", "b/", "meter", area="Other"),
        Line("demo", "c", "meter", area="Clinic//Ward"),
        Line("demo", "d", "meter", area=""),
    ]
    for dry_run in (True, False):
        done = await bulk.run(caller(), lines, dry_run=dry_run)
        assert [(each.outcome, each.field) for each in done] == [
            ("created", None),
            ("refused", "device_id"),
            ("refused", "area"),
            ("created", None),
        ]
        paths = [area.path for area in (await rooms.areas.list(caller())).items]
        assert paths == ([] if dry_run else ["Clinic", "Clinic/Ward"])
    moved = Line("demo", "a", "meter", area="Clinic")
    out = Line("demo", "a", "meter", area="")
    for line, area in ((moved, "Clinic"), (Line("demo", "a", "meter"), "Clinic"), (out, None)):
        await bulk.run(caller(), [line], dry_run=False)
        assert (await rooms.devices.get(caller(), "demo", "a")).area == area


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("f.csv", 'device_id,type,attributes\nd,t,"[1]"\n', "line 2: attributes must be a JSON"),
        ("f.csv", "device_id,type,attributes\nd,t,{\n", "line 2: attributes is no JSON"),
        ("f.ndjson", '{"device_id":"d"}\n{\n', "line 2, is no JSON"),
        ("f.jsonl", "[]\n", "line 1, must be an object"),
    ],
)
def test_a_file_out_of_form_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FleetwireError, match=words):
        read(tmp_path / name, "demo")


def test_no_portion_is_larger_than_a_body_may_be() -> None:
    lines = [{"device_id": str(number), "attributes": {"x": "y" * 15_000}} for number in range(120)]
    found = list(portions(lines, 100))
    assert [line for portion in found for line in portion] == lines
    assert all(len(json.dumps(portion)) < 600 * 1024 for portion in found)
    assert [len(each) for each in portions(lines[:3] * 40, 2)] == [2] * 60
