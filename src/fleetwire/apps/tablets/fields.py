"""Fields of the messages that tablets send, read the way the field writes them.

A number may be text, a truth value may be 0 or "true". Each function returns None for a field that
is missing or null, and raises NotAcceptedError naming the field that it cannot read.
"""

from collections.abc import Collection
from typing import Any

from fleetwire.kit import NotAcceptedError
from fleetwire.kit.instants import parse

MOST_INTEGER = 2**63 - 1
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}

Body = dict[str, Any]


def number(body: Body, name: str, least: float, most: float, path: str = "") -> float | None:
    """Return a number within [least, most]."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, str) and "_" not in value:
        try:
            value = float(value)
        except ValueError:
            raise _wrong(path + name, "a number", value) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(path + name, "a number", value)
    if not least <= value <= most:  # also NaN, which compares false with everything
        raise _wrong(path + name, f"between {least:g} and {most:g}", value)
    return value


def whole(
    body: Body, name: str, least: int = 0, most: int = MOST_INTEGER, path: str = ""
) -> int | None:
    """Return an integer within [least, most]; 80.0 and "80" are 80."""
    value = body.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)  # beyond 2**53 a float would round it
    elif value is not None and not (isinstance(value, int) and not isinstance(value, bool)):
        value = number(body, name, least, most, path)
        if value is None or value != int(value):
            raise _wrong(path + name, "a whole number", body.get(name))
        value = int(value)
    if value is None:
        return None
    if not least <= value <= most:
        raise _wrong(path + name, f"between {least} and {most}", value)
    return value


def truth(body: Body, name: str) -> bool | None:
    """Return a truth value."""
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return value
    found = _TRUTHS.get(str(value).strip().lower()) if isinstance(value, (int, str)) else None
    if found is None:
        raise _wrong(name, "true or false", value)
    return found


def text(body: Body, name: str, max_chars: int) -> str | None:
    """Return text, cut off at so many characters; a number is its digits."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise _wrong(name, "text", value)
    # A lone surrogate is no text that a database takes, and U+0000 none that PostgreSQL does.
    return value.encode(errors="replace").decode().replace("\0", "")[:max_chars]


def choice(body: Body, name: str, known: Collection[str], other: str) -> str | None:
    """Return one of the known words, in their capitals; `other` for a word that is none of them.

    A newer Android knows states that we do not; the rest of its message is no worse for that.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong(name, f"one of {', '.join(known)}", value)
    word = value.strip().upper()
    return word if word in known else other


def part(body: Body, name: str) -> Body:
    """Return an object inside the message, empty if there is none."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return value


def instant(body: Body, name: str, otherwise: int) -> int:
    """Return the instant of a field, in microseconds UTC. Raises InvalidValueError."""
    value = body.get(name)
    return otherwise if value is None else parse(value, name)


def _wrong(name: str, expected: str, value: object) -> NotAcceptedError:
    return NotAcceptedError(f"{name} must be {expected}, not {str(value)[:40]!r}", field=name)
