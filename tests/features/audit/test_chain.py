"""The chain of records: whoever changes, adds or removes one is found out at that row."""

import asyncio
import json
import sqlite3
from contextlib import closing

import msgspec
import pytest

from fleetwire.errors import ForbiddenError, InvalidValueError
from fleetwire.features.audit.chain import append
from fleetwire.features.audit.refusals import RefusalAudit
from fleetwire.features.audit.retention import AuditRetention
from fleetwire.features.audit.service import SqlAudit
from fleetwire.kit import Caller
from fleetwire.store.database import Transaction
from tests.fakes import caller
from tests.features.rooms import Rooms

NOBODY_KNOWN = Caller("anonymous", 0, frozenset())
DAY_S = 86_400


def change(rooms: Rooms, statement: str) -> None:
    """What somebody does who has the file of the database."""
    with closing(sqlite3.connect(rooms.path)) as database:
        database.execute(statement)
        database.commit()


async def recorded(rooms: Rooms, count: int = 5) -> SqlAudit:
    audit = SqlAudit(rooms.db, rooms.clock)
    for number in range(1, count + 1):
        rooms.clock.advance(1)
        await audit.record(caller(), f"deed.{number}", detail={"n": number, "f": 0.1, "t": "ü"})
    return audit


async def test_what_was_recorded_holds(rooms: Rooms) -> None:
    audit = await recorded(rooms)
    found = await audit.verify(caller())
    assert found.holds
    assert (found.own.rows, found.own.broken) == (5, None)
    (last,) = (await audit.list(caller(), limit=1)).items
    assert found.own.head == last.digest


@pytest.mark.parametrize(
    ("statement", "id", "reason"),
    [
        ("UPDATE audit SET actor = 'account:9' WHERE id = 3", 3, "content"),
        ("UPDATE audit SET at = at + 1 WHERE id = 3", 3, "content"),
        ("UPDATE audit SET detail = '{}' WHERE id = 3", 3, "content"),
        ("UPDATE audit SET detail = 'no json' WHERE id = 3", 3, "content"),
        ("UPDATE audit SET organization_id = 2 WHERE id = 3", 4, "follow"),
        ("DELETE FROM audit WHERE id = 3", 4, "follow"),
        ("DELETE FROM audit WHERE id < 3", 3, "no checkpoint"),
        ("UPDATE audit SET digest = NULL, previous = NULL WHERE id = 3", 3, "no digest"),
        ("UPDATE audit SET digest = NULL, previous = NULL WHERE id < 3", 3, "lost their digests"),
        ("UPDATE audit SET id = 30 WHERE id = 3", 4, "follow"),
        (
            "INSERT INTO audit SELECT 9, organization_id, at, actor, action, subject, outcome, "
            "remote, detail, previous, digest FROM audit WHERE id = 3",
            9,
            "follow",
        ),
    ],
)
async def test_the_first_row_that_broke_is_named(
    rooms: Rooms, statement: str, id: int, reason: str
) -> None:
    audit = await recorded(rooms)
    change(rooms, statement)
    found = await audit.verify(caller())
    assert not found.holds
    assert found.own.broken is not None
    assert found.own.broken.id == id
    assert reason in found.own.broken.reason


async def test_an_end_that_was_cut_off_is_found_by_a_digest_that_was_kept(rooms: Rooms) -> None:
    audit = await recorded(rooms)
    head = (await audit.verify(caller())).own.head
    assert (await audit.verify(caller(), head)).holds
    await audit.record(caller(), "later")
    assert (await audit.verify(caller(), head)).holds
    change(rooms, "DELETE FROM audit WHERE id > 4")
    assert (await audit.verify(caller())).holds
    found = await audit.verify(caller(), head)
    assert (found.holds, found.has_known) == (False, False)


async def test_the_chain_holds_when_many_write_at_once_and_some_fail(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db, rooms.clock)

    async def work(number: int) -> None:
        def fail(tx: Transaction) -> None:
            audit.record_in(tx, caller(), f"undone.{number}")
            raise InvalidValueError("no")

        if number % 3 == 0:
            with pytest.raises(InvalidValueError):
                await rooms.db.write(fail)
        else:
            await audit.record(caller(1 + number % 2), f"deed.{number}")

    await asyncio.gather(*[work(number) for number in range(90)])
    assert rooms.db.groups_committed < 60  # they shared commits
    first, second = await audit.verify(caller(1)), await audit.verify(caller(2))
    assert first.holds
    assert second.holds
    assert first.own.rows + second.own.rows == 60


async def test_each_organisation_has_a_chain_of_its_own_and_so_has_nobody(rooms: Rooms) -> None:
    audit = SqlAudit(rooms.db, rooms.clock)
    await audit.record(caller(1), "a")
    await audit.record(NOBODY_KNOWN, "login.failed")
    refusals = RefusalAudit(rooms.db, rooms.clock)
    refusals.refused("c1", "", "192.0.2.1", "no password")
    refusals.refused("c2", "", "192.0.2.1", "no password")
    await refusals.flush()
    await audit.record(caller(2), "b")
    found = await audit.verify(caller(1))
    assert found.unknown is not None
    assert (found.own.rows, found.unknown.rows, found.holds) == (1, 3, True)
    assert (await audit.verify(caller(2))).unknown is None
    assert (await audit.verify(caller(1, role="administrator"))).unknown is None
    change(rooms, "UPDATE audit SET actor = 'account:1' WHERE id = 3")
    assert not (await audit.verify(caller(1))).holds
    assert (await audit.verify(caller(2))).holds
    with pytest.raises(ForbiddenError):
        await audit.verify(caller(permissions=frozenset()))


async def test_rows_from_before_the_chain_are_counted_apart(rooms: Rooms) -> None:
    change(
        rooms,
        "INSERT INTO audit (organization_id, at, actor, action, outcome, detail) "
        "VALUES (1, 1, 'account:1', 'old', 'ok', '{}')",
    )
    audit = await recorded(rooms, 2)
    found = await audit.verify(caller())
    assert (found.holds, found.own.unchained, found.own.rows) == (True, 1, 2)


async def test_what_retention_removes_leaves_a_chain_that_holds(rooms: Rooms) -> None:
    audit = await recorded(rooms)
    rooms.clock.advance(10 * DAY_S)
    await audit.record(caller(), "young")
    retention = AuditRetention(rooms.db, 5, rooms.clock)
    assert await retention.prune() == 5
    assert retention.removed == 5
    actions = [each.action for each in (await audit.list(caller())).items]
    assert actions == ["audit.pruned", "young"]
    found = await audit.verify(caller())
    assert (found.holds, found.own.rows) == (True, 2)
    assert await retention.prune() == 0
    # Again, so that the first checkpoint itself goes.
    for _ in range(2):
        rooms.clock.advance(10 * DAY_S)
        await audit.record(caller(), "younger")
        assert await retention.prune() > 0
        assert (await audit.verify(caller())).holds
    # A checkpoint says what was removed: without it the beginning is missing.
    change(rooms, "DELETE FROM audit WHERE action = 'audit.pruned'")
    assert not (await audit.verify(caller())).holds


async def test_retention_without_young_rows_leaves_the_checkpoint(rooms: Rooms) -> None:
    audit = await recorded(rooms)
    rooms.clock.advance(10 * DAY_S)
    retention = AuditRetention(rooms.db, 5, rooms.clock)
    assert await retention.prune() == 5
    rooms.clock.advance(10 * DAY_S)
    assert await retention.prune() == 0
    await audit.record(caller(), "after")
    found = await audit.verify(caller())
    assert (found.holds, found.own.rows) == (True, 2)


async def test_a_clock_that_was_set_back_cuts_no_hole_into_the_chain(rooms: Rooms) -> None:
    audit = await recorded(rooms, 3)
    start = rooms.clock.at
    rooms.clock.at = start - 20 * DAY_S * 1_000_000
    await audit.record(caller(), "set back")
    rooms.clock.at = start + DAY_S * 1_000_000
    assert await AuditRetention(rooms.db, 5, rooms.clock).prune() == 0
    assert (await audit.verify(caller())).holds


async def test_a_digest_can_be_checked_by_anybody(rooms: Rooms) -> None:
    from hashlib import sha256

    audit = await recorded(rooms, 2)
    (record,) = (await audit.list(caller(), limit=1)).items
    row = msgspec.structs.asdict(record)
    names = ("previous", "organization_id", "at", "actor", "action", "subject", "outcome")
    content = [row[name] for name in (*names, "remote", "detail")]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert sha256(text.encode()).hexdigest() == record.digest


async def test_nothing_to_append_writes_nothing(rooms: Rooms) -> None:
    await rooms.db.write(lambda tx: append(tx, []))
    assert (await SqlAudit(rooms.db).verify(caller())).own.rows == 0
