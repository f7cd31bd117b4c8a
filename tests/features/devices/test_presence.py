"""Who is there: told once, in order, and true in the table."""

import asyncio
from contextlib import suppress

import pytest

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.devices import presence as presence_module
from fleetwire.features.devices.presence import Presence
from fleetwire.kit import instants
from tests.fakes import caller, client_of
from tests.features.rooms import Rooms


@pytest.fixture
def presence(rooms: Rooms) -> Presence:
    return Presence(rooms.db, rooms.registry, rooms.log, rooms.clock)


async def test_a_device_that_connects_is_told_and_stored(rooms: Rooms, presence: Presence) -> None:
    record = await rooms.register("d")
    since_at = rooms.clock()
    presence.connected(client_of(record.id, at=since_at))
    await presence.flush()
    (event,) = rooms.told
    assert event.name == "device.connected"
    assert event.body == {
        "device_id": "d",
        "status": "online",
        "reason": "connect",
        "since": instants.iso(since_at),
    }
    stored = await rooms.devices.get(caller(), "demo", "d")
    assert stored.connected
    assert stored.connected_since_at == stored.last_seen_at == since_at


async def test_it_is_offline_only_when_its_last_connection_went(
    rooms: Rooms, presence: Presence
) -> None:
    record = await rooms.register("d")
    first, second = client_of(record.id, client_id="a"), client_of(record.id, client_id="b")
    presence.connected(first)
    presence.connected(second)
    presence.disconnected(first, "taken_over")
    presence.disconnected(first, "taken_over")
    await presence.flush()
    assert presence.is_connected(record.id)
    assert rooms.names == ["device.connected"]
    rooms.clock.advance(5)
    presence.disconnected(second, "keep_alive")
    await presence.flush()
    assert not presence.is_connected(record.id)
    assert rooms.names == ["device.connected", "device.disconnected"]
    assert rooms.told[1].body["status"] == "offline"
    assert rooms.told[1].body["reason"] == "keep_alive"
    stored = await rooms.devices.get(caller(), "demo", "d")
    assert not stored.connected
    assert stored.connected_reason == "keep_alive"
    assert stored.connected_since_at == rooms.clock()


async def test_a_storm_of_connects_costs_one_commit_and_keeps_the_order(
    rooms: Rooms, presence: Presence
) -> None:
    records = [await rooms.register(f"d{n}") for n in range(30)]
    before = rooms.db.groups_committed
    for record in records:
        client = client_of(record.id)
        presence.connected(client)
        presence.disconnected(client, "lost")
        presence.connected(client_of(record.id))
    await presence.flush()
    assert rooms.db.groups_committed == before + 1
    of_one = [event.name for event in rooms.told if event.body["device_id"] == "d7"]
    assert of_one == ["device.connected", "device.disconnected", "device.connected"]
    assert (await rooms.devices.get(caller(), "demo", "d7")).connected


async def test_changes_wait_in_order_while_the_database_is_away(
    rooms: Rooms, presence: Presence
) -> None:
    record = await rooms.register("d")
    client = client_of(record.id)
    presence.connected(client)
    rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await presence.flush()
    presence.disconnected(client, "lost")
    assert rooms.told == []
    rooms.db.is_away = False
    await presence.flush()
    assert rooms.names == ["device.connected", "device.disconnected"]


async def test_a_full_queue_keeps_what_is_true_now(
    rooms: Rooms, presence: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_module, "QUEUE_LIMIT", 10)
    record = await rooms.register("d")
    for _ in range(50):
        client = client_of(record.id)
        presence.connected(client)
        presence.disconnected(client, "lost")
    presence.connected(client_of(record.id))
    await presence.flush()
    assert len(rooms.told) <= 11
    assert rooms.told[-1].name == "device.flapping"
    assert rooms.told[-1].body["status"] == "online"
    assert (await rooms.devices.get(caller(), "demo", "d")).connected


async def test_anonymous_clients_and_removed_devices_are_nobody(
    rooms: Rooms, presence: Presence
) -> None:
    record = await rooms.register("d")
    presence.connected(client_of(0))
    client = client_of(record.id)
    presence.connected(client)
    await presence.flush()
    await rooms.devices.delete(caller(), "demo", "d")
    presence.disconnected(client, "deleted")
    presence.disconnected(client_of(0), "disconnect")
    await presence.flush()
    assert rooms.names == ["device.connected"]
    assert presence.connected_devices == 0


async def test_after_a_restart_nobody_is_connected(rooms: Rooms, presence: Presence) -> None:
    record = await rooms.register("d")
    await rooms.register("e")
    presence.connected(client_of(record.id))
    await presence.flush()
    await Presence(rooms.db, rooms.registry, rooms.log, rooms.clock).load()
    stored = await rooms.devices.get(caller(), "demo", "d")
    assert not stored.connected
    assert stored.connected_reason == "restart"
    assert rooms.names == ["device.connected", "device.disconnected"]
    assert (await rooms.devices.get(caller(), "demo", "e")).connected_reason is None


async def test_last_seen_is_stored_by_the_worker(rooms: Rooms, presence: Presence) -> None:
    one, two = await rooms.register("d"), await rooms.register("e")
    presence.seen({one.id, two.id}, 5_000_000)
    presence.seen({two.id}, 7_000_000)
    presence.connected(client_of(one.id, at=6_000_000))
    worker = asyncio.create_task(presence.run())
    await rooms.heard("device.connected")
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    await presence.flush()
    assert (await rooms.devices.get(caller(), "demo", "d")).last_seen_at == 6_000_000
    assert (await rooms.devices.get(caller(), "demo", "e")).last_seen_at == 7_000_000
