"""How a bridge is, what it has done, and how long it waits before it tries again."""

import time
from dataclasses import dataclass, field
from typing import Final, Literal

State = Literal["connected", "connecting", "away"]

AWAY: Final = "away"
CONNECTING: Final = "connecting"
CONNECTED: Final = "connected"


@dataclass
class Counts:
    """Messages since the start of the process; `dropped` is by reason."""

    messages_in: int = 0
    messages_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that did not go across."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    @staticmethod
    def now() -> int:
        """Return the time in microseconds UTC."""
        return time.time_ns() // 1000


@dataclass(frozen=True)
class BridgeStatus:
    """A bridge as an operator sees it. `since_at` is in microseconds UTC, of its present state.

    `queued` counts what waits for the other side or for its acknowledgement; `reason` says why it
    is not connected.
    """

    name: str
    url: str  # its password masked
    state: State
    since_at: int
    reason: str
    protocol: str | None
    queued: int
    counts: Counts


@dataclass(frozen=True)
class Retry:
    """Waiting times between attempts: they double up to a longest one, and are spread at random.

    So that a fleet of bridges does not come back in one moment.
    """

    first_s: float = 1.0
    longest_s: float = 60.0

    def pause_s(self, failures: int, chance: float) -> float:
        """Return the pause after this many failures in a row; `chance` is from 0 to 1."""
        longest = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return longest * (0.5 + chance / 2)
