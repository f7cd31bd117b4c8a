"""Meter: how much one client may send in a second, and how long it rests when it sent more.

A client over its rate is not refused anything: it is not read for a while. What it sends meanwhile
waits in its own socket, and TCP tells it to slow down.
"""

import math
from dataclasses import dataclass

SMALLEST_READ = 1024  # below this, reading itself would be most of the work
SMALL_MESSAGE = 16  # bytes of a message with a short topic and payload


class TokenBucket:
    """Credit that grows by `rate` per second up to `burst`, and is full at first.

    `now` is in seconds of any clock that does not run backwards.
    """

    __slots__ = ("_at", "_credit", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = burst
        self._credit = burst
        self._at = -math.inf  # when the credit was counted last

    def credit(self, now: float) -> float:
        """Return the credit there is; below 0 what is owed."""
        grown = self._credit + (now - self._at) * self.rate
        return grown if grown < self.burst else self.burst

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take the amount if there is credit for all of it; say whether there was."""
        credit = self.credit(now)
        if credit < amount:
            return False
        self._credit = credit - amount
        self._at = now
        return True

    def spend(self, now: float, amount: float) -> float:
        """Take the amount, owing what is missing; return the seconds until nothing is owed."""
        credit = self.credit(now) - amount
        self._credit = credit
        self._at = now
        return -credit / self.rate if credit < 0 else 0.0


@dataclass(frozen=True)
class FlowLimits:
    """What one client may send; 0 = as much as it likes.

    `burst_s` is the credit that a quiet client saves up, in seconds of its rate.
    """

    messages_per_s: int = 0
    bytes_per_s: int = 0
    burst_s: int = 5

    def meter(self) -> "Meter | None":
        """Return a meter for a new connection, None if nothing is limited."""
        return Meter(self) if self.messages_per_s or self.bytes_per_s else None


class Meter:
    """What one connection has sent, in messages and in bytes.

    It is asked after a read, so one read more than the credit can pass; the rest after it is longer
    by as much. `read_bytes` keeps such a read, and so the rest, short: about a second's worth.
    """

    __slots__ = ("_bytes", "_messages", "read_bytes")

    def __init__(self, limits: FlowLimits) -> None:
        self._messages = _bucket(limits.messages_per_s, limits.burst_s)
        self._bytes = _bucket(limits.bytes_per_s, limits.burst_s)
        rates = (limits.bytes_per_s, limits.messages_per_s * SMALL_MESSAGE)
        self.read_bytes = max(SMALLEST_READ, min(rate for rate in rates if rate))

    def spend(self, now: float, size: int, messages: int) -> float:
        """Count one read of `size` bytes; return for how many seconds to read nothing."""
        rest_s = 0.0
        if self._bytes is not None:
            rest_s = self._bytes.spend(now, size)
        if self._messages is not None and messages:
            rest_s = max(rest_s, self._messages.spend(now, messages))
        return rest_s


def _bucket(rate: int, burst_s: int) -> TokenBucket | None:
    return TokenBucket(rate, rate * burst_s) if rate else None
