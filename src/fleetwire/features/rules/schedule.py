"""Schedule: which chains are due by the clock."""

import heapq

from fleetwire.errors import InvalidValueError
from fleetwire.features.rules.cron import Cron
from fleetwire.kit.rules import RuleDraft


class Schedule:
    """When each chain is due next. Chains are known by our key of them."""

    def __init__(self) -> None:
        self._crons: dict[int, Cron] = {}
        self._next: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []

    @property
    def next_at(self) -> int | None:
        """When the first of them is due, None if none is."""
        while self._heap and self._next.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # it was changed since
        return self._heap[0][0] if self._heap else None

    def put(self, key: int, draft: RuleDraft, kept_at: int) -> None:
        """Take up a chain whose schedule was kept until then. Raises InvalidValueError."""
        self.drop(key)
        if draft.schedule is None:
            return
        self._crons[key] = Cron(draft.schedule.cron, draft.schedule.timezone)
        self._set(key, kept_at)

    def drop(self, key: int) -> None:
        """Forget a chain."""
        self._crons.pop(key, None)
        self._next.pop(key, None)

    def due(self, now: int) -> list[tuple[int, int]]:
        """Return (chain, when it was due) for each that is, in the order of being due.

        However often a chain was due while nobody looked, it is due once.
        """
        found = []
        while (at := self.next_at) is not None and at <= now:
            key = heapq.heappop(self._heap)[1]
            found.append((key, at))
            self._set(key, now)
        return found

    def _set(self, key: int, after: int) -> None:
        at = self._crons[key].next_after(after)
        if at is None:
            self.drop(key)
            return
        self._next[key] = at
        heapq.heappush(self._heap, (at, key))


def next_at(draft: RuleDraft, after: int) -> int | None:
    """Return when a chain is due next; None if it never is."""
    if draft.schedule is None or not draft.enabled:
        return None
    try:
        return Cron(draft.schedule.cron, draft.schedule.timezone).next_after(after)
    except InvalidValueError:  # its time zone is not known to this machine
        return None
