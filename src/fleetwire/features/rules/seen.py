"""Seen: a value of a variable, and when it was that."""

from typing import Any, NamedTuple


class Seen(NamedTuple):
    """A value, the instant that it is of, and the instant that it came."""

    value: Any
    at: int
    received_at: int
