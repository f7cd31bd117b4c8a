"""What devices say of themselves, merged."""

from fleetwire.features.devices.sinks import MAX_REPORTED_BYTES, ReportSink
from fleetwire.kit import Report
from tests.fakes import accepted, caller
from tests.features.rooms import Rooms


async def report(rooms: Rooms, *reports: Report) -> None:
    sink = ReportSink()
    await rooms.db.write(
        lambda tx: sink.write(tx, accepted(*reports, at=9_000_000), rooms.sequence)
    )


async def test_unsent_fields_keep_their_last_value(rooms: Rooms) -> None:
    await rooms.register("d")
    device = rooms.device()
    await report(rooms, Report(device, "online", {"battery": 85, "signal": -45}))
    await report(rooms, Report(device, None, {"battery": 0}))
    stored = await rooms.devices.get(caller(), "demo", "d")
    assert stored.status == "online"
    assert stored.reported == {"battery": 0, "signal": -45}
    assert stored.updated_at == 9_000_000


async def test_of_many_reports_in_a_batch_the_last_word_counts(rooms: Rooms) -> None:
    await rooms.register("d")
    await rooms.register("e")
    one, two = rooms.device("d"), rooms.device("e")
    await report(
        rooms,
        Report(one, "online", {"a": 1}),
        Report(two, "idle"),
        Report(one, None, {"a": 2, "b": False}),
        Report(one, "busy"),
    )
    stored = await rooms.devices.get(caller(), "demo", "d")
    assert (stored.status, stored.reported) == ("busy", {"a": 2, "b": False})
    stored = await rooms.devices.get(caller(), "demo", "e")
    assert (stored.status, stored.reported) == ("idle", {})


async def test_what_a_device_reports_is_bounded_and_the_stalest_fields_make_room(
    rooms: Rooms,
) -> None:
    await rooms.register("d")
    device = rooms.device()
    await report(rooms, Report(device, None, {"kept": 1, "stale": "x" * 1000}))
    for n in range(60):
        await report(rooms, Report(device, None, {"kept": n, f"field-{n}": "x" * 1000}))
    reported = (await rooms.devices.get(caller(), "demo", "d")).reported
    assert reported["kept"] == 59
    assert "stale" not in reported
    assert "field-59" in reported
    assert len(str(reported)) <= MAX_REPORTED_BYTES
