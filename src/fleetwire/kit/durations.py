"""Lengths of time as people write them: `10s`, `5m`, `2h`, `1d`, `1.5h`, or plain seconds."""

import re

from fleetwire.errors import InvalidValueError

_SHAPE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d|w)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def parse_duration(text: str, field: str = "duration") -> float:
    """Return the length in seconds. Raises InvalidValueError naming the field."""
    shape = _SHAPE.fullmatch(text.strip())
    if shape is None:
        raise InvalidValueError(
            f"{field} {text[:40]!r} is not a length of time such as 10s, 5m, 2h or 1d", field=field
        )
    return float(shape[1]) * _SECONDS[shape[2] or "s"]
