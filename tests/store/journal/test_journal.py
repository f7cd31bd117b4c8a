"""Nothing is released before it is stored, nothing over is written, nothing waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from fleetwire.broker.session import WAIT_PUBACK, WAIT_PUBCOMP, WAIT_PUBREC
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription
from fleetwire.store.database import Transaction
from fleetwire.store.journal.journal import SqlJournal
from tests.store.journal.making import (
    FAILED,
    NOW,
    Disk,
    Note,
    Valve,
    give,
    make_journal,
    make_outgoing,
    make_session,
    picture_of_session,
)


@pytest.fixture
async def journal(disk: Disk) -> AsyncIterator[SqlJournal]:
    """A journal that runs."""
    journal = make_journal(disk)
    await journal.load(NOW)
    assert await journal.flush(5)
    task = asyncio.create_task(journal.run())
    yield journal
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def stored(journal: SqlJournal) -> None:
    """Return when everything told so far is stored."""
    done = asyncio.Event()
    journal.when_stored(done.set)
    await asyncio.wait_for(done.wait(), 10)


async def count(disk: Disk, table: str) -> int:
    def work(connection: Any) -> int:
        return int(connection.execute(text(f"SELECT count(*) FROM mqtt_{table}")).scalar_one())

    return await disk.read(work)


async def execute(disk: Disk, statement: str) -> None:
    await disk.write(lambda tx: tx.execute(text(statement)).close())


# --- waiting ---


async def test_a_ticket_waits_for_the_commit(disk: Disk, journal: SqlJournal) -> None:
    notes: list[tuple[str, int]] = []
    await disk.stall()
    journal.keep_session(make_session("a"))
    journal.hold(Note("a", notes))
    await disk.until_reached()
    assert notes == []
    assert await count(disk, "sessions") == 0
    disk.release.set()
    await stored(journal)
    assert notes == [("a", 0)]
    assert await count(disk, "sessions") == 1


async def test_with_nothing_to_store_a_ticket_goes_at_once(journal: SqlJournal) -> None:
    notes: list[tuple[str, int]] = []
    journal.hold(Note("a", notes))
    journal.when_stored(lambda: notes.append(("action", 0)))
    assert notes == [("a", 0), ("action", 0)]


async def test_tickets_and_actions_go_in_the_order_they_were_told(
    disk: Disk, journal: SqlJournal
) -> None:
    notes: list[tuple[str, int]] = []
    await disk.stall()
    session = make_session("a")
    journal.keep_session(session)
    journal.hold(Note("1", notes))
    journal.when_stored(lambda: notes.append(("2", 0)))
    journal.hold(Note("3", notes))
    await disk.until_reached()
    journal.hold(Note("4", notes))
    journal.keep_received(session, 1)
    journal.hold(Note("5", notes))
    disk.release.set()
    await stored(journal)
    assert [name for name, _ in notes] == ["1", "2", "3", "4", "5"]


async def test_what_an_action_tells_waits_behind_those_before_it(journal: SqlJournal) -> None:
    notes: list[tuple[str, int]] = []

    def action() -> None:
        journal.hold(Note("from the action", notes))

    journal.keep_session(make_session("a"))
    journal.when_stored(action)
    journal.hold(Note("told before", notes))
    await stored(journal)
    await stored(journal)
    assert [name for name, _ in notes] == ["told before", "from the action"]


async def test_what_gathers_during_a_commit_shares_the_next_one(
    disk: Disk, journal: SqlJournal
) -> None:
    before = journal.batches_stored
    await disk.stall()
    journal.keep_session(make_session("first"))
    await disk.until_reached()
    for number in range(1_000):
        journal.keep_session(make_session(f"{number}"))
        await asyncio.sleep(0)
    disk.release.set()
    await stored(journal)
    assert journal.batches_stored == before + 2
    assert await count(disk, "sessions") == 1_001


async def test_an_action_that_fails_keeps_nobody_waiting(journal: SqlJournal) -> None:
    notes: list[tuple[str, int]] = []

    def fail() -> None:
        raise RuntimeError("a bug")

    journal.keep_session(make_session("a"))
    journal.when_stored(fail)
    journal.hold(Note("a", notes))
    with capture_logs() as logs:
        await stored(journal)
    assert notes == [("a", 0)]
    assert [entry["log_level"] for entry in logs] == ["error"]


# --- what is not written ---


async def test_a_message_that_came_and_went_within_a_batch_is_never_written(
    disk: Disk, journal: SqlJournal
) -> None:
    session = make_session("a")
    journal.keep_session(session)
    await stored(journal)
    rows, batches = journal.rows_stored, journal.batches_stored
    notes: list[tuple[str, int]] = []
    for number in range(100):
        outgoing = make_outgoing(Publish(f"t/{number}", b"x", 2), 2)
        journal.keep_outgoing(session, outgoing)
        journal.hold(Note(f"{number}", notes))
        outgoing.state, outgoing.packet_id = WAIT_PUBCOMP, 1
        journal.keep_outgoing(session, outgoing)
        journal.drop_outgoing(session, outgoing)
        assert outgoing.key == 0
        journal.keep_received(session, 1)
        journal.drop_received(session, 1)
    await stored(journal)
    assert (journal.rows_stored, journal.batches_stored) == (rows, batches)
    assert len(notes) == 100


async def test_a_session_that_came_and_went_within_a_batch_is_never_written(
    disk: Disk, journal: SqlJournal
) -> None:
    rows = journal.rows_stored
    session = make_session("a")
    journal.keep_session(session)
    journal.keep_subscription(session, Subscription("t"), 0)
    journal.keep_received(session, 1)
    journal.keep_outgoing(session, make_outgoing(Publish("t", b"x", 1)))
    journal.drop_session(session)
    journal.keep_will(session, Publish("gone", b"x"), 0, 0)
    journal.drop_will(session)
    await stored(journal)
    assert session.key == 0
    assert journal.rows_stored == rows


async def test_only_the_last_state_of_a_batch_is_written(disk: Disk, journal: SqlJournal) -> None:
    session = make_session("a")
    journal.keep_session(session)
    outgoing = make_outgoing(Publish("t", b"x", 2), 2)
    journal.keep_outgoing(session, outgoing)
    await stored(journal)
    rows = journal.rows_stored
    outgoing.packet_id = 3
    for outgoing.state in (WAIT_PUBREC, WAIT_PUBCOMP):
        journal.keep_outgoing(session, outgoing)
    for number in range(50):
        journal.keep_retained(Publish("t", b"%d" % number, 0, True), 0)
    await stored(journal)
    assert journal.rows_stored == rows + 2  # the state, the retained message
    journal.keep_outgoing(session, outgoing)
    journal.drop_outgoing(session, outgoing)
    await stored(journal)
    assert journal.rows_stored == rows + 4  # it and its message are gone


async def test_a_message_is_written_once_for_many_sessions(disk: Disk, journal: SqlJournal) -> None:
    publish = Publish("t", b"x", 1)
    sessions = [make_session(f"{number}") for number in range(10)]
    for session in sessions:
        journal.keep_session(session)
    for session in sessions[:5]:
        journal.keep_outgoing(session, give(session, make_outgoing(publish)))
    await stored(journal)
    for session in sessions[5:]:
        journal.keep_outgoing(session, give(session, make_outgoing(publish)))
    await stored(journal)
    assert (await count(disk, "messages"), await count(disk, "outgoing")) == (1, 10)
    for session in sessions[:9]:
        journal.drop_outgoing(session, session.queue[0])
    await stored(journal)
    assert (await count(disk, "messages"), await count(disk, "outgoing")) == (1, 1)
    journal.drop_session(sessions[9])
    await stored(journal)
    assert (await count(disk, "messages"), await count(disk, "outgoing")) == (0, 0)


async def test_a_dropped_session_takes_everything_with_it_but_its_will(
    disk: Disk, journal: SqlJournal
) -> None:
    for name in "ab":
        session = make_session(name)
        journal.keep_session(session)
        journal.keep_subscription(session, Subscription("t"), 0)
        journal.keep_received(session, 1)
        journal.keep_will(session, Publish("gone", b"x"), 0, 0)
        journal.keep_outgoing(session, make_outgoing(Publish("t", b"x", 1)))
    await stored(journal)
    journal.drop_session(session)
    # All of this is about a session that is no more.
    journal.keep_subscription(session, Subscription("u"), 0)
    journal.keep_received(session, 2)
    journal.keep_outgoing(session, make_outgoing(Publish("t", b"x", 1)))
    journal.drop_subscription(session, "t")
    journal.drop_received(session, 1)
    await stored(journal)
    for table in ("sessions", "subscriptions", "received", "outgoing", "messages"):
        assert await count(disk, table) == 1, table
    assert await count(disk, "wills") == 2


async def test_a_message_moves_from_one_session_to_another(disk: Disk, journal: SqlJournal) -> None:
    first, second = make_session("a"), make_session("b")
    journal.keep_session(first)
    journal.keep_session(second)
    journal.keep_outgoing(second, give(second, make_outgoing(Publish("t", b"own", 1))))
    moved = make_outgoing(Publish("t", b"moved", 1))
    journal.keep_outgoing(first, moved)
    await stored(journal)
    journal.drop_session(first)
    journal.keep_outgoing(second, give(second, moved))
    await stored(journal)
    restored = await make_journal(disk).load(NOW)
    assert [picture_of_session(each) for each in restored.sessions] == [picture_of_session(second)]


async def test_a_client_identifier_can_have_a_new_session_in_the_same_batch(
    disk: Disk, journal: SqlJournal
) -> None:
    old = make_session("a")
    journal.keep_session(old)
    journal.keep_received(old, 1)
    await stored(journal)
    journal.drop_session(old)
    new = make_session("a")
    journal.keep_session(new)
    journal.keep_received(new, 2)
    newest = make_session("a")
    journal.keep_session(newest)  # nobody has said that the one before has ended
    journal.keep_received(newest, 3)
    await stored(journal)
    restored = await make_journal(disk).load(NOW)
    assert [list(session.received) for session in restored.sessions] == [[3]]


async def test_a_packet_id_that_is_used_again_in_one_batch_is_still_known(
    disk: Disk, journal: SqlJournal
) -> None:
    session = make_session("a")
    journal.keep_session(session)
    journal.keep_received(session, 1)
    await stored(journal)
    journal.drop_received(session, 1)
    journal.keep_received(session, 1)
    journal.keep_received(session, 1)
    await stored(journal)
    assert await count(disk, "received") == 1
    journal.drop_received(session, 1)
    journal.keep_received(session, 1)
    journal.drop_received(session, 1)
    await stored(journal)
    assert await count(disk, "received") == 0


async def test_a_will_that_went_and_came_again_in_one_batch_is_the_last_one(
    disk: Disk, journal: SqlJournal
) -> None:
    session = make_session("a")
    journal.keep_will(session, Publish("gone", b"1"), 0, 0)
    await stored(journal)
    journal.drop_will(session)
    journal.keep_will(session, Publish("gone", b"2"), 0, NOW)
    journal.drop_will(session)
    await stored(journal)
    assert await count(disk, "wills") == 0
    journal.keep_will(session, Publish("gone", b"3"), 0, NOW)
    await stored(journal)
    assert [will.payload for _, will, _, _ in (await make_journal(disk).load(NOW)).wills] == [b"3"]


async def test_a_message_is_stored_as_it_was_when_its_batch_was_taken(
    disk: Disk, journal: SqlJournal
) -> None:
    session = make_session("a")
    journal.keep_session(session)
    outgoing = make_outgoing(Publish("t", b"x", 1))
    journal.keep_outgoing(session, outgoing)
    await disk.stall()
    await disk.until_reached()
    outgoing.packet_id = 5  # and not yet its state: half of a change
    disk.release.set()
    await stored(journal)
    (back,) = (await make_journal(disk).load(NOW)).sessions
    assert [(each.packet_id, each.state) for each in back.queue] == [(0, 0)]
    outgoing.state = WAIT_PUBACK
    journal.keep_outgoing(session, outgoing)
    await stored(journal)
    (back,) = (await make_journal(disk).load(NOW)).sessions
    assert list(back.inflight) == [5]


# --- a database that is away ---


async def test_while_the_database_is_away_nothing_is_released_and_then_all_of_it_in_order(
    disk: Disk, journal: SqlJournal
) -> None:
    notes: list[tuple[str, int]] = []
    disk.is_full = True
    await disk.stall()
    with capture_logs() as logs:
        session = make_session("a")
        journal.keep_session(session)
        journal.hold(Note("1", notes))
        await disk.until_reached()
        journal.keep_received(session, 1)
        journal.hold(Note("2", notes))
        disk.release.set()
        disk.reached.clear()
        await disk.until_reached()  # it is tried again
        assert notes == []
        assert journal.is_stalled
        disk.is_full = False
        await stored(journal)
    assert [name for name, _ in notes] == ["1", "2"]
    assert not journal.is_stalled
    assert [entry["log_level"] for entry in logs] == ["error", "info"]
    assert (await count(disk, "sessions"), await count(disk, "received")) == (1, 1)


async def test_past_the_bound_clients_are_held_until_half_of_it_is_stored(disk: Disk) -> None:
    valve = Valve()
    journal = make_journal(disk, valve, high=10)
    task = asyncio.create_task(journal.run())
    await disk.stall()
    journal.keep_session(make_session("first"))
    await disk.until_reached()
    for number in range(8):
        journal.keep_session(make_session(f"{number}"))
    assert valve.held == 0
    journal.keep_session(make_session("the tenth"))
    journal.keep_session(make_session("the eleventh"))
    assert (valve.held, valve.resumed) == (1, 0)
    disk.reached.clear()
    disk.release.set()
    await disk.until_reached()
    await stored(journal)
    assert (valve.held, valve.resumed) == (1, 1)
    assert journal.pending == 0
    task.cancel()


async def test_one_batch_stored_is_no_reason_to_read_on_while_more_than_half_waits(
    disk: Disk,
) -> None:
    valve = Valve()
    journal = make_journal(disk, valve, high=10)
    task = asyncio.create_task(journal.run())
    await disk.stall()
    first = asyncio.Event()
    journal.keep_session(make_session("first"))
    journal.when_stored(first.set)
    await disk.until_reached()
    for number in range(20):
        journal.keep_session(make_session(f"{number}"))
    reached_again = asyncio.create_task(first.wait())
    disk.release.set()
    await reached_again
    assert (valve.held, valve.resumed) == (1, 0)
    await stored(journal)
    assert (valve.held, valve.resumed) == (1, 1)
    task.cancel()


# --- a database that is there and says no ---


async def test_a_row_that_is_refused_costs_that_row_and_its_acknowledgement(
    disk: Disk, journal: SqlJournal
) -> None:
    notes: list[tuple[str, int]] = []
    await execute(
        disk,
        "CREATE TRIGGER no BEFORE INSERT ON mqtt_messages WHEN NEW.topic = 't/500' "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )
    session = make_session("a")
    journal.keep_session(session)
    for number in range(1_000):
        journal.keep_outgoing(session, make_outgoing(Publish(f"t/{number}", b"secret", 1)))
    journal.hold(Note("a", notes))
    with capture_logs() as logs:
        await stored(journal)
    assert notes == [("a", FAILED)]
    assert journal.rows_refused == 1
    assert await count(disk, "messages") == 999
    (entry,) = logs
    assert entry["log_level"] == "error"
    assert entry["some"] == ["mqtt_messages: not this one"]

    journal.keep_received(session, 1)
    journal.hold(Note("b", notes))
    await stored(journal)
    assert notes[1:] == [("b", 0)]


async def test_a_message_that_cannot_be_written_down_costs_that_message_only(
    disk: Disk, journal: SqlJournal
) -> None:
    notes: list[tuple[str, int]] = []
    journal.keep_retained(Publish("good", b"x", 0, True), 0)
    journal.keep_retained(Publish("bad", b"x", 0, True, properties={c.RECEIVE_MAXIMUM: 5}), 0)
    journal.hold(Note("a", notes))
    with capture_logs() as logs:
        await stored(journal)
    assert notes == [("a", FAILED)]
    assert logs[0]["some"] == ["mqtt_retained: ProtocolError"]
    assert await count(disk, "retained") == 1


async def test_a_disk_that_fills_while_a_row_at_fault_is_sought_costs_no_other_row(
    disk: Disk, journal: SqlJournal
) -> None:
    notes: list[tuple[str, int]] = []
    await execute(
        disk,
        "CREATE TRIGGER no BEFORE INSERT ON mqtt_messages WHEN NEW.topic = 't/0' "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )
    session = make_session("a")
    journal.keep_session(session)
    await stored(journal)

    def limit(tx: Transaction) -> None:
        pages = tx.execute(text("PRAGMA page_count")).scalar_one()
        tx.execute(text(f"PRAGMA max_page_count = {pages + 20}")).close()

    await disk.write(limit)
    for number in range(100):
        journal.keep_outgoing(session, make_outgoing(Publish(f"t/{number}", b"x" * 10_000, 1)))
    journal.hold(Note("a", notes))
    with capture_logs() as logs:
        async with asyncio.timeout(10):
            while not journal.is_stalled:
                await disk.read(lambda connection: None)
        assert notes == []
        await execute(disk, "PRAGMA max_page_count = 100000")
        await stored(journal)
    assert [entry["log_level"] for entry in logs] == ["error", "info", "error"]
    assert (journal.rows_refused, logs[-1]["rows"]) == (1, 1)
    assert notes == [("a", FAILED)]
    assert await count(disk, "messages") == 99


async def test_a_table_that_is_missing_ends_without_acknowledgement_and_not_in_a_loop(
    disk: Disk, journal: SqlJournal
) -> None:
    notes: list[tuple[str, int]] = []
    await execute(disk, "ALTER TABLE mqtt_sessions RENAME TO elsewhere")
    journal.keep_session(make_session("a"))
    journal.hold(Note("a", notes))
    with capture_logs() as logs:
        await stored(journal)
    assert notes == [("a", FAILED)]
    assert [entry["log_level"] for entry in logs] == ["error"]
    await execute(disk, "ALTER TABLE elsewhere RENAME TO mqtt_sessions")
    journal.keep_session(make_session("b"))
    journal.hold(Note("b", notes))
    await stored(journal)
    assert notes[1:] == [("b", 0)]


# --- the end ---


async def test_flush_stores_everything_also_what_was_on_its_way_when_run_ended(disk: Disk) -> None:
    notes: list[tuple[str, int]] = []
    journal = make_journal(disk)
    task = asyncio.create_task(journal.run())
    await disk.stall()
    session = make_session("a")
    journal.keep_session(session)
    journal.hold(Note("1", notes))
    await disk.until_reached()
    journal.keep_received(session, 1)
    journal.hold(Note("2", notes))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    disk.release.set()
    assert await journal.flush(5)
    assert [name for name, _ in notes] == ["1", "2"]
    assert (await count(disk, "sessions"), await count(disk, "received")) == (1, 1)


async def test_flush_ends_in_time_says_so_and_releases_nothing(
    disk: Disk, journal: SqlJournal
) -> None:
    notes: list[tuple[str, int]] = []
    disk.is_full = True
    journal.keep_session(make_session("a"))
    journal.hold(Note("a", notes))
    with capture_logs() as logs:
        assert not await journal.flush(0.05)
    assert notes == []
    assert logs[-1]["log_level"] == "error"
