"""Lineage: which readings came about because a chain did something.

Chains can wake each other: what one changes is a reading that wakes the next one. Such a reading is
known again by what it says. Its runs are one deeper than the run that caused it, and at MOST they
are not run. What goes through a real device comes back as that device's own word and in its own
time: that begins anew. What a chain publishes is for clients, and is no reading.
"""

from collections import OrderedDict
from typing import Any, Final

import msgspec

MOST: Final = 10  # chains that one after the other cause each other
REMEMBERED: Final = 10_000
REMEMBERED_US: Final = 60 * 1_000_000  # longer than a reading waits to be read

Key = tuple[int, str, Any]


class Lineage:
    """What chains have brought about lately; bounded in number and time."""

    def __init__(self) -> None:
        self._marks: OrderedDict[Key, tuple[int, int]] = OrderedDict()  # depth, until when

    def stored(self, device: int, metric: str, value: Any, depth: int, now: int) -> None:
        """Note that a run of this depth stores a value."""
        key = (device, metric, _form(value))
        self._marks[key] = (depth + 1, now + REMEMBERED_US)
        self._marks.move_to_end(key)
        while len(self._marks) > REMEMBERED:
            self._marks.popitem(last=False)

    def depth_of(self, device: int, metric: str, value: Any, now: int) -> int:
        """Return the depth of what this reading sets going; 0 if no chain brought it about."""
        while self._marks:
            oldest, (_, until) = next(iter(self._marks.items()))
            if until > now:
                break
            del self._marks[oldest]
        if not self._marks:  # as it is nearly always
            return 0
        return self._marks.get((device, metric, _form(value)), (0, 0))[0]


def _form(value: Any) -> Any:
    """Return a value such that it is equal once it has been stored and read."""
    if isinstance(value, (list, dict)):
        return msgspec.json.encode(value, order="deterministic")
    return value
