"""Cron: five fields, read on the clock of a time zone.

    minute  hour  day-of-month  month  day-of-week
    0-59    0-23  1-31          1-12   0-7 (0 and 7 are Sunday), or JAN-DEC and SUN-SAT

Each field is `*`, a number, a range `1-5`, a list `1,15`, or a step `*/10`, `8-18/2`. As in every
cron, a day fits if one of the two day fields does where both are given. `@hourly`, `@daily`,
`@weekly`, `@monthly` and `@yearly` stand for what they say.

When the clocks go forward, what falls into the hour that is left out comes at its end; when they go
back, what falls into the hour that comes twice comes the first time. What is due in every hour
keeps its beat through both.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from fleetwire.errors import InvalidValueError

MAX_CHARS: Final = 200
MAX_DAYS: Final = 366 * 8 + 2  # 29 February is at most eight years away

_SHORT: Final = MappingProxyType(
    {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
    }
)
_MONTHS: Final = (
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
)  # fmt: skip
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Cron:
    """When something is due again and again."""

    def __init__(self, text: str, timezone: str, field: str = "schedule") -> None:
        """Raise InvalidValueError naming the part at fault."""
        where = f"{field}.cron"
        parts = _SHORT.get(text.strip().lower(), text).split()
        if len(text) > MAX_CHARS or len(parts) != 5:
            raise InvalidValueError(
                "cron has five fields, such as `0 6 * * MON-FRI` for six o'clock on weekdays",
                field=where,
            )
        self._minutes = _numbers(parts[0], 0, 59, (), where)
        self._hours = _numbers(parts[1], 0, 23, (), where)
        self._days = frozenset(_numbers(parts[2], 1, 31, (), where))
        self._months = frozenset(_numbers(parts[3], 1, 12, _MONTHS, where))
        self._weekdays = frozenset(day % 7 for day in _numbers(parts[4], 0, 7, _DAYS, where))
        self._either = parts[2][0] != "*" and parts[4][0] != "*"
        try:
            self._zone = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            raise InvalidValueError(
                f"{timezone[:40]!r} is no time zone such as Europe/Berlin or UTC",
                field=f"{field}.timezone",
            ) from None
        if self.next_after(_since_epoch(datetime.now(UTC))) is None:
            raise InvalidValueError("no such day ever comes", field=where)

    def next_after(self, at: int) -> int | None:
        """Return the first instant after `at` that fits, in microseconds UTC; None if none does."""
        local = (_EPOCH + timedelta(microseconds=at)).astimezone(self._zone)
        # From the day before: at the end of a skipped hour something of yesterday may be due.
        day = local.date() - timedelta(days=1)
        for _ in range(MAX_DAYS):
            if self._fits(day):
                found = self._first_on(day, at)
                if found is not None:
                    return found
            try:
                day += timedelta(days=1)
            except OverflowError:
                return None
        return None

    def _first_on(self, day: date, after: int) -> int | None:
        is_every_hour = len(self._hours) == 24
        for hour in self._hours:
            last = datetime.combine(day, time(hour, self._minutes[-1]))
            if is_every_hour:
                for fold in (0, 1):
                    for minute in self._minutes:
                        due = _shown_at(last.replace(minute=minute, fold=fold), self._zone)
                        if due is not None and due > after:
                            return due
            elif _instant(last, self._zone) > after:
                for minute in self._minutes:
                    due = _instant(last.replace(minute=minute), self._zone)
                    if due > after:
                        return due
        return None

    def _fits(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        by_date = day.day in self._days
        by_weekday = day.isoweekday() % 7 in self._weekdays
        return by_date or by_weekday if self._either else by_date and by_weekday


def _shown_at(wall: datetime, zone: ZoneInfo) -> int | None:
    """Return when a clock on the wall shows this, for the fold's time; None if it never does."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None, fold=0) != wall.replace(fold=0):
        return None
    return _since_epoch(moment)


def _instant(wall: datetime, zone: ZoneInfo) -> int:
    """Return when a clock on the wall first shows this; the end of the gap if it never does."""
    shown_at = _shown_at(wall, zone)
    if shown_at is not None:
        return shown_at
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    # In a gap the two folds are the offsets before and after it: it ends where they change.
    earlier = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    low, high = sorted((earlier, moment))
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return _since_epoch(high.replace(microsecond=0))


def _since_epoch(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _numbers(text: str, low: int, high: int, names: Sequence[str], field: str) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, 1, high, (), field) if slash else 1
        if span == "*":
            first, last = low, high
        else:
            first_text, dash, last_text = span.partition("-")
            first = _number(first_text, low, high, names, field)
            last = _number(last_text, low, high, names, field) if dash else first
            if slash and not dash:
                last = high  # 5/15 is 5-59/15
        if first > last:
            raise InvalidValueError(f"{part!r} runs backwards", field=field)
        found.update(range(first, last + 1, step))
    return sorted(found)


def _number(text: str, low: int, high: int, names: Sequence[str], field: str) -> int:
    if text.upper() in names:
        return names.index(text.upper()) + (1 if names is _MONTHS else 0)
    if not (text.isascii() and text.isdigit()) or len(text) > 3 or not low <= int(text) <= high:
        raise InvalidValueError(f"{text[:20]!r} is not {low} to {high}", field=field)
    return int(text)
