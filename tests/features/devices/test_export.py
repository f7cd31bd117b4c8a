"""What goes out as a file comes in again as it was, and is no weapon on the way."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings, strategies as st

from fleetwire.cli.device_file import portions, read
from fleetwire.errors import FleetwireError, ForbiddenError
from fleetwire.features.devices import export
from fleetwire.features.devices.bulk import BulkImport, Line
from fleetwire.features.devices.export import LINES, DeviceExport, Format
from fleetwire.features.devices.export_endpoints import router
from fleetwire.kit import Caller, DeviceRecord
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


_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
    str.isprintable
) | st.sampled_from(["=1", "'=1", "''+", "-", "'", "@a", '",\n'.strip()])
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
_said = st.fixed_dictionaries(
    {
        "device_id": _texts,
        "type": _texts,
        "name": st.none() | _texts,
        "tags": st.lists(st.sampled_from(["a", "-b", ".c", "_"]), unique=True).map(tuple),
        "area": st.none() | st.sampled_from(["=a", "'=a/b", "é/+"]),
        "attributes": st.dictionaries(st.sampled_from(["x", "y"]), _json, max_size=2),
    }
)


@settings(max_examples=60, deadline=None)
@given(fleet=st.lists(_said, min_size=1, max_size=3), format=st.sampled_from(["csv", "ndjson"]))
def test_whatever_a_device_is_called_and_carries_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, fleet: list[dict[str, Any]], format: Format
) -> None:
    records = [
        DeviceRecord(
            1, "demo", said["device_id"], 1, said["type"], said["name"], said["attributes"], "", {},
            False, None, None, None, 0, 0, said["tags"], None, said["area"],
        )
        for said in fleet
    ]  # fmt: skip

    async def pages() -> AsyncIterator[list[DeviceRecord]]:
        yield records

    async def whole() -> bytes:
        return b"".join([chunk async for chunk in LINES[format](pages())])

    file = tmp_path_factory.mktemp("export") / f"fleet.{format}"
    file.write_bytes(asyncio.run(whole()))
    read_back = [
        {
            "device_id": line["device_id"],
            "type": line["type"],
            "name": line.get("name"),
            "tags": tuple(line.get("tags", ())),
            "area": line.get("area"),
            "attributes": line["attributes"],
        }
        for line in read(file, "other")
    ]
    assert read_back == fleet
