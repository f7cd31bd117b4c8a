"""Connected, reporting, fresh: each with since when and why, kept and told."""

from collections.abc import Callable

import pytest

from fleetwire.errors import InvalidValueError, NotFoundError
from fleetwire.features.devices import presence_endpoints
from fleetwire.features.devices.flapping import CALM_US, MOST
from fleetwire.features.devices.presence import Presence
from fleetwire.features.devices.presence_history import prune
from fleetwire.features.devices.presence_service import Aspect, PresenceService
from fleetwire.kit import Device, instants
from tests.fakes import caller, client_of
from tests.features.http import serving
from tests.features.rooms import Rooms

MINUTE = 60_000_000


def expected(device: Device) -> int:
    return MINUTE


def make(rooms: Rooms, judge: Callable[[Device], int] = expected) -> Presence:
    return Presence(rooms.db, rooms.registry, rooms.log, rooms.clock, judge)


async def tick(presence: Presence) -> None:
    """Look at the clock and store, as the worker does every second."""
    presence.check()
    await presence.flush()


@pytest.fixture
def service(rooms: Rooms) -> PresenceService:
    return PresenceService(rooms.db, rooms.devices)


async def test_a_device_that_sends_reports_until_it_is_silent_too_long(
    rooms: Rooms, service: PresenceService
) -> None:
    presence = make(rooms)
    record = await rooms.register("d")
    began_at = rooms.clock()
    presence.connected(client_of(record.id, at=began_at))
    rooms.clock.advance(1)
    heard_at = rooms.clock()
    presence.seen([record.id], heard_at)
    rooms.clock.advance(50)
    presence.seen([record.id], rooms.clock())
    last_at = rooms.clock()
    rooms.clock.advance(59)
    await tick(presence)
    known = await service.get(caller(), "demo", "d")
    assert known.connected == Aspect(True, began_at, "connect")
    assert known.fresh == Aspect(True, heard_at, "message")
    assert known.reporting == Aspect(True, heard_at, "message")
    rooms.clock.advance(1)
    await tick(presence)
    known = await service.get(caller(), "demo", "d")
    assert known.connected.holds
    assert known.fresh == known.reporting == Aspect(False, last_at + MINUTE, "silent too long")
    assert rooms.names == ["device.connected", "device.reporting", "device.silent"]
    assert rooms.told[-1].body == {
        "device_id": "d",
        "status": "online",
        "reason": "silent too long",
        "since": instants.iso(last_at + MINUTE),
    }
    presence.seen([record.id], rooms.clock())
    await tick(presence)
    assert rooms.names[-1] == "device.reporting"


async def test_a_device_that_has_gone_reports_no_more_though_it_is_fresh(
    rooms: Rooms, service: PresenceService
) -> None:
    presence = make(rooms)
    record = await rooms.register("d")
    client = client_of(record.id, at=rooms.clock())
    presence.connected(client)
    presence.seen([record.id], rooms.clock())
    rooms.clock.advance(5)
    presence.disconnected(client, "keep_alive")
    await tick(presence)
    known = await service.get(caller(), "demo", "d")
    assert known.fresh.holds
    assert known.reporting == Aspect(False, rooms.clock(), "keep_alive")


async def test_a_device_of_which_nothing_is_expected_is_not_judged(
    rooms: Rooms, service: PresenceService
) -> None:
    presence = make(rooms, lambda device: 0)
    record = await rooms.register("d")
    presence.seen([record.id], rooms.clock())
    rooms.clock.advance(10_000)
    await tick(presence)
    known = await service.get(caller(), "demo", "d")
    assert known.fresh.holds is None
    assert known.reporting.holds is None
    assert known.connected == Aspect(False, None, "never connected")
    assert rooms.names == []


async def test_a_restart_keeps_who_is_fresh_and_finds_who_fell_silent(
    rooms: Rooms, service: PresenceService
) -> None:
    presence = make(rooms)
    quiet, busy = await rooms.register("quiet"), await rooms.register("busy")
    presence.seen([quiet.id, busy.id], rooms.clock())
    quiet_at = rooms.clock()
    rooms.clock.advance(50)
    presence.seen([busy.id], rooms.clock())
    busy_at = rooms.clock()
    await presence.flush()
    rooms.clock.advance(30)
    again = make(rooms)
    await again.load()
    fresh = (await service.get(caller(), "demo", "quiet")).fresh
    assert fresh == Aspect(False, quiet_at + MINUTE, "silent too long")
    assert (await service.get(caller(), "demo", "busy")).fresh.holds
    assert rooms.names.count("device.reporting") == 2  # and not again for who stayed fresh
    rooms.clock.advance(30)
    await tick(again)
    fresh = (await service.get(caller(), "demo", "busy")).fresh
    assert fresh == Aspect(False, busy_at + MINUTE, "silent too long")


async def test_flapping_is_told_once_and_its_end_too_with_what_is_true(
    rooms: Rooms, service: PresenceService
) -> None:
    presence = make(rooms)
    record = await rooms.register("d")
    for _ in range(MOST):
        client = client_of(record.id, at=rooms.clock())
        presence.connected(client)
        presence.disconnected(client, "lost")
    presence.connected(client_of(record.id, at=rooms.clock()))
    await tick(presence)
    assert rooms.names == ["device.connected", "device.disconnected"] * (MOST // 2) + [
        "device.flapping"
    ]
    assert (await service.get(caller(), "demo", "d")).is_flapping
    assert (await rooms.devices.get(caller(), "demo", "d")).connected  # the row is true
    rooms.clock.advance(CALM_US / 1e6)
    await tick(presence)
    assert rooms.names[-1] == "device.steady"
    assert rooms.told[-1].body["status"] == "online"
    assert not (await service.get(caller(), "demo", "d")).is_flapping
    kept = (await service.history(caller(), "demo", "d", limit=100)).items
    assert sum(change.aspect == "connected" for change in kept) == MOST


async def test_a_restart_ends_flapping(rooms: Rooms, service: PresenceService) -> None:
    presence = make(rooms)
    record = await rooms.register("d")
    for _ in range(MOST):
        client = client_of(record.id)
        presence.connected(client)
        presence.disconnected(client, "lost")
    await presence.flush()
    assert (await service.get(caller(), "demo", "d")).is_flapping
    await make(rooms).load()
    assert not (await service.get(caller(), "demo", "d")).is_flapping


async def test_another_brokers_word_counts_as_a_connection(
    rooms: Rooms, service: PresenceService
) -> None:
    presence = make(rooms)
    record = await rooms.register("d")
    presence.told(record.id, True, "connect", 5_000_000)
    presence.told(record.id, True, "connect", 6_000_000)
    assert presence.is_connected(record.id)
    assert presence.connected_devices == 1
    here = client_of(record.id)
    presence.connected(here)
    presence.told(record.id, False, "keep_alive", 7_000_000)
    assert presence.is_connected(record.id)
    presence.disconnected(here, "lost")
    await presence.flush()
    assert rooms.names == ["device.connected", "device.disconnected"]
    connected = (await service.get(caller(), "demo", "d")).connected
    assert (connected.holds, connected.reason) == (False, "lost")


async def test_history_is_paged_newest_first_and_pruned_but_for_the_last(
    rooms: Rooms, service: PresenceService
) -> None:
    presence = make(rooms)
    record = await rooms.register("d")
    presence.seen([record.id], rooms.clock())
    for reason in ("one", "two"):
        client = client_of(record.id, at=rooms.clock())
        presence.connected(client)
        rooms.clock.advance(1)
        presence.disconnected(client, reason)
    await presence.flush()
    first = await service.history(caller(), "demo", "d", limit=2)
    rest = await service.history(caller(), "demo", "d", cursor=first.next_cursor)
    assert [c.reason for c in first.items] == ["two", "connect"]
    assert [c.reason for c in rest.items] == ["one", "connect", "message"]
    assert rest.next_cursor is None
    rooms.clock.advance(1)
    assert await rooms.db.write(lambda tx: prune(tx, rooms.clock())) == 3
    left = (await service.history(caller(), "demo", "d")).items
    assert [(c.aspect, c.reason) for c in left] == [("connected", "two"), ("fresh", "message")]


async def test_presence_is_shown_to_the_devices_organisation_only(
    rooms: Rooms, service: PresenceService
) -> None:
    await rooms.register("d")
    with pytest.raises(NotFoundError):
        await service.get(caller(2), "demo", "d")
    with pytest.raises(NotFoundError):
        await service.history(caller(2), "demo", "d")
    with pytest.raises(InvalidValueError):
        await service.history(caller(), "demo", "d", cursor="?")


async def test_it_is_read_over_http(rooms: Rooms, service: PresenceService) -> None:
    record = await rooms.register("d")
    presence = make(rooms)
    presence.connected(client_of(record.id, at=1_000_000))
    await presence.flush()
    async with serving([presence_endpoints.router], {PresenceService: service}) as http:
        answer = await http.get("/api/v1/devices/demo/d/presence")
        assert answer.status_code == 200
        shown = answer.json()
        assert shown["connected"] == {
            "holds": True,
            "since": "1970-01-01T00:00:01.000Z",
            "reason": "connect",
        }
        assert shown["reporting"] == {"holds": None, "since": None, "reason": None}
        assert not shown["flapping"]
        history = (await http.get("/api/v1/devices/demo/d/presence/history")).json()
        assert [change["aspect"] for change in history["items"]] == ["connected"]
        assert history["next_cursor"] is None
        other = await http.get("/api/v1/devices/demo/d/presence", headers={"Organization": "2"})
        assert other.status_code == 404
