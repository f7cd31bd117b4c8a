"""SqlAudit: who did what, written down and read back."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, func, select, union_all

from fleetwire.features.audit.chain import append
from fleetwire.features.audit.tables import audit
from fleetwire.features.audit.verification import Verdict, verify
from fleetwire.features.audit.visibility import owns_the_platform
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.kit import instants
from fleetwire.kit.services import Audit, Caller, Page
from fleetwire.store.database import Database, Transaction

READ = "audit.read"
EXPORTED: Final = 500  # rows in memory at a time


class AuditRecord(msgspec.Struct):
    """One deed. `organization_id` None: done by somebody who belongs to nobody we know.

    `previous` and `digest` are its place in the chain, None on rows older than that.
    """

    id: int
    organization_id: int | None
    at: int
    actor: str
    action: str
    subject: str | None
    outcome: str
    remote: str | None
    detail: dict[str, Any]
    previous: str | None = None
    digest: str | None = None


class Wanted(msgspec.Struct, frozen=True):
    """Which deeds: those within [from_at, to_at) where everything that is given is the same."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    outcome: str | None = None
    remote: str | None = None
    from_at: int | None = None
    to_at: int | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return this as conditions on the table."""
        found = [
            audit.c[name] == value
            for name in ("actor", "action", "subject", "outcome", "remote")
            if (value := getattr(self, name)) is not None
        ]
        if self.from_at is not None:
            found.append(audit.c.at >= self.from_at)
        if self.to_at is not None:
            found.append(audit.c.at < self.to_at)
        return found


class Verdicts(msgspec.Struct, frozen=True):
    """What was found of the caller's chain, and of that of unknown actors if he may see it."""

    own: Verdict
    unknown: Verdict | None

    @property
    def has_known(self) -> bool | None:
        """Whether the digest that was asked for stands in a chain; None if none was."""
        if self.own.has_known or self.unknown is None:
            return self.own.has_known
        return self.unknown.has_known

    @property
    def holds(self) -> bool:
        """Whether nothing is broken, and the digest that was asked for stands in a chain."""
        is_whole = all(each is None or each.broken is None for each in (self.own, self.unknown))
        return is_whole and self.has_known is not False


class SqlAudit(Audit):
    """Stores deeds in the audit table and lists an organisation's own.

    Those of unknown actors (a wrong password, a refused connection) are for the platform's owners.
    Nothing is ever changed; what is removed, only retention removes.
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
        row = {
            "organization_id": caller.organization_id or None,
            "at": self._clock(),
            "actor": caller.actor[:256],
            "action": action,
            "subject": None if subject is None else subject[:256],
            "outcome": outcome,
            "remote": caller.remote[:64] or None,
            "detail": detail or {},
        }
        append(tx, [row])

    async def list(
        self,
        caller: Caller,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject: str | None = None,
        outcome: str | None = None,
        remote: str | None = None,
        from_at: int | None = None,
        to_at: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[AuditRecord]:
        """Return deeds newest first, those within [from_at, to_at) that match exactly."""
        caller.require(READ)
        check_limit(limit)
        wanted = Wanted(actor, action, subject, outcome, remote, from_at, to_at)
        conditions = wanted.conditions()
        if cursor is not None:
            conditions.append(audit.c.id < decode_cursor(cursor, 1)[0])
        query = _sorted(caller, conditions, limit + 1, newest_first=True)
        found = await self._db.read(lambda c: [_record(row) for row in c.execute(query)])
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def export(self, caller: Caller, wanted: Wanted) -> AsyncIterator[Sequence[AuditRecord]]:
        """Return the deeds that are there now, oldest first, some hundred at a time.

        That somebody takes them away is on record before the first is given. Raises ForbiddenError,
        StoreUnavailableError; the iterator may raise the latter, too.
        """
        caller.require(READ)
        last_id = await self._db.read(lambda c: c.scalar(select(func.max(audit.c.id))) or 0)
        asked = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value}
        await self.record(caller, "audit.exported", detail=asked)
        return self._pages(caller, wanted.conditions(), last_id)

    async def _pages(
        self, caller: Caller, conditions: Sequence[ColumnElement[bool]], last_id: int
    ) -> AsyncIterator[Sequence[AuditRecord]]:
        after_id = 0
        while True:
            within = [*conditions, audit.c.id > after_id, audit.c.id <= last_id]
            query = _sorted(caller, within, EXPORTED, newest_first=False)
            found = await self._db.read(
                lambda c, query=query: [_record(row) for row in c.execute(query)]  # type: ignore[misc]  # mypy cannot infer a lambda's default
            )
            if found:
                yield found
            if len(found) < EXPORTED:
                return
            after_id = found[-1].id

    async def verify(self, caller: Caller, known: str | None = None) -> Verdicts:
        """Walk the caller's chain, and say which row is the first that does not hold.

        `known` is a digest that somebody kept: does it still stand in the chain?
        """
        caller.require(READ)
        own = await self._db.read(lambda c: verify(c, caller.organization_id, known))
        unknown = None
        if owns_the_platform(caller):
            unknown = await self._db.read(lambda c: verify(c, None, known))
        return Verdicts(own, unknown)


def _sorted(
    caller: Caller, conditions: Sequence[ColumnElement[bool]], limit: int, *, newest_first: bool
) -> Select[Any]:
    owners = [audit.c.organization_id == caller.organization_id]
    if owns_the_platform(caller):
        owners.append(audit.c.organization_id.is_(None))
    order = audit.c.id.desc() if newest_first else audit.c.id
    # One select for each owner walks the index and stops; an OR would sort everything that was
    # ever done.
    parts = [
        select(select(audit).where(owner, *conditions).order_by(order).limit(limit).subquery())
        for owner in owners
    ]
    found = union_all(*parts).subquery()
    return select(found).order_by(found.c.id.desc() if newest_first else found.c.id).limit(limit)


def _record(row: Any) -> AuditRecord:
    return AuditRecord(**row._mapping)
