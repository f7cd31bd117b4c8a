"""Freshness: whose last message is not older than it may be.

A device is judged if a setting says how often it is expected to send.
"""

import heapq
from collections.abc import Callable

from fleetwire.kit.device import Device


class Freshness:
    """The last message of each device that is fresh. Instants are in microseconds UTC."""

    def __init__(self, interval_us: Callable[[Device], int]) -> None:
        self._interval_us = interval_us
        self._last: dict[int, int] = {}
        self._intervals: dict[int, int] = {}
        self._due: list[tuple[int, int]] = []

    def interval_us(self, device: Device) -> int:
        """Return how old a device's last message may be, 0 = it is not judged."""
        return self._interval_us(device)

    def heard(self, device: Device, at: int) -> bool:
        """Note a message; say whether the device was not fresh before."""
        last = self._last.get(device.id)
        if last is not None:
            self._last[device.id] = max(at, last)
            return False
        interval = self._interval_us(device)
        if not interval:
            return False
        self._last[device.id] = at
        self._intervals[device.id] = interval
        heapq.heappush(self._due, (at + interval, device.id))
        return True

    def take_silent(self, now: int) -> list[tuple[int, int]]:
        """Return (device, since when) of those whose last message has become too old, once."""
        silent: list[tuple[int, int]] = []
        while self._due and self._due[0][0] <= now:
            _, device = heapq.heappop(self._due)
            old_at = self._last[device] + self._intervals[device]
            if old_at > now:
                heapq.heappush(self._due, (old_at, device))
            else:
                del self._last[device], self._intervals[device]
                silent.append((device, old_at))
        return silent
