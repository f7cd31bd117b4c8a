"""ProvisioningRetention: claims, fleet keys and requests that are long over go.

What still decides something stays, however old: a fleet key that lets devices in counts those it
has let in and knows whom somebody refused, and a device that came by itself counts as one as long
as it is there. The audit, which nothing here touches, goes on telling of what has gone.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Row, Table, and_, delete, exists, func, or_, select

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.provisioning.newcomers import Newcomers
from fleetwire.features.provisioning.requests import APPROVED, PENDING
from fleetwire.features.provisioning.tables import claims, enrolments, fleet_keys
from fleetwire.kit import instants
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.provisioning")

DAY_US: Final = 86_400_000_000
PAUSE_S: Final = 3600.0
REMOVED_AT_ONCE: Final = 1_000  # by one transaction: others wait for the writer meanwhile


class ProvisioningRetention:
    """Removes what was over more than `keep_days` ago (0 = nothing, ever)."""

    def __init__(
        self,
        db: Database,
        newcomers: Newcomers,
        keep_days: int,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._newcomers = newcomers
        self._keep_days = keep_days
        self._clock = clock

    async def run(self) -> None:
        """Remove every hour what is old enough, until cancelled."""
        while True:
            try:
                await self.prune()
            except StoreUnavailableError as error:
                log.warning("old claims and enrolments are not removed yet", reason=str(error))
            await asyncio.sleep(PAUSE_S)

    async def prune(self) -> int:
        """Remove what is old enough; return how many rows that were."""
        if not self._keep_days:
            return 0
        before = self._clock() - self._keep_days * DAY_US
        removed = {
            "claims": await self._remove(claims, _old_claims(before)),
            "enrolments": await self._remove(enrolments, _with_old_keys(before))
            + await self._remove(enrolments, _late_or_old(before), self._is_gone),
            # After the requests made with them.
            "fleet_keys": await self._remove(fleet_keys, _old_keys(before)),
        }
        rows = sum(removed.values())
        if rows:
            log.info("old claims and enrolments were removed", **removed)
        return rows

    def _is_gone(self, row: Row[Any]) -> bool:
        """Say of a request whether its device has gone, or never came."""
        return row.device is None or self._newcomers.by_id(row.device) is None

    async def _remove(
        self,
        table: Table,
        is_old: ColumnElement[bool],
        is_over: Callable[[Row[Any]], bool] = lambda _: True,
    ) -> int:
        # The newest row stays: SQLite would give its number, which the audit knows, to the next.
        newest = select(func.max(table.c.id)).scalar_subquery()
        columns = [column for column in table.c if column.name in ("id", "device")]
        old = select(*columns).where(is_old, table.c.id < newest).order_by(table.c.id)

        def work(tx: Transaction, ids: list[int]) -> int:
            # Asked once more: somebody may have used it meanwhile.
            return tx.execute(delete(table).where(table.c.id.in_(ids), is_old)).rowcount

        removed = seen = 0
        while True:
            page = old.where(table.c.id > seen).limit(REMOVED_AT_ONCE)
            # Looked for beside the writer: it is a walk over the table, mostly for nothing.
            rows = await self._db.read(lambda c, page=page: c.execute(page).all())  # type: ignore[misc]  # mypy cannot infer a lambda's default
            if not rows:
                return removed
            seen = rows[-1].id
            ids = [row.id for row in rows if is_over(row)]
            removed += await self._db.write(lambda tx, ids=ids: work(tx, ids))  # type: ignore[misc]  # as above


def _old_claims(before: int) -> ColumnElement[bool]:
    return or_(
        claims.c.expires_at < before,
        claims.c.revoked_at < before,
        and_(claims.c.uses >= claims.c.max_uses, claims.c.last_used_at < before),
    )


def _is_over(before: int) -> ColumnElement[bool]:
    """Say of a fleet key that it was over by then."""
    return or_(fleet_keys.c.expires_at < before, fleet_keys.c.revoked_at < before)


def _is_late(before: int) -> ColumnElement[bool]:
    """Say of a request that by then it could neither be decided nor fetched."""
    return enrolments.c.expires_at < before


def _with_old_keys(before: int) -> ColumnElement[bool]:
    old_keys = select(fleet_keys.c.id).where(_is_over(before))
    return and_(_is_late(before), enrolments.c.fleet_key.in_(old_keys))


def _late_or_old(before: int) -> ColumnElement[bool]:
    """Say of a request that nobody decided or fetched it, or that it came by itself, long ago."""
    return or_(
        and_(_is_late(before), enrolments.c.state.in_((PENDING, APPROVED))),
        and_(enrolments.c.fleet_key.is_(None), enrolments.c.asked_at < before),
    )


def _old_keys(before: int) -> ColumnElement[bool]:
    is_asked_with = exists().where(enrolments.c.fleet_key == fleet_keys.c.id)
    return and_(_is_over(before), ~is_asked_with)
