"""What was done is on record, in its own transaction, and shown to those who may see it."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from fleetwire.errors import ForbiddenError, InvalidValueError, StoreUnavailableError
from fleetwire.features.audit.service import AuditRecord, SqlAudit
from fleetwire.kit import Caller
from fleetwire.store.database import Transaction
from tests.fakes import caller
from tests.features.rooms import Rooms

NOBODY_KNOWN = Caller("anonymous", 0, frozenset())


async def deeds(audit: SqlAudit, by: Caller, **conditions: Any) -> list[str]:
    return [record.action for record in (await audit.list(by, **conditions)).items]


async def test_a_deed_is_read_back_as_it_was_recorded(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db, rooms.clock)
    by = msgspec.structs.replace(caller(), remote="192.0.2.1")
    await audit.record(by, "device.registered", "device:demo/d", detail={"type": "thing"})
    (found,) = (await audit.list(caller())).items
    assert found.previous == ""
    assert msgspec.structs.replace(found, previous=None, digest=None) == (
        AuditRecord(
            id=1,
            organization_id=1,
            at=rooms.clock.at,
            actor="account:1",
            action="device.registered",
            subject="device:demo/d",
            outcome="ok",
            remote="192.0.2.1",
            detail={"type": "thing"},
        )
    )


async def test_text_longer_than_its_column_is_cut(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db)
    by = Caller("a" * 1000, 1, frozenset(), remote="r" * 1000)
    await audit.record(by, "x", "s" * 1000)
    (record,) = (await audit.list(caller())).items
    assert (record.actor, record.subject) == ("a" * 256, "s" * 256)
    assert record.remote == "r" * 64


async def test_a_deed_is_not_on_record_when_its_transaction_fails(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db)

    def work(tx: Transaction) -> None:
        audit.record_in(tx, caller(), "device.deleted")
        raise InvalidValueError("no")

    with pytest.raises(InvalidValueError):
        await rooms.db.write(work)
    assert await deeds(audit, caller()) == []


async def test_who_cannot_be_put_on_record_hears_of_it(rooms: Rooms) -> None:
    rooms.db.is_away = True
    with pytest.raises(StoreUnavailableError):
        await SqlAudit(rooms.db).record(caller(), "patient.read")


async def test_each_sees_his_own_and_the_platforms_owners_also_unknown_actors(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db)
    await audit.record(caller(1), "first")
    await audit.record(NOBODY_KNOWN, "login.failed", outcome="refused")
    await audit.record(caller(2), "other")
    await audit.record(caller(1), "last")
    assert await deeds(audit, caller()) == ["last", "login.failed", "first"]
    assert await deeds(audit, caller(role="administrator")) == ["last", "first"]
    assert await deeds(audit, caller(role="operator")) == ["last", "first"]
    assert await deeds(audit, caller(2)) == ["other"]
    with pytest.raises(ForbiddenError):
        await audit.list(caller(permissions=frozenset()))


async def test_deeds_are_found_by_who_what_and_when(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db, rooms.clock)
    start = rooms.clock.at
    await audit.record(caller(1), "patient.read", "patient:1")
    rooms.clock.advance(60)
    await audit.record(Caller("account:9", 1, frozenset()), "patient.read", "patient:2")
    rooms.clock.advance(60)
    await audit.record(caller(1), "device.deleted", "device:demo/d", outcome="refused")
    minute = 60_000_000

    async def subjects(**conditions: Any) -> list[str | None]:
        return [each.subject for each in (await audit.list(caller(), **conditions)).items]

    assert await subjects(actor="account:9") == ["patient:2"]
    assert await subjects(action="patient.read") == ["patient:2", "patient:1"]
    assert await subjects(subject="patient:1") == ["patient:1"]
    assert await subjects(outcome="refused") == ["device:demo/d"]
    assert await subjects(from_at=start + minute) == ["device:demo/d", "patient:2"]
    assert await subjects(to_at=start + minute) == ["patient:1"]
    assert await subjects(actor="account:9", subject="patient:1") == []


async def test_pages_hold_every_deed_once(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db)
    for number in range(7):
        by = caller() if number % 2 else NOBODY_KNOWN
        await audit.record(by, f"deed.{number}")
    found, cursor = [], None
    for size in (3, 3, 1):
        page = await audit.list(caller(), limit=3, cursor=cursor)
        assert len(page.items) == size
        found += [record.action for record in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert found == [f"deed.{number}" for number in range(6, -1, -1)]


async def test_a_page_walks_the_index_and_does_not_sort_all_that_was_done(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db)
    asked: list[tuple[str, Any]] = []

    def remember(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(rooms.db.engine, "before_cursor_execute", remember)
    await audit.list(caller(), limit=5)
    event.remove(rooms.db.engine, "before_cursor_execute", remember)
    (query,) = asked
    plan = await rooms.db.read(lambda c: [row.detail for row in c.exec_driver_sql(*query)])
    walks = [place for place, step in enumerate(plan) if "SEARCH audit" in step]
    assert len(walks) == 2, plan
    for place in walks:
        assert "ix_audit_organization_id_id" in plan[place], plan
        assert plan[place + 1].startswith("SCAN"), plan  # what it found, not yet sorted
