"""Flapping: which devices come and go so often that telling each time would hide the rest.

A device flaps from its MOST-th change within WINDOW on, until it has kept still for CALM.
"""

from collections import deque
from enum import Enum

MOST = 6
WINDOW_US = 300_000_000
CALM_US = 300_000_000


class Verdict(Enum):
    """What to make of one change."""

    PLAIN = "plain"
    BEGINS = "begins"  # it is told, and that it flaps
    QUIET = "quiet"  # it is kept, not told


class Flapping:
    """The recent changes of each device. Instants are in microseconds UTC."""

    def __init__(self) -> None:
        self._recent: dict[int, deque[int]] = {}
        self._flapping: dict[int, int] = {}  # device to its last change

    def __contains__(self, device: int) -> bool:
        return device in self._flapping

    def note(self, device: int, at: int) -> Verdict:
        """Note a change; say what to make of it."""
        if device in self._flapping:
            self._flapping[device] = at
            return Verdict.QUIET
        recent = self._recent.setdefault(device, deque(maxlen=MOST))
        recent.append(at)
        if len(recent) < MOST or at - recent[0] > WINDOW_US:
            return Verdict.PLAIN
        del self._recent[device]
        self._flapping[device] = at
        return Verdict.BEGINS

    def take_calm(self, now: int) -> list[int]:
        """Return the devices that flap no more, once; forget what is long ago."""
        for device in [d for d, seen in self._recent.items() if now - seen[-1] > WINDOW_US]:
            del self._recent[device]
        calm = [device for device, last in self._flapping.items() if now - last >= CALM_US]
        for device in calm:
            del self._flapping[device]
        return calm
