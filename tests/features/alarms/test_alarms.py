"""Alarms, stored and told."""

import pytest

from fleetwire.errors import ForbiddenError
from fleetwire.features.alarms.service import AlarmService
from fleetwire.features.alarms.sinks import AlarmSink
from fleetwire.kit import Alarm, Event
from tests.fakes import accepted, caller
from tests.features.rooms import Rooms


async def raise_alarms(rooms: Rooms, *alarms: Alarm) -> list[Event]:
    sink = AlarmSink()
    items = accepted(*alarms)
    events = await rooms.db.write(lambda tx: sink.write(tx, items, rooms.sequence))
    assert [entry for _, entry in events] == [entry for _, entry in items]
    return [event for event, _ in events]


async def test_an_alarm_becomes_a_row_and_an_event(rooms: Rooms) -> None:
    await rooms.register("d")
    device = rooms.device()
    (event,) = await raise_alarms(
        rooms, Alarm(device, "out_of_range", "too high", "critical", {"value": 0})
    )
    assert event.name == "alarm.raised"
    assert event.body == {
        "device_id": "d",
        "name": "out_of_range",
        "severity": "critical",
        "message": "too high",
        "detail": {"value": 0},
    }
    (alarm,) = (await AlarmService(rooms.db).list(caller())).items
    assert (alarm.device_id, alarm.severity, alarm.detail) == ("d", "critical", {"value": 0})
    assert alarm.raised_at == 1_000_000


async def test_alarms_are_listed_newest_first_filtered_and_paged(rooms: Rooms) -> None:
    await rooms.register("d")
    await rooms.register("e", app="vending")
    one, two = rooms.device("d"), rooms.device("e", app="vending")
    await raise_alarms(rooms, *[Alarm(one, f"a{n}", "m") for n in range(3)])
    await raise_alarms(rooms, Alarm(two, "b", "m", "info"))
    service = AlarmService(rooms.db)
    first = await service.list(caller(), limit=3)
    rest = await service.list(caller(), limit=3, cursor=first.next_cursor)
    assert [alarm.name for alarm in [*first.items, *rest.items]] == ["b", "a2", "a1", "a0"]
    assert rest.next_cursor is None
    assert len((await service.list(caller(), device_id="d")).items) == 3
    assert len((await service.list(caller(), severity="info")).items) == 1
    assert len((await service.list(caller(), app="vending")).items) == 1


async def test_another_organisations_alarms_are_not_seen(rooms: Rooms) -> None:
    await rooms.register("d")
    await raise_alarms(rooms, Alarm(rooms.device(), "a", "m"))
    service = AlarmService(rooms.db)
    assert (await service.list(caller(2))).items == []
    assert (await service.list(caller(2), device_id="d")).items == []
    with pytest.raises(ForbiddenError):
        await service.list(caller(permissions=frozenset()))


async def test_alarms_of_a_removed_device_stay(rooms: Rooms) -> None:
    await rooms.register("d")
    await raise_alarms(rooms, Alarm(rooms.device(), "a", "m"))
    await rooms.devices.delete(caller(), "demo", "d")
    (alarm,) = (await AlarmService(rooms.db).list(caller())).items
    assert alarm.device_id == ""
