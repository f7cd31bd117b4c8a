"""Instants are microseconds since 1970-01-01 UTC inside, ISO 8601 outside.

Devices send what they like: ISO 8601 with or without zone (none means UTC), epoch seconds or
milliseconds (or micro- or nanoseconds), as number or text. All of it is understood here.
"""

import time
from datetime import UTC, datetime, timedelta

from fleetwire.errors import InvalidValueError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MS_FIRST = 100_000_000_000  # epoch milliseconds of 1973 ...
_MS_LAST = 100_000_000_000_000  # ... and of 5138, which no other unit shares
_LATEST = 253_402_300_800_000_000  # the year 10000, past which ISO 8601 has no plain form


def now() -> int:
    """Return the wall clock in microseconds UTC."""
    return time.time_ns() // 1000


def iso(at: int) -> str:
    """Return the instant as ISO 8601 in UTC, such as `2026-01-31T12:00:00.250Z`."""
    moment = _EPOCH + timedelta(microseconds=at)
    digits = "microseconds" if at % 1000 else "milliseconds"
    return moment.replace(tzinfo=None).isoformat(timespec=digits) + "Z"


def parse(value: object, field: str = "timestamp") -> int:
    """Return the instant in microseconds UTC. Raises InvalidValueError naming the field."""
    if type(value) is int and _MS_FIRST <= value < _MS_LAST:
        return value * 1000  # what most devices send, told at once
    if isinstance(value, str):
        text = value.strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            try:
                return _from_epoch(float(text), field)
            except ValueError:
                raise InvalidValueError(
                    f"{field} {text[:40]!r} is neither ISO 8601 nor epoch seconds or milliseconds",
                    field=field,
                ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return _bounded((moment - _EPOCH) // _MICROSECOND, field)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_epoch(value, field)
    raise InvalidValueError(f"{field} must be ISO 8601 text or an epoch number", field=field)


def _from_epoch(value: float, field: str) -> int:
    # The unit is told by the size: a clock between 1973 and 5138 fits exactly one of these.
    size = abs(value)
    if size < 1e11:
        return _bounded(round(value * 1_000_000), field)
    if size < 1e14:
        return _bounded(round(value * 1000), field)
    if size < 1e17:
        return _bounded(round(value), field)
    if size < 1e20:
        return _bounded(round(value / 1000), field)
    raise InvalidValueError(f"{field} {value!r} is not a time", field=field)  # also inf and NaN


def _bounded(at: int, field: str) -> int:
    if 0 <= at < _LATEST:
        return at
    raise InvalidValueError(f"{field} is not between 1970 and 9999", field=field)
