"""Readings over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.features.telemetry.endpoints import router
from fleetwire.features.telemetry.service import TelemetryService
from fleetwire.features.telemetry.writer import ReadingSink
from fleetwire.kit import Devices, Reading, Telemetry
from tests.fakes import accepted
from tests.features.http import serving
from tests.features.rooms import Rooms

READINGS = "/api/v1/devices/demo/d/readings"
NOON = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z


@pytest.fixture
async def http(rooms: Rooms) -> AsyncIterator[httpx.AsyncClient]:
    await rooms.register("d")
    device = rooms.device()
    sink = ReadingSink()
    items = accepted(
        *[Reading(device, "t", 36 + n / 2, "Cel", NOON + n * 60_000_000) for n in range(4)],
        Reading(device, "on", False, at=NOON),
    )
    await rooms.db.write(lambda tx: sink.write(tx, items, rooms.sequence))
    services = {Devices: rooms.devices, Telemetry: TelemetryService(rooms.db)}
    async with serving([router], services) as client:
        yield client


async def test_readings_are_read_back_a_page_at_a_time(http: httpx.AsyncClient) -> None:
    first = (await http.get(READINGS, params={"metric": "t", "limit": 3})).json()
    assert [reading["value"] for reading in first["items"]] == [37.5, 37, 36.5]
    assert first["items"][0]["at"] == "2026-01-31T12:03:00.000Z"
    rest = (
        await http.get(READINGS, params={"metric": "t", "limit": 3, "cursor": first["next_cursor"]})
    ).json()
    assert [reading["value"] for reading in rest["items"]] == [36]
    assert rest["next_cursor"] is None


async def test_a_range_is_given_in_iso_or_epoch(http: httpx.AsyncClient) -> None:
    params = {"metric": "t", "from": "2026-01-31T12:01:00Z", "to": str(NOON // 1_000_000 + 180)}
    found = (await http.get(READINGS, params=params)).json()
    assert [reading["value"] for reading in found["items"]] == [37, 36.5]
    bad = await http.get(READINGS, params={"from": "yesterday"})
    assert (bad.status_code, bad.json()["field"]) == (422, "from")


async def test_latest_and_buckets(http: httpx.AsyncClient) -> None:
    latest = (await http.get(READINGS + "/latest")).json()
    assert [(reading["metric"], reading["value"]) for reading in latest] == [
        ("on", False),
        ("t", 37.5),
    ]
    buckets = (await http.get(READINGS + "/buckets", params={"bucket": "2m"})).json()
    assert [(b["at"], b["count"], b["min"], b["max"], b["avg"]) for b in buckets] == [
        ("2026-01-31T12:00:00.000Z", 2, 36, 36.5, 36.25),
        ("2026-01-31T12:02:00.000Z", 2, 37, 37.5, 37.25),
    ]
    bad = await http.get(READINGS + "/buckets", params={"bucket": "soon"})
    assert (bad.status_code, bad.json()["field"]) == (422, "bucket")


async def test_another_organisation_gets_404(http: httpx.AsyncClient) -> None:
    for path in ("", "/latest", "/buckets?bucket=1m"):
        answer = await http.get(READINGS + path, headers={"Organization": "2"})
        assert answer.status_code == 404
