"""What devices send, held against their types on the real road and a real database."""

import asyncio
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from fleetwire.broker.delivery import Delivery, Ticket
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.features.alarms.sinks import AlarmSink
from fleetwire.features.alarms.tables import alarms
from fleetwire.features.devices.sinks import ReportSink
from fleetwire.features.devicetypes.book import TypeBook
from fleetwire.features.devicetypes.service import DeviceTypeService
from fleetwire.features.devicetypes.sinks import RangeCheck, StateCheck
from fleetwire.features.quarantine.sink import QuarantineSqlSink
from fleetwire.features.telemetry.service import TelemetryService
from fleetwire.features.telemetry.writer import ReadingSink
from fleetwire.ingest.road import Road
from fleetwire.ingest.router import Router
from fleetwire.ingest.source import Source
from fleetwire.kit import (
    Alarm,
    App,
    Device,
    DeviceType,
    Effect,
    Metric,
    MetricRange,
    Reading,
    Report,
)
from fleetwire.protocol.packets import Publish
from tests.fakes import caller
from tests.features.rooms import Rooms

FRIDGE = DeviceType(
    "fridge",
    metrics=(
        Metric("temperature", "Cel", 2, 8, others=(MetricRange("[degF]", 35.6, 46.4),)),
        Metric("pressure", "bar", low=1),
    ),
    states=("cooling", "idle"),
)


def make_app(types: list[DeviceType] | None = None, *, flags: bool = False) -> App:
    app = App("demo", types=types or [], flags_readings=flags)

    @app.subscribe("d/{device_id}/data")
    def data(device: Device, body: dict[str, Any]) -> list[Effect]:
        if body.get("flagged"):
            reading = Reading(device, body["metric"], body["value"], flagged=True)
            return [reading, Alarm(device, "mine", "The app says so")]
        unit, at = body.get("unit", "Cel"), body.get("at")
        return [Reading(device, body.get("metric", "temperature"), body["value"], unit, at)]

    @app.subscribe("d/{device_id}/status")
    def status(device: Device, body: dict[str, Any]) -> Report:
        return Report(device, body.get("status"), {"x": 1})

    return app


class AwaitedTicket(Ticket):
    """`answer` is the reason code that the sender is given."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def release(self, reason_code: int) -> None:
        self.answer.set_result(reason_code)

    def fail(self) -> None:
        self.release(-1)


class TypedRoad:
    """A road whose readings and reports are held against types."""

    def __init__(self, rooms: Rooms, book: TypeBook, app: App) -> None:
        self.rooms = rooms
        self.source = Source(1000, lambda: None, lambda: None)
        alarm_sink = AlarmSink()
        self.road = Road(
            self.source,
            Router([app]),
            rooms.db,
            rooms.registry.find,
            {
                Reading: RangeCheck(book, ReadingSink(), alarm_sink),
                Report: StateCheck(book, ReportSink(), alarm_sink),
                Alarm: alarm_sink,
            },
            QuarantineSqlSink(),
            rooms.sequence,
            rooms.log,
            rooms.bus,
            lambda ids, at: None,
            {},
        )

    async def carry(self, *bodies: dict[str, Any]) -> None:
        """Bring messages at once and wait until each is answered."""
        work = asyncio.create_task(self.road.run())
        tickets = [AwaitedTicket() for _ in bodies]
        for body, ticket in zip(bodies, tickets, strict=True):
            part = "status" if "status" in body else "data"
            publish = Publish(f"d/d/{part}", msgspec.json.encode(body), 1, False, False, 1)
            sender = Session("c", Grant("device:demo/d", [], [], device=1))
            self.source.take(Delivery(publish, sender, 1_000_000, ticket))
        assert [await ticket.answer for ticket in tickets] == [0] * len(bodies)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def alarms(self) -> list[tuple[str, dict[str, Any]]]:
        query = select(alarms.c.name, alarms.c.detail).order_by(alarms.c.id)
        return [
            (row.name, row.detail)
            for row in await self.rooms.db.read(lambda c: c.execute(query).all())
        ]

    async def flags(self, device_id: str = "d") -> list[tuple[Any, bool]]:
        device = await self.rooms.devices.get(caller(), "demo", device_id)
        page = await TelemetryService(self.rooms.db).query(caller(), device)
        return sorted((each.value, each.flagged) for each in page.items)


@pytest.fixture
async def road(rooms: Rooms, book: TypeBook) -> TypedRoad:
    await rooms.devices.register(caller(), "demo", "d", "fridge")
    return TypedRoad(rooms, book, make_app())


async def test_a_reading_out_of_range_is_kept_flagged_and_raises_an_alarm(
    road: TypedRoad, types: DeviceTypeService
) -> None:
    await types.create(caller(), FRIDGE)
    await road.carry({"value": 5}, {"value": 2}, {"value": 8.0}, {"value": 8.5}, {"value": -20})
    assert await road.flags() == [(-20, True), (2, False), (5, False), (8, False), (8.5, True)]
    told = await road.alarms()
    assert [(name, detail["value"]) for name, detail in told] == [
        ("out_of_range", 8.5),
        ("out_of_range", -20),
    ]
    assert told[0][1] == {"metric": "temperature", "value": 8.5, "unit": "Cel", "low": 2, "high": 8}
    assert road.rooms.names.count("alarm.raised") == 2


async def test_it_is_compared_in_the_unit_it_was_sent_in_or_not_at_all(
    road: TypedRoad, types: DeviceTypeService
) -> None:
    await types.create(caller(), FRIDGE)
    await road.carry(
        {"value": 40, "unit": "[degF]"},
        {"value": 50, "unit": "[degF]"},
        {"value": 300, "unit": "K"},
        {"value": 9, "unit": ""},
        {"value": 0.5, "unit": "bar", "metric": "inlet.pressure"},
        {"value": 7000, "unit": "bar", "metric": "pressure"},
        {"value": 99, "metric": "humidity"},
        {"value": True},
        {"value": "HI"},
    )
    flagged = [detail["value"] for _, detail in await road.alarms()]
    assert flagged == [50, 9, 0.5]


async def test_what_comes_again_is_not_told_again(
    road: TypedRoad, types: DeviceTypeService
) -> None:
    await types.create(caller(), FRIDGE)
    hot = {"value": 30, "at": 1_000_000}
    await road.carry(hot)
    await road.carry(hot, {"value": 31, "at": 1_000_000})
    assert [detail["value"] for _, detail in await road.alarms()] == [30, 31]


async def test_a_change_of_the_type_counts_from_the_next_message_on(
    road: TypedRoad, types: DeviceTypeService
) -> None:
    await road.carry({"value": 30, "at": 1})
    await types.create(caller(), FRIDGE)
    await road.carry({"value": 30, "at": 2})
    wide = DeviceType("fridge", metrics=(Metric("temperature", "Cel", -50, 50),))
    await types.update(caller(), "fridge", lambda _: wide)
    await road.carry({"value": 30, "at": 3})
    assert len(await road.alarms()) == 1


async def test_another_organisations_type_of_that_name_is_nothing_to_us(
    road: TypedRoad, types: DeviceTypeService
) -> None:
    await types.create(caller(2), FRIDGE)
    await road.carry({"value": 30}, {"status": "on fire"})
    assert await road.alarms() == []
    assert await road.flags() == [(30, False)]


async def test_what_its_app_has_flagged_raises_no_second_alarm(
    road: TypedRoad, types: DeviceTypeService
) -> None:
    await types.create(caller(), FRIDGE)
    await road.carry({"value": 30, "metric": "temperature", "flagged": True})
    assert [name for name, _ in await road.alarms()] == ["mine"]


@pytest.mark.parametrize("flags", [False, True])
async def test_a_type_that_its_app_declares_is_looked_at_unless_the_app_does(
    rooms: Rooms, flags: bool
) -> None:
    await rooms.devices.register(caller(), "demo", "d", "fridge")
    app = make_app([FRIDGE], flags=flags)
    book = TypeBook([app])
    assert book.checks_ranges is not flags
    road = TypedRoad(rooms, book, app)
    await road.carry({"value": 30})
    assert len(await road.alarms()) == (0 if flags else 1)


async def test_a_state_that_is_not_declared_is_kept_and_told_once(
    road: TypedRoad, types: DeviceTypeService, rooms: Rooms
) -> None:
    await types.create(caller(), FRIDGE)
    await road.carry({"status": "idle"}, {"status": "on fire"}, {"status": "on fire"})
    assert (await rooms.devices.get(caller(), "demo", "d")).status == "on fire"
    await road.carry({"status": "on fire"}, {"status": None}, {"status": "molten"})
    told = await road.alarms()
    assert [(name, detail["state"], detail["before"]) for name, detail in told] == [
        ("undeclared_state", "on fire", "idle"),
        ("undeclared_state", "molten", "on fire"),
    ]
    assert told[0][1]["declared"] == ["cooling", "idle"]
    assert (await rooms.devices.get(caller(), "demo", "d")).status == "molten"
    assert (await rooms.devices.get(caller(), "demo", "d")).reported == {"x": 1}


async def test_an_alarm_is_stored_with_its_reading_or_neither(
    road: TypedRoad, types: DeviceTypeService, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    await types.create(caller(), FRIDGE)
    failures = iter([OperationalError("COMMIT", None, Exception("disk I/O error"))])

    def fail_once() -> None:
        for failure in failures:
            raise failure

    monkeypatch.setattr(rooms.db, "_before_commit", fail_once)
    await road.carry({"value": 30})
    assert road.road.counters.retries == 1
    assert (await road.flags(), len(await road.alarms())) == ([(30, True)], 1)
