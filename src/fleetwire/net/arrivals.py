"""Arrivals: connections that have yet to say who they come from, or to finish their handshake.

They are strangers: their number and their time are bounded, and what is logged of them too.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

import structlog

log = structlog.get_logger("fleetwire.net")

MAXIMUM = 8192  # twice what the kernel hands over at once; some 40 kB each, at most
LOG_WINDOW_S = 60.0
LOGGED_ADDRESSES = 100  # in one window


class Arrival(NamedTuple):
    """One of them; `since` is the monotonic clock's."""

    transport: asyncio.Transport
    listener: str
    remote: str
    since: float


class Arrivals:
    """All of one server, the longest here first."""

    def __init__(self, timeout_s: float, maximum: int = MAXIMUM) -> None:
        self.refused = 0
        self._timeout_s = timeout_s
        self._maximum = maximum
        self._here: OrderedDict[Hashable, Arrival] = OrderedDict()
        self._window_began = 0.0
        self._logged: set[str] = set()  # addresses, in this window
        self._left_out = 0

    def __len__(self) -> int:
        return len(self._here)

    def enter(
        self, key: Hashable, transport: asyncio.Transport, listener: str, remote: str
    ) -> None:
        """Begin to wait for one; when there are too many, the oldest is cut."""
        if len(self._here) >= self._maximum:
            self._cut(next(iter(self._here)), "too many connections are opening at once")
        self._here[key] = Arrival(transport, listener, remote, time.monotonic())

    def leave(self, key: Hashable) -> None:
        """It has arrived."""
        self._here.pop(key, None)

    def fail(self, key: Hashable, reason: str) -> None:
        """It has gone or is sent away. Without a reason nobody needs to hear of it."""
        arrival = self._here.pop(key, None)
        if arrival is not None and reason:
            self.refuse(arrival.listener, arrival.remote, reason)

    def refuse(self, listener: str, remote: str, reason: str) -> None:
        """Count it, and log the first one of each address in a minute."""
        self.refused += 1
        now = time.monotonic()
        if now - self._window_began > LOG_WINDOW_S:
            self._window_began = now
            self._logged.clear()
        address = remote.rpartition(":")[0]
        if address in self._logged or len(self._logged) >= LOGGED_ADDRESSES:
            self._left_out += 1
            return
        self._logged.add(address)
        left_out, self._left_out = self._left_out, 0
        log.warning(
            "connection refused",
            listener=listener,
            remote=remote,
            reason=reason,
            **({"more_before": left_out} if left_out else {}),
        )

    def check(self, now: float) -> None:
        """Cut those that take too long; `now` is the monotonic clock."""
        while self._here:
            key, arrival = next(iter(self._here.items()))
            if now - arrival.since <= self._timeout_s:
                return
            self._cut(key, f"no handshake within {self._timeout_s:g} s")

    def close(self) -> None:
        """Cut all of them, for the server ends."""
        while self._here:
            _, arrival = self._here.popitem()
            arrival.transport.abort()

    def _cut(self, key: Hashable, reason: str) -> None:
        transport = self._here[key].transport
        self.fail(key, reason)
        transport.abort()
