"""Attributes as queries see them: each plain one as a text and, if it reads as one, a number.

Databases disagree on how to compare what is inside JSON; these rows they compare alike.
"""

import math
import re
from typing import Any, Final

MAX_TEXT_CHARS: Final = 200  # longer texts are kept with the device, but found by no query

_NUMBER = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?", re.ASCII)


def number_in(text: str) -> float | None:
    """Return the number that a text reads as, None if it does not."""
    if _NUMBER.fullmatch(text) is None:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def facts_of(attributes: dict[str, Any]) -> dict[str, tuple[str, float | None]]:
    """Return (text, number) of each attribute that is a text, a number, true or false."""
    facts = {name: _fact(value) for name, value in attributes.items()}
    return {name: fact for name, fact in facts.items() if fact is not None}


def _fact(value: Any) -> tuple[str, float | None] | None:
    if isinstance(value, bool):
        return ("true" if value else "false"), None
    if isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS or not value.isprintable():
        return None
    return value, number_in(value)
