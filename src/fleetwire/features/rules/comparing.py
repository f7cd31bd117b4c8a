"""How values that devices send are compared with what a chain says.

Devices send 25, "25", true, "true" or 1 for the same thing, so numbers are compared as numbers,
also where one side is text that reads as one, and true and false likewise. Other text is compared
as it stands.
"""

import math
from typing import Any

MAX_NUMBER_CHARS = 64

_TRUTHS = {"true": True, "false": False}


def number_of(value: Any) -> float | None:
    """Return the value as a number; None if it is none."""
    kind = type(value)
    if kind is int or kind is float:
        return value  # type: ignore[no-any-return]  # the line above says what it is
    if kind is bool:
        return 1.0 if value else 0.0
    if kind is str and len(value) <= MAX_NUMBER_CHARS:
        try:
            number = float(value)
        except ValueError:
            return None
        return number if math.isfinite(number) else None
    return None


def are_equal(one: Any, other: Any) -> bool:
    """Say whether two values mean the same."""
    if type(one) is type(other):
        return bool(one == other)
    if isinstance(one, bool) or isinstance(other, bool):
        truths = _truth_of(one), _truth_of(other)
        return None not in truths and truths[0] == truths[1]
    numbers = number_of(one), number_of(other)
    return None not in numbers and numbers[0] == numbers[1]


def order_of(one: str, other: str) -> int:
    """Return -1, 0 or 1 for before, equal, after, as texts are sorted by their characters."""
    return (one > other) - (one < other)


def _truth_of(value: Any) -> bool | None:
    if isinstance(value, str):
        return _TRUTHS.get(value.strip().lower())
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return bool(value)
    return None
