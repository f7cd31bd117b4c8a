"""RefusalAudit: who was refused at the broker's door, written down in groups."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.audit.chain import append
from fleetwire.kit import instants
from fleetwire.net.clients import ClientObserver
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.audit")

WAITING_MOST = 10_000  # a guesser is faster than a disk; past this refusals are only counted
PAUSE_S = 0.25


class RefusalAudit(ClientObserver):
    """Hears of what clients may not, at CONNECT, SUBSCRIBE and PUBLISH; stores it as audit rows."""

    def __init__(self, db: Database, clock: Callable[[], int] = instants.now) -> None:
        self._db = db
        self._clock = clock
        self._waiting: deque[dict[str, object]] = deque()
        self._wake = asyncio.Event()
        self.left_out = 0

    def refused(self, client_id: str, identity: str, remote: str, reason: str) -> None:
        if len(self._waiting) >= WAITING_MOST:
            self.left_out += 1
            return
        self._waiting.append(
            {
                "at": self._clock(),
                "actor": (identity or "anonymous")[:256],
                "action": "mqtt.refused",
                "subject": f"client:{client_id}"[:256],
                "outcome": "refused",
                "remote": remote[:64],
                "detail": {"reason": reason[:500]},
            }
        )
        self._wake.set()

    async def run(self) -> None:
        """Write what has gathered, a few times a second."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush()
            except StoreUnavailableError:
                self._wake.set()
            if self.left_out:
                log.warning("refusals were not all written down", left_out=self.left_out)
                self.left_out = 0
            await asyncio.sleep(PAUSE_S)

    async def flush(self) -> None:
        """Write what has gathered. Raises StoreUnavailableError, and keeps it then."""
        rows = list(self._waiting)
        if not rows:
            return

        def work(tx: Transaction) -> None:
            append(tx, rows)

        await self._db.write(work)
        for _ in rows:
            self._waiting.popleft()
