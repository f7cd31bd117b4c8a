"""AuditRetention: rows that are old enough go, and the chain says so and still holds."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy import delete, func, select

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.audit.chain import BEGINNING, PRUNED, append, belongs_to
from fleetwire.features.audit.tables import audit
from fleetwire.kit import instants
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.audit")

DAY_US: Final = 86_400 * 1_000_000
PAUSE_S: Final = 3600.0
REMOVED_AT_ONCE: Final = 10_000  # by one transaction: others wait for the writer meanwhile


class AuditRetention:
    """Removes what is older than `keep_days` (0 = nothing, ever), from each chain's beginning.

    Only whole beginnings go: the first row that is young enough, in the order of the chain, ends
    it. The row that says so is a checkpoint: it names the digest of the last row that is gone.
    """

    def __init__(
        self, db: Database, keep_days: int, clock: Callable[[], int] = instants.now
    ) -> None:
        self._db = db
        self._keep_days = keep_days
        self._clock = clock
        self.removed = 0  # since start

    async def run(self) -> None:
        """Remove every hour what is old enough, until cancelled."""
        while True:
            if self._keep_days:
                try:
                    await self.prune()
                except StoreUnavailableError as error:
                    log.warning("old audit rows are not removed yet", reason=str(error))
            await asyncio.sleep(PAUSE_S)

    async def prune(self) -> int:
        """Remove what is old enough and return how many rows that were."""
        before = self._clock() - self._keep_days * DAY_US
        chains = await self._db.read(
            lambda c: c.scalars(select(audit.c.organization_id).distinct()).all()
        )
        removed = 0
        for organization_id in chains:
            gone = -1
            while gone in (-1, REMOVED_AT_ONCE):
                gone = await self._db.write(
                    lambda tx, chain=organization_id: self._prune(tx, chain, before)  # type: ignore[misc]  # mypy cannot infer a lambda's default
                )
                removed += gone
        if removed:
            log.info("old audit rows were removed", rows=removed)
        self.removed += removed
        return removed

    def _prune(self, tx: Transaction, organization_id: int | None, before: int) -> int:
        own = belongs_to(organization_id)
        # A clock that was set back must not cut a hole into the chain.
        kept_id = tx.execute(select(func.min(audit.c.id)).where(own, audit.c.at >= before)).scalar()
        old = [own] if kept_id is None else [own, audit.c.id < kept_id]
        rows = tx.execute(
            select(audit.c.id, audit.c.at, audit.c.action, audit.c.digest)
            .where(*old)
            .order_by(audit.c.id)
            .limit(REMOVED_AT_ONCE)
        ).all()
        # A checkpoint that is all there is would only be followed by the next one.
        if not rows or (kept_id is None and len(rows) == 1 and rows[0].action == PRUNED):
            return 0
        last = rows[-1]
        append(
            tx,
            [
                {
                    "organization_id": organization_id,
                    "at": self._clock(),
                    "actor": "system",
                    "action": PRUNED,
                    "subject": None,
                    "outcome": "ok",
                    "remote": None,
                    "detail": {
                        "rows": len(rows),
                        "through_id": last.id,
                        "through_at": last.at,
                        "digest": last.digest or BEGINNING,
                    },
                }
            ],
        )
        tx.execute(delete(audit).where(own, audit.c.id <= last.id))
        return len(rows)
