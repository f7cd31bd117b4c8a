"""How long commits took: a histogram that costs one search in a dozen numbers for each."""

from bisect import bisect_left
from itertools import accumulate

# Seconds. A good SSD takes 0.1-1 ms, a spinning disk 10-30; past 1 s somebody must look.
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class CommitTimes:
    """Counts commits by how long they took. Written by the writer's thread, read by any."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)

    def add(self, seconds: float) -> None:
        """Count one commit."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1

    def cumulative(self) -> list[tuple[str, int]]:
        """Return (upper bound in seconds, commits up to it); the last bound is +Inf."""
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))
