"""Refused messages go up the road once more: what is accepted leaves, the rest says why not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from fleetwire.errors import ForbiddenError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.jobs.service import JobService
from fleetwire.features.quarantine import rerun as module
from fleetwire.features.quarantine.endpoints import router
from fleetwire.features.quarantine.rerun import Judge, Outcome, Rerun, RerunJob
from fleetwire.features.quarantine.search import RefusedMessage, Search
from fleetwire.features.quarantine.selection import Selection
from fleetwire.features.quarantine.service import QuarantineService
from fleetwire.features.quarantine.sink import QuarantineSqlSink
from fleetwire.features.telemetry.writer import ReadingSink
from fleetwire.ingest.road import Road
from fleetwire.ingest.router import Router
from fleetwire.ingest.source import Source
from fleetwire.kit import App, Device, Effect, Event, NotAcceptedError, Payload, Reading
from fleetwire.store.database import Transaction
from tests.fakes import caller, delivery_of, refused
from tests.features.http import serving
from tests.features.rooms import Rooms

ALL = Selection(search=Search())


class Body(Payload):
    value: float


def make_app() -> App:
    app = App("demo", readings_event="data", readings_topic="devices/{device_id}/data")

    @app.subscribe("devices/{device_id}/data")
    def data(device: Device, body: Body) -> list[Effect]:
        if body.value < 0:
            raise NotAcceptedError("value is below zero")
        if body.value == 666:
            return [Reading(device, "t", object())]  # type: ignore[arg-type]  # no sink can store it
        return [Reading(device, "t", body.value, "Cel")]

    @app.subscribe("devices/{device_id}/note")
    def note(device: Device, body: Body, tx: Transaction) -> Event:
        tx.execute(text("INSERT INTO notes VALUES (:v)"), {"v": body.value})
        if body.value < 0:
            raise NotAcceptedError("no such note")
        return Event("noted", device, {"value": body.value})

    return app


class FakeJudge(Judge):
    """Lets everybody publish but those it names."""

    def __init__(self) -> None:
        self.banned: set[str] = set()

    def objection(self, identity: str, client_id: str, topic: str) -> str:
        return f"{identity} may not publish to this topic" if identity in self.banned else ""


class Stand:
    """A road over a real database, and what is in quarantine beside it."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.sink = QuarantineSqlSink()
        self.judge = FakeJudge()
        self.seen: list[int] = []
        self.source = Source(1000, lambda: None, lambda: None)
        self.road = Road(
            self.source,
            Router([make_app()]),
            rooms.db,
            rooms.registry.find,
            {Reading: ReadingSink()},
            self.sink,
            rooms.sequence,
            rooms.log,
            rooms.bus,
            lambda ids, at: self.seen.extend(ids),
            {"demo": "data"},
        )
        self.audit = SqlAudit(rooms.db)
        self.quarantine = QuarantineService(rooms.db, self.sink, self.audit)
        self.jobs = JobService(rooms.db, rooms.clock)
        self.rerun = Rerun(rooms.db, self.road, self.sink, self.judge, self.audit, self.jobs)

    async def put(self, *messages: tuple[str, bytes], **more: Any) -> None:
        rows = [refused(payload, topic=topic, **more) for topic, payload in messages]
        await self.rooms.db.write(lambda tx: self.sink.write(tx, rows))

    async def carry(self, selection: Selection = ALL) -> RerunJob:
        job = await self.rerun.start(caller(), selection)
        await self.rerun.wait(job, 10)
        return job

    async def rehearsed(self, selection: Selection = ALL) -> list[Outcome]:
        return (await self.rerun.rehearse(caller(), selection)).items

    async def left(self) -> list[RefusedMessage]:
        return (await self.quarantine.list(caller())).items[::-1]

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await self.rooms.db.read(lambda c: [tuple(row) for row in c.execute(text(query))])


@pytest.fixture
async def stand(rooms: Rooms) -> AsyncIterator[Stand]:
    stand = Stand(rooms)
    await rooms.db.write(lambda tx: tx.execute(text("CREATE TABLE notes (v REAL)")))
    running = asyncio.create_task(stand.rerun.run())
    yield stand
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_rehearsal_shows_what_would_change_and_changes_nothing(stand: Stand) -> None:
    await stand.put(("devices/d/data", b'{"value": 1.5}'))
    assert [each.reason for each in await stand.rehearsed()] == [
        "Device 'd' is not registered with 'demo'"
    ]
    await stand.rooms.register("d")
    await stand.put(("devices/d/note", b'{"value": 2}'), ("devices/d/data", b"{"))
    before = await stand.left()
    first, second, third = await stand.rehearsed()
    assert first.result == "accepted"
    assert first.effects == [
        {
            "effect": "reading",
            "at": "1970-01-01T00:00:01.000Z",
            "device": "demo/d",
            "flagged": False,
            "metric": "t",
            "unit": "Cel",
            "value": 1.5,
        }
    ]
    assert (second.effects[0]["effect"], second.effects[0]["name"]) == ("event", "noted")
    assert (third.result, third.effects) == ("refused", [])
    assert "not JSON" in (third.reason or "")
    assert await stand.left() == before
    assert await stand.rows("SELECT * FROM notes") == []
    assert await stand.rows("SELECT * FROM readings") == []
    assert stand.rooms.told == []
    page = await stand.rerun.rehearse(caller(), ALL, limit=2)
    rest = await stand.rerun.rehearse(caller(), ALL, limit=2, cursor=page.next_cursor)
    assert [each.id for each in (*page.items, *rest.items)] == [1, 2, 3]
    assert rest.next_cursor is None


async def test_what_is_accepted_leaves_and_is_as_if_it_came_now(stand: Stand) -> None:
    await stand.put(
        ("devices/d/data", b'{"value": 1.5}'),
        ("devices/d/note", b'{"value": 2}'),
        ("devices/d/data", b'{"value": -1}'),
        ("devices/d/note", b'{"value": -2}'),
    )
    await stand.rooms.register("d")
    job = await stand.carry()
    assert (job.state, job.accepted, job.refused, job.looked_at) == ("done", 2, 2, 4)
    left = await stand.left()
    assert [(each.id, each.reason) for each in left] == [
        (3, "value is below zero"),
        (4, "no such note"),
    ]
    assert {each.received_at for each in left} == {1_000_000}
    assert (stand.sink.rows, stand.sink.bytes) == (2, sum(each.payload_bytes for each in left))
    assert await stand.rows("SELECT received_at, at, number FROM readings") == [
        (1_000_000, 1_000_000, 1.5)
    ]
    assert await stand.rows("SELECT v FROM notes") == [(2.0,)]
    await stand.rooms.heard("noted")
    assert [(each.name, each.received_at) for each in stand.rooms.told] == [
        ("data", 1_000_000),
        ("noted", 1_000_000),
    ]
    assert stand.seen == []  # it was long ago: nobody is there for that
    ended, began = (await stand.audit.list(caller())).items[:2]
    assert (began.action, began.detail) == ("quarantine.rerun", {"where": {}})
    assert ended.detail == {"accepted": 2, "refused": 2, "left_alone": 0}


async def test_nothing_leaves_that_was_not_stored(stand: Stand) -> None:
    await stand.put(("devices/d/data", b'{"value": 1}'))
    await stand.rooms.register("d")
    job = await stand.rerun.start(caller(), ALL)
    stand.rooms.db.is_away = True
    await stand.rerun.wait(job, 10)
    stand.rooms.db.is_away = False
    assert (job.state, job.accepted) == ("failed", 0)
    assert len(await stand.left()) == stand.sink.rows == 1
    assert await stand.rows("SELECT * FROM readings") == []
    assert (await stand.carry()).accepted == 1  # a metric it had not stored is not remembered


async def test_one_that_the_database_refuses_stays_alone(stand: Stand) -> None:
    values = [b"1", b"2", b"666", b"3"]
    await stand.put(*[("devices/d/data", b'{"value": %s}' % value) for value in values])
    await stand.rooms.register("d")
    job = await stand.carry()
    assert (job.accepted, job.refused) == (3, 1)
    (left,) = await stand.left()
    assert left.id == 3
    assert left.reason.startswith("A value has no form in JSON")


async def test_senders_have_the_rights_of_now(stand: Stand) -> None:
    await stand.put(("devices/d/data", b'{"value": 1}'))
    await stand.rooms.register("d")
    stand.judge.banned.add("device:demo/d")
    assert [each.result for each in await stand.rehearsed()] == ["refused"]
    assert (await stand.carry()).refused == 1
    (left,) = await stand.left()
    assert left.reason == "device:demo/d may not publish to this topic"
    stand.judge.banned.clear()
    assert (await stand.carry()).accepted == 1


async def test_what_was_not_kept_whole_is_left_alone(stand: Stand) -> None:
    await stand.put(("devices/d/data", b'{"value": 1}' + b" " * 70_000))
    await stand.rooms.register("d")
    assert [each.result for each in await stand.rehearsed()] == ["cut"]
    assert (await stand.carry()).left_alone == 1
    (left,) = await stand.left()
    assert left.reason == "The payload is not JSON"


async def test_many_are_carried_in_steps_beside_what_comes_now(stand: Stand) -> None:
    count = 3 * module.AT_ONCE + 7
    await stand.put(*[("devices/d/data", b'{"value": %d}' % n) for n in range(count)])
    await stand.put(("devices/d/data", b'{"value": 5000}'), organization_id=2)
    await stand.rooms.register("d")
    running = asyncio.create_task(stand.road.run())
    job = await stand.rerun.start(caller(), ALL)
    for number in range(50):
        stand.source.take(delivery_of(b'{"value": %d}' % (1000 + number), at=2_000_000 + number))
    await stand.rerun.wait(job, 20)
    stand.source.close()
    await running
    assert (job.state, job.accepted, job.looked_at) == ("done", count, count)
    assert await stand.rows("SELECT count(*) FROM readings") == [(count + 50,)]
    assert await stand.rows("SELECT organization_id FROM quarantine") == [(2,)]


async def test_what_somebody_discarded_meanwhile_is_not_carried(stand: Stand) -> None:
    await stand.put(("devices/d/data", b'{"value": 1}'), ("devices/d/data", b'{"value": 2}'))
    await stand.rooms.register("d")
    again = stand.road.again

    async def late(*words: Any) -> Any:
        stand.road.again = again  # type: ignore[method-assign]  # this once
        await stand.quarantine.discard(caller(), 1)
        return await again(*words)

    stand.road.again = late  # type: ignore[method-assign]  # to be in between
    job = await stand.carry()
    assert (job.accepted, job.left_alone) == (1, 1)
    assert await stand.rows("SELECT number FROM readings") == [(2.0,)]


async def test_who_may_not_or_asks_for_nothing_is_refused(stand: Stand) -> None:
    reader = caller(permissions=frozenset({"quarantine.read"}))
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: stand.rerun.start(reader, ALL),
        lambda: stand.rerun.rehearse(reader, ALL),
    ]
    for call in calls:
        with pytest.raises(ForbiddenError):
            await call()
    for selection in (Selection(), Selection((1,), Search()), Selection(tuple(range(1001)))):
        with pytest.raises(InvalidValueError):
            await stand.rerun.start(caller(), selection)
    job = await stand.carry()
    assert stand.rerun.get(caller(), job.id) is job
    with pytest.raises(NotFoundError):
        stand.rerun.get(caller(2), job.id)
    assert stand.rerun.jobs(caller(2)) == []


async def test_jobs_wait_in_a_bounded_line(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MOST", 2)
    stand = Stand(rooms)
    for _ in range(2):
        await stand.rerun.start(caller(), ALL)
    with pytest.raises(TooManyError):
        await stand.rerun.start(caller(), ALL)
    assert [job.state for job in stand.rerun.jobs(caller())] == ["waiting", "waiting"]


async def test_a_rerun_is_a_job_that_is_seen_by_who_may_see_quarantine(stand: Stand) -> None:
    await stand.put(("devices/d/data", b'{"value": 1}'), ("devices/d/data", b"{"))
    await stand.rooms.register("d")
    rerun = await stand.carry()
    job = await stand.jobs.get(caller(), rerun.id)
    assert (job.kind, job.state, job.done) == ("quarantine.rerun", "succeeded", 2)
    assert job.counts == {"accepted": 1, "refused": 1}
    with pytest.raises(ForbiddenError):
        await stand.jobs.get(caller(permissions=frozenset({"device.read"})), rerun.id)


async def test_what_failed_is_a_job_that_failed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(stand.rerun, "_carry_all", fail)
    rerun = await stand.carry()
    job = await stand.jobs.get(caller(), rerun.id)
    assert (rerun.state, job.state, job.error) == ("failed", "failed", "RuntimeError")


async def test_a_job_that_is_cancelled_while_it_waits_carries_nothing(rooms: Rooms) -> None:
    stand = Stand(rooms)
    await stand.put(("devices/d/data", b'{"value": 1}'))
    await rooms.register("d")
    rerun = await stand.rerun.start(caller(), ALL)
    await stand.jobs.cancel(caller(), rerun.id)
    running = asyncio.create_task(stand.rerun.run())
    await stand.rerun.wait(rerun, 10)
    running.cancel()
    assert (rerun.state, rerun.looked_at) == ("cancelled", 0)
    assert (await stand.jobs.get(caller(), rerun.id)).state == "cancelled"
    assert len(await stand.left()) == 1


@asynccontextmanager
async def over_http(stand: Stand) -> AsyncIterator[Any]:
    services = {QuarantineService: stand.quarantine, Rerun: stand.rerun}
    async with serving([router], services) as http:
        yield http


async def test_all_of_it_over_http(stand: Stand) -> None:
    path = "/api/v1/quarantine"
    await stand.put(("devices/d/data", b'{"value": 1}'), ("devices/d/data", b"{"), ("x", b""))
    await stand.rooms.register("d")
    async with over_http(stand) as http:
        where = {"where": {"filter": "devices/+/data", "to": "1970-01-02"}}
        shown = (await http.post(f"{path}/rehearse", json=where)).json()
        assert [each["result"] for each in shown["items"]] == ["accepted", "refused"]
        assert shown["next_cursor"] is None
        answer = await http.post(f"{path}/rerun", json=where, params={"wait": "10s"})
        assert answer.status_code == 202
        job = answer.json()
        assert (job["state"], job["accepted"], job["refused"]) == ("done", 1, 1)
        assert (await http.get(f"{path}/reruns/{job['id']}")).json() == job
        assert (await http.get(f"{path}/reruns")).json()["items"] == [job]
        assert (await http.get(f"{path}/reruns/none")).status_code == 404
        for bad in ({}, {"ids": [1], "where": {}}, {"where": {"filter": "#/a"}}, {"ids": [0]}):
            assert (await http.post(f"{path}/rerun", json=bad)).status_code == 422
        long = await http.post(f"{path}/rerun", json=where, params={"wait": "1h"})
        assert (long.status_code, long.json()["field"]) == (422, "wait")
        found = (await http.get(path, params={"device": "d", "text": "{"})).json()["items"]
        assert [each["id"] for each in found] == [2]
        gone = await http.post(f"{path}/discard", json={"ids": [2, 3, 4]})
        assert gone.json() == {"discarded": 2}
