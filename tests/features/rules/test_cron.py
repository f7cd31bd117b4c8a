"""When a schedule is due, also where the clocks change."""

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.features.rules.cron import Cron
from fleetwire.kit import instants


def due(cron: str, zone: str, after: str, count: int) -> list[str]:
    schedule, at, found = Cron(cron, zone), instants.parse(after), []
    for _ in range(count):
        following = schedule.next_after(at)
        assert following is not None
        at = following
        found.append(instants.iso(at)[:16])
    return found


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("*/15 * * * *", "2026-01-31T12:01:00Z", ["2026-01-31T12:15", "2026-01-31T12:30"]),
        ("0 6 * * MON-FRI", "2026-01-30T07:00:00Z", ["2026-02-02T06:00", "2026-02-03T06:00"]),
        ("0 0 29 2 *", "2026-01-31T00:00:00Z", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 13 * FRI", "2026-02-07T00:00:00Z", ["2026-02-13T00:00", "2026-02-20T00:00"]),
        ("5/20 8-10/2 * * *", "2026-01-31T00:00:00Z", ["2026-01-31T08:05", "2026-01-31T08:25"]),
        ("0 0 * * 7", "2026-01-31T12:00:00Z", ["2026-02-01T00:00", "2026-02-08T00:00"]),
        ("@monthly", "2026-01-31T12:00:00Z", ["2026-02-01T00:00", "2026-03-01T00:00"]),
        ("30 23 31 DEC *", "2026-01-31T12:00:00Z", ["2026-12-31T23:30", "2027-12-31T23:30"]),
    ],
)
def test_when_it_is_due(cron: str, after: str, expected: list[str]) -> None:
    assert due(cron, "UTC", after, 2) == expected


def test_it_is_read_on_the_clock_of_its_zone() -> None:
    assert due("0 6 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2) == [
        "2026-03-08T10:00",  # the clocks went forward in this night
        "2026-03-09T10:00",
    ]


def test_an_hour_that_is_left_out_is_made_up_for_at_its_end() -> None:
    assert due("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2) == [
        "2026-03-29T01:00",
        "2026-03-30T00:30",
    ]


def test_an_hour_that_comes_twice_is_kept_once() -> None:
    assert due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2) == [
        "2026-10-25T00:30",
        "2026-10-26T01:30",
    ]


def test_what_is_due_every_hour_keeps_its_beat() -> None:
    assert due("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:59:00Z", 5) == [
        "2026-10-25T00:00",
        "2026-10-25T00:30",
        "2026-10-25T01:00",
        "2026-10-25T01:30",
        "2026-10-25T02:00",
    ]


@pytest.mark.parametrize(
    ("cron", "zone", "field"),
    [
        ("* * * *", "UTC", "schedule.cron"),
        ("60 * * * *", "UTC", "schedule.cron"),
        ("5-1 * * * *", "UTC", "schedule.cron"),
        ("*/0 * * * *", "UTC", "schedule.cron"),
        ("0 0 30 2 *", "UTC", "schedule.cron"),
        ("x * * * *", "UTC", "schedule.cron"),
        ("1, * * * *", "UTC", "schedule.cron"),
        ("* " * 200, "UTC", "schedule.cron"),
        ("* * * * *", "Mars/Olympus", "schedule.timezone"),
        ("* * * * *", "../../etc/passwd", "schedule.timezone"),
        ("* * * * *", "", "schedule.timezone"),
    ],
)
def test_what_is_no_schedule_is_refused_by_name(cron: str, zone: str, field: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        Cron(cron, zone)
    assert refused.value.field == field
