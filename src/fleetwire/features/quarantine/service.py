"""QuarantineService: refused messages for those who may see them."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, delete, func, or_, select

from fleetwire.errors import NotFoundError
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.features.quarantine.sink import QuarantineSqlSink, stored_bytes
from fleetwire.features.quarantine.tables import quarantine
from fleetwire.kit.services import Audit, Caller, Page
from fleetwire.store.database import Database, Transaction

READ = "quarantine.read"
WRITE = "quarantine.write"
SEES_UNKNOWN_SENDERS = frozenset({"owner", "administrator"})
PREVIEW_BYTES = 512  # of each payload in a list; the whole is one more question away


class RefusedMessage(msgspec.Struct):
    """A message that was not accepted. `payload` may be shorter than the `payload_bytes` sent."""

    id: int
    organization_id: int | None
    app: str | None
    topic: str
    payload: bytes
    payload_bytes: int
    qos: int
    client_id: str
    identity: str
    reason_code: int
    reason: str
    received_at: int


class QuarantineService:
    """Lists, shows and discards the organisation's refused messages.

    Those whose sender belongs to nobody we know are for owners and administrators.
    """

    def __init__(self, db: Database, sink: QuarantineSqlSink, audit: Audit) -> None:
        self._db = db
        self._sink = sink
        self._audit = audit

    async def list(
        self,
        caller: Caller,
        *,
        topic: str | None = None,
        reason: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RefusedMessage]:
        """Return messages newest first; `topic` and `reason` must occur in theirs.

        Payloads are cut to PREVIEW_BYTES.
        """
        caller.require(READ)
        check_limit(limit)
        # SQLite has NULL for a part of nothing.
        begin = func.substr(quarantine.c.payload, 1, PREVIEW_BYTES)
        preview = func.coalesce(begin, b"").label("payload")
        query = _query(preview).where(_visible(caller))
        if topic:
            query = query.where(quarantine.c.topic.icontains(topic, autoescape=True))
        if reason:
            query = query.where(quarantine.c.reason.icontains(reason, autoescape=True))
        if cursor is not None:
            query = query.where(quarantine.c.id < decode_cursor(cursor, 1)[0])
        query = query.order_by(quarantine.c.id.desc()).limit(limit + 1)
        found = await self._db.read(lambda c: [_message(row) for row in c.execute(query)])
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].id) if len(found) > limit else None)

    async def get(self, caller: Caller, id: int) -> RefusedMessage:
        """Return one message with its payload, as far as that was kept."""
        caller.require(READ)
        query = _query(quarantine.c.payload).where(quarantine.c.id == id, _visible(caller))
        row = await self._db.read(lambda c: c.execute(query).one_or_none())
        if row is None:
            raise _not_found(id)
        return _message(row)

    async def discard(self, caller: Caller, id: int) -> None:
        """Remove one message for good."""
        caller.require(WRITE)
        is_meant = (quarantine.c.id == id) & _visible(caller)

        def work(tx: Transaction) -> str:
            row = tx.execute(
                select(quarantine.c.topic, stored_bytes.label("size")).where(is_meant)
            ).one_or_none()
            if row is None:
                raise _not_found(id)
            topic: str = row.topic
            size: int = row.size
            tx.execute(delete(quarantine).where(is_meant))
            tx.after_commit(lambda: self._sink.changed(-1, -size))
            return topic

        topic = await self._db.write(work)
        await self._audit.record(
            caller, "quarantine.discarded", f"quarantine:{id}", detail={"topic": topic}
        )


def _query(payload: ColumnElement[Any]) -> Select[Any]:
    return select(
        quarantine.c.id,
        quarantine.c.organization_id,
        quarantine.c.app,
        quarantine.c.topic,
        payload,
        quarantine.c.payload_bytes,
        quarantine.c.qos,
        quarantine.c.client_id,
        quarantine.c.identity,
        quarantine.c.reason_code,
        quarantine.c.reason,
        quarantine.c.received_at,
    )


def _visible(caller: Caller) -> ColumnElement[bool]:
    own = quarantine.c.organization_id == caller.organization_id
    if caller.role in SEES_UNKNOWN_SENDERS:
        return or_(own, quarantine.c.organization_id.is_(None))
    return own


def _message(row: Any) -> RefusedMessage:
    return RefusedMessage(*row)


def _not_found(id: int) -> NotFoundError:
    return NotFoundError(f"There is no message {id} in quarantine.")
