"""Stored readings, asked for in every way."""

from typing import Any

import pytest
from sqlalchemy import event, insert, text

from fleetwire.errors import ForbiddenError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.telemetry import repository
from fleetwire.features.telemetry.service import TelemetryService
from fleetwire.features.telemetry.tables import metrics, readings
from fleetwire.features.telemetry.values import encode_value
from fleetwire.kit import DeviceRecord
from tests.fakes import caller
from tests.features.rooms import Rooms

S = 1_000_000


@pytest.fixture
def telemetry(rooms: Rooms) -> TelemetryService:
    return TelemetryService(rooms.db)


class Writer:
    """Puts readings into the table."""

    def __init__(self, rooms: Rooms, device: DeviceRecord) -> None:
        self.rooms = rooms
        self.device = device
        self.metrics: dict[tuple[str, str], int] = {}

    async def __call__(self, *values: tuple[str, Any, int], unit: str = "", flags: int = 0) -> None:
        rows = []
        for name, value, at in values:
            key = (name, unit)
            if key not in self.metrics:
                self.metrics[key] = await self.rooms.db.write(
                    lambda tx, key=key: tx.execute(  # type: ignore[misc]
                        insert(metrics).values(name=key[0], unit=key[1])
                    ).inserted_primary_key[0]
                )
            kind, number, digest, words = encode_value(value)
            rows.append(
                {
                    "id": self.rooms.sequence.take(),
                    "device": self.device.id,
                    "metric": self.metrics[key],
                    "at": at,
                    "received_at": at + 1,
                    "kind": kind,
                    "number": number,
                    "digest": digest,
                    "text": words,
                    "flags": flags,
                    "source": "{}",
                }
            )
        await self.rooms.db.write(lambda tx: tx.execute(insert(readings), rows))


@pytest.fixture
async def write(rooms: Rooms) -> Writer:
    return Writer(rooms, await rooms.register("d"))


async def test_readings_come_newest_first_with_all_they_hold(
    write: Writer, telemetry: TelemetryService
) -> None:
    await write(("t", 36.6, 2 * S), unit="Cel")
    await write(("note", "HI", 3 * S), flags=1)
    page = await telemetry.query(caller(), write.device)
    assert [(r.metric, r.value, r.unit, r.at, r.flagged) for r in page.items] == [
        ("note", "HI", "", 3 * S, True),
        ("t", 36.6, "Cel", 2 * S, False),
    ]
    assert page.items[0].received_at == 3 * S + 1
    assert page.items[0].source == "{}"
    assert page.next_cursor is None


async def test_a_metric_also_finds_its_named_values_and_nothing_that_only_looks_like_it(
    write: Writer, telemetry: TelemetryService
) -> None:
    names = ["bp", "bp.systolic", "bp.diastolic", "bp_x", "bpm", "BP.systolic", "xbp", "b%"]
    await write(*[(name, n, S) for n, name in enumerate(names)])
    page = await telemetry.query(caller(), write.device, metric="bp")
    assert sorted(r.metric for r in page.items) == ["bp", "bp.diastolic", "bp.systolic"]
    page = await telemetry.query(caller(), write.device, metric="b%")
    assert [r.metric for r in page.items] == ["b%"]


async def test_pages_neither_skip_nor_double_where_instants_are_equal(
    write: Writer, telemetry: TelemetryService
) -> None:
    await write(*[(f"m{n % 3}", n, (n // 7) * S) for n in range(40)])
    ids: list[int] = []
    cursor = None
    while True:
        page = await telemetry.query(caller(), write.device, limit=3, cursor=cursor)
        ids += [reading.id for reading in page.items]
        # What comes in between two pages is newer than both.
        await write(("m0", 1000 + len(ids), 100 * S))
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(ids) == list(range(1, 41))
    assert len(ids) == 40


async def test_a_range_includes_its_start_and_excludes_its_end(
    write: Writer, telemetry: TelemetryService
) -> None:
    await write(*[("t", n, n * S) for n in range(10)])
    page = await telemetry.query(caller(), write.device, from_at=3 * S, to_at=6 * S)
    assert [reading.value for reading in page.items] == [5, 4, 3]


async def test_latest_is_the_newest_of_each_metric(
    write: Writer, telemetry: TelemetryService
) -> None:
    await write(("a", 1, S), ("a", 2, 3 * S), ("b", False, 2 * S), ("a", 0, 2 * S))
    await write(("glucose", 90, S), unit="mg/dL")
    await write(("glucose", 5, 2 * S), unit="mmol/L")
    latest = await telemetry.latest(caller(), write.device)
    assert [(r.metric, r.value, r.unit) for r in latest] == [
        ("a", 2, ""),
        ("b", False, ""),
        ("glucose", 5, "mmol/L"),
    ]


async def test_buckets_hold_numbers_only_and_begin_at_multiples_of_their_width(
    write: Writer, telemetry: TelemetryService
) -> None:
    await write(("t", 10, 61 * S), ("t", 20.5, 119 * S), ("t", 0, 120 * S), ("t", 7, 600 * S))
    await write(("t", "HI", 62 * S), ("t", True, 63 * S), ("t", [1], 900 * S), ("note", "x", S))
    found = await telemetry.buckets(caller(), write.device, bucket_us=60 * S)
    assert [(b.at // S, b.count, b.min, b.max, b.avg) for b in found] == [
        (60, 2, 10, 20.5, 15.25),
        (120, 1, 0, 0, 0),
        (600, 1, 7, 7, 7),
    ]


async def test_buckets_are_cut_at_the_range_and_keep_the_newest(
    write: Writer, telemetry: TelemetryService
) -> None:
    await write(*[("t", n, n * S) for n in range(100)], *[("u", n, n * S) for n in range(100)])
    found = await telemetry.buckets(
        caller(), write.device, bucket_us=10 * S, metric="t", from_at=25 * S, to_at=55 * S
    )
    assert [(b.at // S, b.min, b.max) for b in found] == [
        (20, 25, 29),
        (30, 30, 39),
        (40, 40, 49),
        (50, 50, 54),
    ]
    found = await telemetry.buckets(caller(), write.device, bucket_us=10 * S, limit=4)
    assert [(b.at // S, b.metric) for b in found] == [(80, "t"), (80, "u"), (90, "t"), (90, "u")]


async def test_a_bucket_has_a_sensible_width(write: Writer, telemetry: TelemetryService) -> None:
    for width in (0, -S, 400 * 86_400 * S):
        with pytest.raises(InvalidValueError) as error:
            await telemetry.buckets(caller(), write.device, bucket_us=width)
        assert error.value.field == "bucket"


async def test_questions_are_answered_from_the_index_alone(
    rooms: Rooms, write: Writer, telemetry: TelemetryService
) -> None:
    await write(("t", 1, S), ("u", 2, S))
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "readings" in statement:
            statements.append((statement, parameters))

    event.listen(rooms.db.engine, "before_cursor_execute", note)
    await telemetry.query(caller(), write.device, metric="t")
    await telemetry.latest(caller(), write.device)
    await telemetry.buckets(caller(), write.device, bucket_us=S)
    event.remove(rooms.db.engine, "before_cursor_execute", note)
    assert statements
    with rooms.db.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)
            for row in plan:
                assert not row.detail.startswith("SCAN readings"), statement


async def test_a_device_with_endless_metrics_is_asked_for_one(
    rooms: Rooms, write: Writer, telemetry: TelemetryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MAX_METRICS", 3)
    await write(*[(f"m{n}", n, S) for n in range(4)])
    with pytest.raises(TooManyError):
        await telemetry.latest(caller(), write.device)
    assert len((await telemetry.query(caller(), write.device, metric="m2")).items) == 1


async def test_another_organisations_readings_are_not_found(
    write: Writer, telemetry: TelemetryService
) -> None:
    await write(("t", 1, S))
    stranger = caller(2)
    with pytest.raises(NotFoundError):
        await telemetry.query(stranger, write.device)
    with pytest.raises(NotFoundError):
        await telemetry.latest(stranger, write.device)
    with pytest.raises(NotFoundError):
        await telemetry.buckets(stranger, write.device, bucket_us=S)
    with pytest.raises(ForbiddenError):
        await telemetry.query(caller(permissions=frozenset({"device.read"})), write.device)


async def test_bad_limits_and_cursors_are_refused(
    write: Writer, telemetry: TelemetryService
) -> None:
    for limit in (0, -1, 1001):
        with pytest.raises(InvalidValueError) as error:
            await telemetry.query(caller(), write.device, limit=limit)
        assert error.value.field == "limit"
    with pytest.raises(InvalidValueError) as error:
        await telemetry.query(caller(), write.device, cursor="nonsense")
    assert error.value.field == "cursor"


async def test_rows_are_readable_by_plain_sql(rooms: Rooms, write: Writer) -> None:
    await write(("t", 36.6, S), unit="Cel")
    query = "SELECT m.name, r.number, m.unit FROM readings r JOIN metrics m ON m.id = r.metric"
    rows = await rooms.db.read(lambda c: c.execute(text(query)).all())
    assert [tuple(row) for row in rows] == [("t", 36.6, "Cel")]
