"""QuarantineService: refused messages for those who may see them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from sqlalchemy import ColumnElement, delete, select

from fleetwire.errors import NotFoundError, StoreUnavailableError
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.features.quarantine.search import RefusedMessage, Search, columns, preview, visible
from fleetwire.features.quarantine.selection import Selection, newest_id
from fleetwire.features.quarantine.sink import QuarantineSqlSink, stored_bytes
from fleetwire.features.quarantine.tables import quarantine
from fleetwire.kit import instants
from fleetwire.kit.services import Caller, Page
from fleetwire.store.database import Database, Transaction

READ = "quarantine.read"
WRITE = "quarantine.write"

AT_ONCE: Final = 200  # messages that one transaction removes
DAY_US: Final = 86_400 * 1_000_000
PAUSE_S: Final = 3600.0

log = structlog.get_logger("fleetwire.quarantine")


class QuarantineService:
    """Lists, shows and discards the organisation's refused messages.

    Those whose sender belongs to nobody we know are for the platform's owners. What is older than
    `keep_days` goes by itself (0 = only for want of room).
    """

    def __init__(
        self,
        db: Database,
        sink: QuarantineSqlSink,
        audit: SqlAudit,
        *,
        keep_days: int = 0,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._sink = sink
        self._audit = audit
        self._keep_days = keep_days
        self._clock = clock

    async def list(
        self,
        caller: Caller,
        search: Search | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RefusedMessage]:
        """Return messages newest first, payloads cut to PREVIEW_BYTES.

        A page of a search may be short although there are more: then it has a cursor.
        """
        caller.require(READ)
        check_limit(limit)
        wanted = search or Search()
        wanted.check()
        position = None if cursor is None else decode_cursor(cursor, 1)[0]
        messages, reached = await self._db.read(
            lambda c: preview(
                c, caller, wanted, limit=limit + 1, position=position, is_newest_first=True
            )
        )
        if len(messages) > limit:
            return Page(messages[:limit], encode_cursor(messages[limit - 1].id))
        return Page(messages, None if reached is None else encode_cursor(reached))

    async def get(self, caller: Caller, id: int) -> RefusedMessage:
        """Return one message with its payload, as far as that was kept."""
        caller.require(READ)
        query = columns(quarantine.c.payload).where(quarantine.c.id == id, visible(caller))
        row = await self._db.read(lambda c: c.execute(query).one_or_none())
        if row is None:
            raise _not_found(id)
        return RefusedMessage(*row)

    async def discard(self, caller: Caller, id: int) -> None:
        """Remove one message for good."""
        caller.require(WRITE)
        is_meant = (quarantine.c.id == id) & visible(caller)

        def work(tx: Transaction) -> None:
            row = tx.execute(
                select(quarantine.c.topic, stored_bytes.label("size")).where(is_meant)
            ).one_or_none()
            if row is None:
                raise _not_found(id)
            size: int = row.size
            tx.execute(delete(quarantine).where(is_meant))
            self._audit.record_in(
                tx,
                caller,
                "quarantine.discarded",
                f"quarantine:{id}",
                detail={"topic": row.topic},
            )
            tx.after_commit(lambda: self._sink.changed(-1, -size))

        await self._db.write(work)

    async def discard_many(self, caller: Caller, selection: Selection) -> int:
        """Remove those that are meant and there now, and return how many. Each step is on record.

        Raises StoreUnavailableError: what was removed until then is gone.
        """
        caller.require(WRITE)
        selection.check()
        through_id = await self._db.read(newest_id)
        position: int | None = 0
        removed = 0
        while position is not None:
            messages, position = await self._db.read(
                lambda c, after=position: selection.find(c, caller, AT_ONCE, after, through_id)  # type: ignore[misc]  # mypy cannot infer a lambda's default
            )
            ids = [message.id for message in messages]
            if ids:
                removed += await self._db.write(
                    lambda tx, ids=ids: self._discard(tx, caller, ids, selection)  # type: ignore[misc]  # as above
                )
        return removed

    def _discard(
        self, tx: Transaction, caller: Caller, ids: Sequence[int], selection: Selection
    ) -> int:
        rows = self._remove(tx, quarantine.c.id.in_(ids) & visible(caller))
        if rows:
            detail = {"rows": rows, "from_id": ids[0], "through_id": ids[-1], **selection.given()}
            self._audit.record_in(tx, caller, "quarantine.discarded", detail=detail)
        return rows

    def _remove(self, tx: Transaction, is_meant: ColumnElement[bool]) -> int:
        sizes = tx.execute(select(stored_bytes).where(is_meant)).scalars().all()
        rows, size = len(sizes), sum(sizes)
        if rows:
            tx.execute(delete(quarantine).where(is_meant))
            tx.after_commit(lambda: self._sink.changed(-rows, -size))
        return rows

    # --- retention ---

    async def run(self) -> None:
        """Remove every hour what is too old, until cancelled."""
        while True:
            if self._keep_days:
                try:
                    await self.remove_old()
                except StoreUnavailableError as error:
                    log.warning("old messages are not removed yet", reason=str(error))
            await asyncio.sleep(PAUSE_S)

    async def remove_old(self) -> int:
        """Remove what was received more than `keep_days` ago; return how many rows."""
        before = self._clock() - self._keep_days * DAY_US
        removed = 0
        while True:
            rows = await self._db.write(lambda tx: self._remove_old(tx, before))
            removed += rows
            if rows == 0:
                break
        if removed:
            log.info("old messages were removed from quarantine", rows=removed)
        return removed

    def _remove_old(self, tx: Transaction, before: int) -> int:
        found = tx.execute(
            select(quarantine.c.id, quarantine.c.organization_id)
            .where(quarantine.c.received_at < before)
            .order_by(quarantine.c.id)
            .limit(AT_ONCE)
        ).all()
        owners: dict[int | None, int] = {}
        for row in found:
            owners[row.organization_id] = owners.get(row.organization_id, 0) + 1
        rows = self._remove(tx, quarantine.c.id.in_([row.id for row in found]))
        for organization_id, count in owners.items():
            self._audit.record_in(
                tx,
                Caller("system", organization_id or 0, frozenset()),
                "quarantine.expired",
                detail={"rows": count, "keep_days": self._keep_days},
            )
        tx.after_commit(lambda: self._sink.expired(rows))
        return rows


def _not_found(id: int) -> NotFoundError:
    return NotFoundError(f"There is no message {id} in quarantine.")
