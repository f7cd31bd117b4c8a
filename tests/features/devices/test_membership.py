"""Which devices a watched group or query means, as devices and groups change."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fleetwire.errors import InvalidValueError, NotFoundError, StoreUnavailableError, TooManyError
from fleetwire.features.devices import membership as room
from fleetwire.features.devices.groups import Groups
from fleetwire.features.devices.membership import Members, Memberships
from fleetwire.features.devices.presence import Presence
from fleetwire.features.devices.sinks import ReportSink
from fleetwire.kit import Report
from fleetwire.kit.device import Device
from tests.fakes import accepted, caller
from tests.features.rooms import Rooms

SOON_S = 1.0  # what readers are promised


class Watcher:
    """Keeps who joined and who left."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def __call__(self, members: Members, joined: list[Device], left: list[Device]) -> None:
        self.told += [("joined", device.device_id) for device in joined]
        self.told += [("left", device.device_id) for device in left]
        self._news.set()

    async def until(self, *told: tuple[str, str]) -> None:
        async with asyncio.timeout(SOON_S):
            while self.told != list(told):
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def memberships(rooms: Rooms) -> AsyncIterator[Memberships]:
    memberships = Memberships(rooms.db, rooms.registry)
    running = asyncio.create_task(memberships.run())
    yield memberships
    running.cancel()


@pytest.fixture
def groups(rooms: Rooms, memberships: Memberships) -> Groups:
    return Groups(
        rooms.db, rooms.devices, rooms.audit, rooms.clock, touched=memberships.touch_group
    )


async def test_a_set_has_the_devices_of_its_organisation_that_its_query_means(
    rooms: Rooms, memberships: Memberships
) -> None:
    await rooms.devices.register(caller(), "demo", "cold", "thing", tags=["cold"])
    await rooms.devices.register(caller(2), "vending", "theirs", "thing", tags=["cold"])
    await rooms.register("warm")
    members = await memberships.watch(1, Watcher(), query="tag:cold")
    assert [device.device_id for device in members.devices.values()] == ["cold"]
    assert rooms.device("cold") in members
    assert rooms.device("warm") not in members


async def test_a_device_joins_and_leaves_as_it_changes(
    rooms: Rooms, memberships: Memberships
) -> None:
    await rooms.register("d")
    watcher = Watcher()
    members = await memberships.watch(1, watcher, query="tag:cold or attr.floor=2")
    assert not members.devices
    await rooms.devices.update(caller(), "demo", "d", tags=["cold"])
    await watcher.until(("joined", "d"))
    await rooms.devices.update(caller(), "demo", "d", tags=[], attributes={"floor": 3})
    await watcher.until(("joined", "d"), ("left", "d"))


async def test_new_devices_join_and_removed_ones_leave(
    rooms: Rooms, memberships: Memberships
) -> None:
    watcher = Watcher()
    await memberships.watch(1, watcher, query="type:thing")
    await rooms.register("d")
    await watcher.until(("joined", "d"))
    await rooms.devices.delete(caller(), "demo", "d")
    await watcher.until(("joined", "d"), ("left", "d"))


async def test_a_reported_status_counts(rooms: Rooms, memberships: Memberships) -> None:
    await rooms.register("d")
    watcher = Watcher()
    await memberships.watch(1, watcher, query="status:busy")
    sink = ReportSink(rooms.registry.touch)
    said = accepted(Report(rooms.device("d"), "busy"), at=9_000_000)
    await rooms.db.write(lambda tx: sink.write(tx, said, rooms.sequence))
    await watcher.until(("joined", "d"))


async def test_coming_and_going_counts_where_a_query_speaks_of_it(
    rooms: Rooms, memberships: Memberships
) -> None:
    await rooms.register("d")
    idle = Memberships(rooms.db, rooms.registry)  # which looks at nothing that is touched
    watcher = Watcher()
    await memberships.watch(1, watcher, query="not (type:x or connected:false)")
    spoken = await idle.watch(1, Watcher(), query="not (type:x or connected:false)")
    silent = await idle.watch(1, Watcher(), query="type:thing")
    presence = Presence(rooms.db, rooms.registry, rooms.log, rooms.clock)
    presence.told(rooms.device("d").id, True, "connect", 1)
    await presence.flush()
    assert spoken.touched
    assert not silent.touched
    await watcher.until(("joined", "d"))


async def test_a_change_that_changes_nothing_is_not_told(
    rooms: Rooms, memberships: Memberships
) -> None:
    await rooms.register("d")
    watcher = Watcher()
    await memberships.watch(1, watcher, query="type:thing and not tag:last")
    await rooms.devices.update(caller(), "demo", "d", tags=["cold"])
    await rooms.devices.update(caller(), "demo", "d", tags=["last"])
    await watcher.until(("left", "d"))


async def test_a_group_means_what_its_query_says_now(
    rooms: Rooms, memberships: Memberships, groups: Groups
) -> None:
    await rooms.devices.register(caller(), "demo", "a", "thing", tags=["a"])
    await rooms.devices.register(caller(), "demo", "b", "thing", tags=["b"])
    await groups.create(caller(), "g", "tag:a")
    watcher = Watcher()
    members = await memberships.watch(1, watcher, group="g")
    assert list(members.devices) == [rooms.device("a").id]
    await groups.update(caller(), "g", query="tag:b")
    await watcher.until(("joined", "b"), ("left", "a"))
    await groups.delete(caller(), "g")
    await watcher.until(("joined", "b"), ("left", "a"), ("left", "b"))
    with pytest.raises(NotFoundError):
        await memberships.watch(1, Watcher(), group="g")
    await groups.create(caller(), "g", "tag:a")
    await watcher.until(("joined", "b"), ("left", "a"), ("left", "b"), ("joined", "a"))


async def test_a_group_of_another_organisation_is_not_there(
    memberships: Memberships, groups: Groups
) -> None:
    await groups.create(caller(), "g", "tag:a")
    with pytest.raises(NotFoundError):
        await memberships.watch(2, Watcher(), group="g")
    assert len(memberships) == 0


async def test_many_changes_at_once_are_all_seen(
    rooms: Rooms, memberships: Memberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_TOUCHED", 3)
    watcher = Watcher()
    await memberships.watch(1, watcher, query="type:thing")
    for number in range(8):
        await rooms.register(f"d-{number}")
    await watcher.until(*(("joined", f"d-{number}") for number in range(8)))


async def test_all_of_an_organisation_are_asked_again_when_that_is_said(
    rooms: Rooms, memberships: Memberships
) -> None:
    await rooms.register("d")
    watcher = Watcher()
    members = await memberships.watch(1, watcher, query="type:thing")
    members.devices.clear()  # as if it had not been one
    memberships.touch_organization(2)
    memberships.touch_organization(1)
    await watcher.until(("joined", "d"))


async def test_watchers_of_one_query_share_a_set_which_is_forgotten_with_the_last(
    memberships: Memberships,
) -> None:
    one, two = Watcher(), Watcher()
    first = await memberships.watch(1, one, query="tag:a")
    assert await memberships.watch(1, two, query="tag:a") is first
    memberships.unwatch(first, one)
    assert len(memberships) == 1
    memberships.unwatch(first, two)
    assert len(memberships) == 0


async def test_sets_are_bounded_for_each_organisation(
    memberships: Memberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_SETS", 1)
    await memberships.watch(1, Watcher(), query="tag:a")
    await memberships.watch(1, Watcher(), query="tag:a")
    await memberships.watch(2, Watcher(), query="tag:b")
    with pytest.raises(TooManyError):
        await memberships.watch(1, Watcher(), query="tag:b")


async def test_a_fault_in_a_query_is_told_and_nothing_is_kept(memberships: Memberships) -> None:
    with pytest.raises(InvalidValueError):
        await memberships.watch(1, Watcher(), query="tag:")
    assert len(memberships) == 0


async def test_what_was_touched_while_the_database_was_away_is_asked_later(
    rooms: Rooms, memberships: Memberships, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "RETRY_S", 0.01)
    await rooms.register("d")
    watcher = Watcher()
    await memberships.watch(1, watcher, query="tag:cold")
    asked = asyncio.Event()
    read = rooms.db.read

    async def away(work: object) -> object:
        asked.set()
        raise StoreUnavailableError("away")

    monkeypatch.setattr(rooms.db, "read", away)
    await rooms.devices.update(caller(), "demo", "d", tags=["cold"])
    await asked.wait()
    monkeypatch.setattr(rooms.db, "read", read)
    await watcher.until(("joined", "d"))
