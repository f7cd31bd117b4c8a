"""Denials: what was refused to whom is put on record, the same thing once a minute."""

from collections import OrderedDict
from typing import Final

from fleetwire.kit import Audit, Caller, Clock

AGAIN_AFTER_US: Final = 60 * 1_000_000
MOST_REMEMBERED: Final = 10_000


class Denials:
    """Keeps somebody who asks again and again from filling the audit."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._noted: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    async def note(self, caller: Caller, action: str, topic: str) -> None:
        """Record that this was refused, unless that was done within the minute."""
        key = (caller.actor, action, topic)
        now = self._clock.now()
        at = self._noted.pop(key, 0)
        if at and now - at < AGAIN_AFTER_US:
            self._noted[key] = at
            return
        self._noted[key] = now
        if len(self._noted) > MOST_REMEMBERED:
            self._noted.popitem(last=False)
        await self._audit.record(caller, action, f"topic:{topic[:200]}", outcome="refused")
