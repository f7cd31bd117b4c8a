"""The live stream over a real SQLite database and a real bus."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from fleetwire.errors import ForbiddenError
from fleetwire.features.devices.tables import device_events
from fleetwire.features.telemetry.tables import readings
from fleetwire.ingest.events import EventBus, EventLog
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit import App, Caller, Device, Event, LiveEvent
from fleetwire.store.database import Database, Transaction
from fleetwire.store.metadata import metadata
from fleetwire.web.realtime.chunk import CHUNK_EVENTS as CHUNK, Encoder, chunks_of
from fleetwire.web.realtime.reader import BUFFER_CHARS, Reader
from fleetwire.web.realtime.stream import LiveStream

ALICE = Caller("account:1", 1, frozenset({"telemetry.read"}))
MINE = Device(1, "medical", "bp-1", 1, "blood_pressure_monitor", {"patient_id": "P-1"})
OTHER = Device(2, "medical", "bp-2", 1, "blood_pressure_monitor", {"patient_id": "P-2"})
FOREIGN = Device(3, "medical", "bp-3", 2, "blood_pressure_monitor", {})
TABLET = Device(4, "tablets", "t-1", 1, "tablet", {})
DEVICES = {device.id: device for device in (MINE, OTHER, FOREIGN, TABLET)}
APPS = {
    "medical": App(
        "medical",
        readings_event="device.data.received",
        readings_topic="devices/{device_id}/data",
    ),
    "tablets": App("tablets"),
}


class House:
    """The store, the bus, and what would be written by the road."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.bus = EventBus()
        self.sequence = Sequence()
        self.log = EventLog(device_events, self.sequence, self.bus)
        self.count = 0

    def live(self, **bounds: int) -> LiveStream:
        return LiveStream(self.database, self.bus, DEVICES.get, APPS, **bounds)

    async def measure(self, device: Device = MINE, values: int = 1) -> int:
        """Commit a message with so many readings and tell it; return its cursor."""
        self.count += 1
        body = {"metric_type": "m", "n": self.count, **{f"v{i}": i for i in range(values)}}
        at = 1_000_000 * self.count
        topic = f"devices/{device.device_id}/data"

        def store(tx: Transaction) -> int:
            first = self.sequence.take(values)
            rows = [
                {
                    "id": first + offset,
                    "device": device.id,
                    "metric": offset,
                    "at": at,
                    "received_at": at,
                    "kind": 0,
                    "number": 1.0,
                    "digest": 0,
                    "text": None,
                    "flags": 0,
                    "source": json.dumps(body),
                }
                for offset in range(values)
            ]
            tx.execute(insert(readings), rows)
            cursor = first + values - 1
            event = LiveEvent(cursor, device.app, device, "device.data.received", topic, body, at)
            tx.after_commit(lambda: self.bus.publish([event]))
            return cursor

        return await self.database.write(store)

    async def say(self, device: Device = MINE, name: str = "device.status") -> int:
        """Commit a durable event and tell it; return its cursor."""
        self.count += 1
        event = Event(name, device, {"status": "online", "n": self.count})

        def store(tx: Transaction) -> int:
            self.log.record(tx, [event], received_at=self.count, topic="devices/x/status")
            return self.sequence.last

        return await self.database.write(store)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    metadata.create_all(database.engine, tables=[readings, device_events])
    database.open()
    yield House(database)
    await database.close()


def everything(event: LiveEvent) -> bool:
    return True


async def take(stream: AsyncGenerator[list[LiveEvent], None], count: int) -> list[LiveEvent]:
    """Return the next `count` events of a stream."""
    found: list[LiveEvent] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            found += await anext(stream)
    assert len(found) == count
    return found


async def start(
    live: LiveStream,
    *,
    since: int | None = None,
    app: str = "medical",
    matches: Callable[[LiveEvent], bool] = everything,
) -> AsyncGenerator[list[LiveEvent], None]:
    stream = live.stream(ALICE, app=app, matches=matches, since=since)
    assert await anext(stream) == []
    return stream


def cursors(events: list[LiveEvent]) -> list[int]:
    return [event.cursor for event in events]


def shown(event: LiveEvent) -> dict[str, Any]:
    assert event.text is not None
    decoded: dict[str, Any] = json.loads(event.text)
    return decoded


async def test_events_come_as_they_are_committed(house: House) -> None:
    await house.measure()
    async with aclosing(await start(house.live())) as stream:
        cursor = await house.measure(values=3)
        (event,) = await take(stream, 1)
        said = await house.say()
        assert cursors([event, *await take(stream, 1)]) == [cursor, said]
    assert shown(event) == {
        "metric_type": "m",
        "n": 2,
        "v0": 0,
        "v1": 1,
        "v2": 2,
        "type": "device.data.received",
        "topic": "devices/bp-1/data",
        "received_at": "1970-01-01T00:00:02.000Z",
        "cursor": cursor,
    }


async def test_a_stored_event_reads_as_it_did_live(house: House) -> None:
    async with aclosing(await start(house.live())) as stream:
        await house.measure(values=2)
        await house.say()
        heard = await take(stream, 2)
    async with aclosing(await start(house.live(), since=0)) as stream:
        again = await take(stream, 2)
    assert [event.text for event in again] == [event.text for event in heard]


@pytest.mark.parametrize("page_rows", [2, 3, 5, 2000])
async def test_resuming_at_any_cursor_gives_every_later_event_once(
    house: House, page_rows: int
) -> None:
    stored = []
    for number in range(12):
        stored.append(await house.measure(values=1 + number % 2))
        if number % 3 == 0:
            stored.append(await house.say())
        await house.measure(FOREIGN)
    for place, since in enumerate([0, *stored]):
        async with aclosing(await start(house.live(page_rows=page_rows), since=since)) as stream:
            if place < len(stored):
                assert cursors(await take(stream, len(stored) - place)) == stored[place:]
            fresh = await house.measure()
            assert cursors(await take(stream, 1)) == [fresh]
        stored.append(fresh)


async def test_a_message_larger_than_a_page_is_not_lost(house: House) -> None:
    cursor = await house.measure(values=7)
    following = await house.measure()
    async with aclosing(await start(house.live(page_rows=3), since=0)) as stream:
        found: list[int] = []
        while following not in found:
            found += cursors(await anext(stream))
    assert cursor in found
    assert found == sorted(set(found))


async def test_what_commits_while_the_past_is_read_comes_once(house: House) -> None:
    stored = [await house.measure() for _ in range(20)]
    live = house.live(page_rows=4)
    async with aclosing(await start(live, since=0)) as stream:
        found = cursors(await anext(stream))
        while len(found) < 40:
            if len(stored) < 40:
                stored.append(await house.measure())
                stored.append(await house.say())
            found += cursors(await anext(stream))
    assert found == stored


async def test_writers_and_readers_at_once_lose_and_double_nothing(house: House) -> None:
    total = 300
    readers = []

    async def write() -> None:
        for number in range(total):
            await (house.say() if number % 5 == 0 else house.measure(values=1 + number % 3))

    async def read(since: int) -> list[int]:
        live = house.live(page_rows=7, buffer_events=5)
        async with aclosing(await start(live, since=since)) as stream:
            found: list[int] = []
            while len(found) < total:
                found += cursors(await anext(stream))
                await asyncio.sleep(0)
            return found

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        readers = [group.create_task(read(0)) for _ in range(3)]
        group.create_task(write())
    first = readers[0].result()
    assert first == sorted(set(first))
    assert all(reader.result() == first for reader in readers)


async def test_a_reader_that_falls_behind_is_served_from_the_store(house: House) -> None:
    live = house.live(buffer_events=10)
    async with aclosing(await start(live)) as stream:
        before = await house.measure()
        assert cursors(await take(stream, 1)) == [before]
        stored = [await house.measure() for _ in range(25)]
        assert cursors(await take(stream, 25)) == stored
        fresh = await house.measure()
        assert cursors(await take(stream, 1)) == [fresh]


async def test_falling_behind_before_the_first_event_was_taken_skips_none(house: House) -> None:
    await house.measure()
    async with aclosing(await start(house.live(buffer_events=10))) as stream:
        stored = [await house.measure() for _ in range(25)]
        assert cursors(await take(stream, 25)) == stored


def test_large_events_fill_the_buffer_by_their_size() -> None:
    reader = Reader()
    third = BUFFER_CHARS // 3

    def hear(*cursors: int) -> None:
        body = {"a": "a" * third}
        events = [LiveEvent(n, "medical", MINE, "x", "t", body, 0) for n in cursors]
        for chunk in chunks_of(events, Encoder().frame):
            reader.hear(chunk)

    hear(7, 8)
    assert reader.overflowed_after is None
    hear(9)
    assert reader.overflowed_after == 6


async def test_a_long_burst_is_handed_on_in_chunks(house: House) -> None:
    async with aclosing(await start(house.live())) as stream:
        event = LiveEvent(1, "medical", MINE, "x", "t", {}, 0)
        house.bus.publish([event] * (CHUNK + 1))
        assert len(await anext(stream)) == CHUNK
        assert len(await anext(stream)) == 1


async def test_only_the_callers_organisation_and_app_are_seen(house: House) -> None:
    await house.measure(FOREIGN)
    await house.say(FOREIGN)
    await house.say(TABLET)
    async with aclosing(await start(house.live(), since=0)) as stream:
        await house.measure(FOREIGN)
        await house.say(FOREIGN)
        await house.say(TABLET)
        own = await house.measure()
        assert cursors(await take(stream, 1)) == [own]
    async with aclosing(await start(house.live(), since=0, app="tablets")) as stream:
        assert {event.device for event in await take(stream, 2)} == {TABLET}


async def test_a_filter_holds_for_the_past_and_for_what_is_new(house: House) -> None:
    def about_other(event: LiveEvent) -> bool:
        return event.device is OTHER

    await house.measure(MINE)
    stored = await house.measure(OTHER)
    stream = await start(house.live(), since=0, matches=about_other)
    async with aclosing(stream):
        await house.measure(MINE)
        fresh = await house.say(OTHER)
        assert cursors(await take(stream, 2)) == [stored, fresh]


async def test_an_event_is_encoded_once_for_all_readers(house: House) -> None:
    live = house.live()
    async with aclosing(await start(live)) as one, aclosing(await start(live)) as two:
        await house.measure()
        (first,) = await take(one, 1)
        (second,) = await take(two, 1)
    assert first is second
    assert first.text is not None


async def test_a_batch_that_was_stored_before_anyone_listened_is_not_missed(house: House) -> None:
    """The road makes no events while nobody listens, and its batch may commit a moment later."""
    commit = asyncio.Event()
    loop = asyncio.get_running_loop()
    reached = asyncio.Event()
    gate = house.database

    def stall() -> None:
        loop.call_soon_threadsafe(reached.set)
        asyncio.run_coroutine_threadsafe(commit.wait(), loop).result()

    gate._before_commit = stall  # type: ignore[method-assign]  # the seam for slow disks
    row = {
        "id": house.sequence.take(),
        "device": MINE.id,
        "metric": 1,
        "at": 1,
        "received_at": 1,
        "kind": 0,
        "number": 1.0,
        "digest": 0,
        "text": None,
        "flags": 0,
        "source": "{}",
    }
    storing = asyncio.create_task(gate.write(lambda tx: tx.execute(insert(readings), [row])))
    await reached.wait()
    starting = asyncio.create_task(start(house.live(), since=0))
    await asyncio.sleep(0)
    listens_too_early = starting.done()
    commit.set()
    await storing
    assert not listens_too_early
    async with aclosing(await starting) as stream:
        assert cursors(await take(stream, 1)) == [1]


async def test_leaving_takes_the_reader_off_the_bus(house: House) -> None:
    stream = await start(house.live())
    assert house.bus.has_listeners
    await stream.aclose()
    assert not house.bus.has_listeners


async def test_a_reader_that_is_cancelled_leaves_the_bus(house: House) -> None:
    stream = await start(house.live())
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not house.bus.has_listeners


async def test_following_needs_the_permission(house: House) -> None:
    nobody = Caller("account:2", 1, frozenset())
    with pytest.raises(ForbiddenError):
        house.live().stream(nobody, app="medical", matches=everything)
    assert not house.bus.has_listeners


@pytest.mark.parametrize(
    ("source", "body"),
    [("17", {"value": 17}), ("not json", {"value": "not json"}), (None, {})],
)
async def test_a_message_that_is_no_object_is_told_all_the_same(
    house: House, source: str | None, body: dict[str, Any]
) -> None:
    row = {
        "id": house.sequence.take(),
        "device": MINE.id,
        "metric": 1,
        "at": 1,
        "received_at": 1,
        "kind": 0,
        "number": 1.0,
        "digest": 0,
        "text": None,
        "flags": 0,
        "source": source,
    }
    await house.database.write(lambda tx: tx.execute(insert(readings), [row]))
    async with aclosing(await start(house.live(), since=0)) as stream:
        (event,) = await take(stream, 1)
    assert event.body == body
