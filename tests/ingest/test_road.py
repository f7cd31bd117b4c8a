"""The road, station by station, on a real database whose disk can be made to stall or fail."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.delivery import Delivery, Ticket
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.features.accounts import tables as _accounts  # noqa: F401  # foreign keys need them
from fleetwire.features.devices.tables import device_events
from fleetwire.features.organizations import tables as _organizations  # noqa: F401
from fleetwire.features.quarantine.sink import QuarantineSqlSink
from fleetwire.features.telemetry.writer import ReadingSink
from fleetwire.ingest.events import EventBus, EventLog
from fleetwire.ingest.road import SLOW_BATCH_S, SMALLEST_BATCH, Road
from fleetwire.ingest.router import Router
from fleetwire.ingest.sequence import Sequence
from fleetwire.ingest.source import Source
from fleetwire.kit import (
    App,
    Device,
    Effect,
    Event,
    LiveEvent,
    NotAcceptedError,
    Payload,
    Raw,
    Reading,
)
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Connect, Publish
from fleetwire.store.database import Database, Transaction
from fleetwire.store.metadata import metadata
from tests.broker.conftest import FakeLink


class Disk(Database):
    """A real database whose next commits stall, or fail, when told to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.failures = 0

    def _before_commit(self) -> None:
        assert self.may_commit.wait(20)
        if self.failures:
            self.failures -= 1
            raise OperationalError("COMMIT", None, Exception("disk I/O error"))


class RecordingTicket(Ticket):
    def __init__(self, log: list[tuple[str, int]], name: str) -> None:
        self.log = log
        self.name = name

    def release(self, reason_code: int) -> None:
        self.log.append((self.name, reason_code))

    def fail(self) -> None:
        self.release(-1)


class Body(Payload):
    value: float
    at: int = 0


def make_app() -> App:
    app = App("demo", readings_event="data", readings_topic="d/{device_id}/data")

    @app.subscribe("d/{device_id}/data")
    def data(device: Device, body: Body) -> list[Effect]:
        if body.value < 0:
            raise NotAcceptedError("value is below zero", field="value")
        if body.value == 666:
            raise ZeroDivisionError
        if body.value == 667:
            msgspec.json.decode(b"what is no payload")
        return [Reading(device, "t", body.value, "Cel", body.at)]

    @app.subscribe("d/{device_id}/note")
    async def note(device: Device, body: Body, tx: Transaction) -> Event | None:
        tx.execute(text("INSERT INTO notes VALUES (:v)"), {"v": body.value})
        if body.value < 0:
            raise NotAcceptedError("no")
        return Event("noted", device, {"value": body.value})

    @app.subscribe("d/{device_id}/raw")
    def raw(device: Device, body: Raw) -> Reading:
        number = msgspec.json.decode(body, type=float)
        return Reading(device, "t", number, "Cel")

    @app.subscribe("d/{device_id}/poison")
    def poison(device: Device, body: Body) -> Reading:
        return Reading(device, "t", object())  # type: ignore[arg-type]  # what no sink can store

    return app


class House:
    def __init__(self, path: Path) -> None:
        self.disk = Disk(f"sqlite:///{path}")
        metadata.create_all(self.disk.engine)
        with self.disk.engine.begin() as connection:
            connection.execute(text("CREATE TABLE notes (value REAL)"))
        self.held: list[str] = []
        self.source = Source(
            8, lambda: self.held.append("hold"), lambda: self.held.append("resume")
        )
        self.bus = EventBus()
        self.told: list[LiveEvent] = []
        self.bus.subscribe(self.told.extend)
        self.device = Device(7, "demo", "one", 1, "thing", {})
        self.seen: list[set[int]] = []
        self.released: list[tuple[str, int]] = []
        sequence = Sequence()
        self.sink = ReadingSink()
        self.road = Road(
            self.source,
            Router([make_app()]),
            self.disk,
            lambda app, device_id: self.device if device_id == "one" else None,
            {Reading: self.sink},
            QuarantineSqlSink(),
            sequence,
            EventLog(device_events, sequence, self.bus),
            self.bus,
            lambda ids, at: self.seen.append(set(ids)),
            {"demo": "data"},
        )

    def send(
        self, payload: bytes, name: str = "m", topic: str = "d/one/data", refused: str = ""
    ) -> None:
        ticket = RecordingTicket(self.released, name)
        publish = Publish(topic, payload, 1, False, False, 1)
        sender = Session("client", Grant("device:demo/one", [], [], device=7))
        self.source.take(Delivery(publish, sender, 1_000_000, ticket, refused))

    async def finish(self) -> None:
        self.source.close()
        await asyncio.wait_for(self.road.run(), 20)

    def rows(self, sql: str) -> list[Any]:
        with self.disk.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "road.db")
    house.disk.open()
    yield house
    house.disk.may_commit.set()
    await house.disk.close()


async def test_puback_waits_for_commit(house: House) -> None:
    house.disk.may_commit.clear()
    house.send(b'{"value": 1}')
    running = asyncio.create_task(house.road.run())
    while not house.disk.engine.pool.checkedout():  # noqa: ASYNC110  # a thread, not a task
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert house.released == []
    assert house.told == []
    house.disk.may_commit.set()
    house.source.close()
    await asyncio.wait_for(running, 20)
    assert house.released == [("m", 0)]
    assert [event.name for event in house.told] == ["data"]
    assert house.rows("SELECT device, number FROM readings") == [(7, 1.0)]
    assert house.seen == [{7}]


async def test_messages_that_wait_share_one_commit(house: House) -> None:
    for number in range(100):
        house.send(b'{"value": %d}' % number, str(number))
    await house.finish()
    assert [name for name, _ in house.released] == [str(number) for number in range(100)]
    assert house.road.counters.batches == 1
    assert house.rows("SELECT count(*) FROM readings") == [(100,)]


async def test_a_failing_disk_releases_nothing_until_it_works_again(house: House) -> None:
    house.disk.failures = 3
    house.send(b'{"value": 1}')
    await house.finish()
    assert house.road.counters.retries == 3
    assert house.released == [("m", 0)]
    assert house.rows("SELECT count(*) FROM readings") == [(1,)]
    assert house.rows("SELECT name, unit FROM metrics") == [("t", "Cel")]
    assert not house.road.is_stalled


async def test_a_stalled_road_holds_the_senders(house: House) -> None:
    house.disk.may_commit.clear()
    running = asyncio.create_task(house.road.run())
    house.send(b'{"value": 1}')
    await asyncio.sleep(0.05)
    for number in range(8):
        house.send(b'{"value": %d}' % number)
    assert house.held == ["hold"]
    house.disk.may_commit.set()
    house.source.close()
    await asyncio.wait_for(running, 20)
    assert house.held == ["hold", "resume"]
    assert len(house.released) == 9


async def test_what_no_handler_accepts_is_quarantined_and_acknowledged(house: House) -> None:
    house.send(b'{"value": -1}', "below")
    house.send(b'{"value": "x"}', "type")
    house.send(b'{"value": NaN}', "nan")
    house.send(b"[" * 100_000, "deep")
    house.send(b"\xff\xfe", "binary")
    house.send(b'{"value": 666}', "broken")
    house.send(b'{"value": 667}', "broken too")  # its own decoding
    house.send(b'{"value": 1}', "unknown", topic="d/two/data")
    house.send(b'{"value": 1}', "denied", refused="x may not publish to this topic")
    house.send(b'{"value": 5}', "good")
    await house.finish()
    released = dict(house.released)
    assert released["good"] == 0
    assert all(code >= 0x80 for name, code in released.items() if name != "good")
    assert len(released) == 10
    reasons = [row[0] for row in house.rows("SELECT reason FROM quarantine ORDER BY id")]
    assert len(reasons) == 9
    assert reasons[0] == "value is below zero"
    assert "$.value" in reasons[1]
    assert reasons[6] == "The handler failed: DecodeError"
    assert "not registered" in reasons[7]
    assert reasons[8] == "x may not publish to this topic"
    assert house.rows("SELECT number FROM readings") == [(5.0,)]


async def test_what_a_handler_cannot_decode_is_the_payloads_fault(house: House) -> None:
    house.send(b'"x"', "type", topic="d/one/raw")
    house.send(b"1,", "json", topic="d/one/raw")
    house.send(b"5", "good", topic="d/one/raw")
    await house.finish()
    released = dict(house.released)
    assert released.pop("good") == 0
    assert set(released.values()) == {c.PAYLOAD_FORMAT_INVALID}
    reasons = [row[0] for row in house.rows("SELECT reason FROM quarantine ORDER BY id")]
    assert [reason[:24] for reason in reasons] == [
        "The payload does not fit",
        "The payload is not JSON:",
    ]
    assert house.rows("SELECT number FROM readings") == [(5.0,)]


async def test_who_publishes_what_he_may_not_is_told_of_once(house: House) -> None:
    told: list[tuple[str, str, str, str]] = []
    house.road.forbidden = lambda *what: told.append(what)
    for topic in ("d/two/data", "d/two/data", "d/three/data"):
        house.send(b'{"value": 1}', topic=topic, refused="not yours")
    house.send(b'{"value": -1}')  # allowed, and wrong
    await house.finish()
    assert told == [
        ("client", "device:demo/one", "", f"PUBLISH 'd/{name}/data': not yours")
        for name in ("two", "three")
    ]


async def test_a_redelivery_stores_and_tells_nothing_twice(house: House) -> None:
    house.send(b'{"value": 1, "at": 5}', "first")
    house.send(b'{"value": 1, "at": 5}', "again")
    house.send(b'{"value": 2, "at": 5}', "other value")
    await house.finish()
    assert house.rows("SELECT number FROM readings ORDER BY id") == [(1.0,), (2.0,)]
    assert len(house.told) == 2
    assert [code for _, code in house.released] == [0, 0, 0]
    assert house.sink.repeated == 1


async def test_a_handler_with_a_transaction_has_a_savepoint_of_its_own(house: House) -> None:
    house.send(b'{"value": 1}', "kept", topic="d/one/note")
    house.send(b'{"value": -1}', "undone", topic="d/one/note")
    house.send(b'{"value": 3}', "reading")
    await house.finish()
    assert house.rows("SELECT value FROM notes") == [(1.0,)]
    assert house.rows("SELECT count(*) FROM readings") == [(1,)]
    assert house.rows("SELECT count(*) FROM quarantine") == [(1,)]
    assert sorted(event.name for event in house.told) == ["data", "noted"]


async def test_a_message_the_store_refuses_is_found_and_the_others_are_stored(house: House) -> None:
    for number in range(5):
        house.send(b'{"value": %d}' % number)
    house.send(b'{"value": 1}', "poison", topic="d/one/poison")
    for number in range(5, 10):
        house.send(b'{"value": %d}' % number)
    await house.finish()
    assert house.rows("SELECT count(*) FROM readings") == [(10,)]
    assert house.rows("SELECT topic FROM quarantine") == [("d/one/poison",)]
    assert len(house.released) == 11


async def test_a_slow_batch_is_followed_by_smaller_ones_until_they_are_quick(house: House) -> None:
    road = house.road
    assert road._next_most(2000, SLOW_BATCH_S * 2) == 1000
    assert road._next_most(SMALLEST_BATCH + 1, SLOW_BATCH_S * 2) == SMALLEST_BATCH
    assert road._next_most(500, SLOW_BATCH_S / 2) == 500
    assert road._next_most(500, SLOW_BATCH_S / 8) == 1000
    assert road._next_most(1500, SLOW_BATCH_S / 8) == 2000


async def test_while_batches_are_slow_others_get_their_turn(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.ingest.road.SLOW_BATCH_S", 0.0)
    monkeypatch.setattr("fleetwire.ingest.road.SMALLEST_BATCH", 10)
    house.road._batch_messages = 40
    for number in range(100):
        house.send(b'{"value": %d}' % number, str(number))
    await house.finish()
    assert house.road.counters.batches == 6  # 40, 20, and 10 four times
    assert len(house.released) == 100


async def test_events_are_told_in_the_order_of_their_cursors(house: House) -> None:
    for number in range(20):
        house.send(
            b'{"value": %d}' % number, topic="d/one/note" if number % 3 == 0 else "d/one/data"
        )
    await house.finish()
    cursors = [event.cursor for event in house.told]
    assert cursors == sorted(set(cursors))
    assert len(cursors) == 20


def publish_run(house: House, payloads: list[bytes]) -> FakeLink:
    """Let an MQTT 5 client publish these in one read; return its link."""
    broker = Broker(Limits())
    broker.tree.add_taker("d/#", house.source)
    link = FakeLink(c.V5)
    grant = Grant("device:demo/one", ["d/#"], [], device=7)
    opened = broker.open(link, Connect(c.V5, "client", True, 60), "client", grant, 0)
    assert opened.session is not None
    topic = "d/one/data"
    run = [
        Publish(topic, payload, 1, packet_id=index)
        for index, payload in enumerate(payloads, start=1)
    ]
    broker.publish(opened.session, run, 1_000_000)
    return link


async def test_one_bad_message_in_a_run_has_its_own_reason_code(house: House) -> None:
    link = publish_run(house, [b'{"value": 1}', b'{"value": -1}', b'{"value": 3}'])
    await house.finish()
    assert link.read() == [Ack(c.PUBACK, 1), Ack(c.PUBACK, 2, 0x99), Ack(c.PUBACK, 3)]
    assert house.rows("SELECT count(*) FROM readings") == [(2,)]
    assert house.rows("SELECT count(*) FROM quarantine") == [(1,)]


async def test_a_run_cut_by_a_batch_is_answered_after_the_second_commit(house: House) -> None:
    road = house.road
    link = publish_run(house, [b'{"value": %d}' % number for number in range(5)])
    road._batch_messages = 3
    answers_at: list[int] = []
    link.wake = lambda: answers_at.append(road.counters.batches)  # type: ignore[method-assign]  # watched
    await house.finish()
    assert answers_at == [2]
    assert [packet.packet_id for packet in link.read() if isinstance(packet, Ack)] == [
        1, 2, 3, 4, 5,
    ]  # fmt: skip


async def test_a_run_is_not_answered_while_the_disk_fails(house: House) -> None:
    house.disk.failures = 2
    link = publish_run(house, [b'{"value": 1}', b'{"value": 2}'])
    answers_at: list[int] = []
    link.wake = lambda: answers_at.append(house.disk.failures)  # type: ignore[method-assign]  # watched
    await house.finish()
    assert answers_at == [0]
    assert house.rows("SELECT count(*) FROM readings") == [(2,)]
