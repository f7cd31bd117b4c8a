"""SqlAudit: who did what, written down and read back."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, insert, select, union_all

from fleetwire.features.audit.tables import audit
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.services import Audit, Caller, Page
from fleetwire.store.database import Database, Transaction

READ = "audit.read"
SEES_UNKNOWN_ACTORS = frozenset({"owner", "administrator"})


class AuditRecord(msgspec.Struct):
    """One deed. `organization_id` None: done by somebody who belongs to nobody we know."""

    id: int
    organization_id: int | None
    at: int
    actor: str
    action: str
    subject: str | None
    outcome: str
    remote: str | None
    detail: dict[str, Any]


class SqlAudit(Audit):
    """Stores deeds in the audit table and lists an organisation's own.

    Those of unknown actors (a wrong password, a refused connection) are for owners and
    administrators. Nothing is ever changed or removed.
    """

    def __init__(self, db: Database, clock: Callable[[], int] = instants.now) -> None:
        self._db = db
        self._clock = clock

    async def record(
        self,
        caller: Caller,
        action: str,
        subject: str | None = None,
        *,
        outcome: str = "ok",
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Store one deed. Raises StoreUnavailableError: what must be on record is not, then."""
        await self._db.write(
            lambda tx: self.record_in(tx, caller, action, subject, outcome=outcome, detail=detail)
        )

    def record_in(
        self,
        tx: Transaction,
        caller: Caller,
        action: str,
        subject: str | None = None,
        *,
        outcome: str = "ok",
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Store one deed within the transaction that does it, so that neither is without the other.

        A caller with organisation 0 belongs to nobody we know.
        """
        tx.execute(
            insert(audit).values(
                organization_id=caller.organization_id or None,
                at=self._clock(),
                actor=caller.actor[:256],
                action=action,
                subject=None if subject is None else subject[:256],
                outcome=outcome,
                remote=caller.remote[:64] or None,
                detail=detail or {},
            )
        )

    async def list(
        self,
        caller: Caller,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        outcome: str | None = None,
        from_at: int | None = None,
        to_at: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[AuditRecord]:
        """Return deeds newest first, those within [from_at, to_at) that match exactly."""
        caller.require(READ)
        check_limit(limit)
        conditions: list[ColumnElement[bool]] = []
        if actor is not None:
            conditions.append(audit.c.actor == actor)
        if action is not None:
            conditions.append(audit.c.action == action)
        if subject is not None:
            conditions.append(audit.c.subject == subject)
        if outcome is not None:
            conditions.append(audit.c.outcome == outcome)
        if from_at is not None:
            conditions.append(audit.c.at >= from_at)
        if to_at is not None:
            conditions.append(audit.c.at < to_at)
        if cursor is not None:
            conditions.append(audit.c.id < decode_cursor(cursor, 1)[0])
        query = _newest(caller, conditions, limit + 1)
        found = await self._db.read(lambda c: [_record(row) for row in c.execute(query)])
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)


def _newest(caller: Caller, conditions: list[ColumnElement[bool]], limit: int) -> Select[Any]:
    owners = [audit.c.organization_id == caller.organization_id]
    if caller.role in SEES_UNKNOWN_ACTORS:
        owners.append(audit.c.organization_id.is_(None))
    # One select for each owner walks the index backwards and stops; an OR would sort everything
    # that was ever done.
    parts = [
        select(
            select(audit)
            .where(owner, *conditions)
            .order_by(audit.c.id.desc())
            .limit(limit)
            .subquery()
        )
        for owner in owners
    ]
    found = union_all(*parts).subquery()
    return select(found).order_by(found.c.id.desc()).limit(limit)


def _record(row: Any) -> AuditRecord:
    return AuditRecord(**row._mapping)
