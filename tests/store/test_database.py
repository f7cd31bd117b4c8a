"""One writer, group commit: each piece of work stands for itself, and is stored when it says so."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from fleetwire.errors import InvalidValueError, StoreUnavailableError
from fleetwire.store.database import GROUP_LIMIT, Database, Transaction


class Disk(Database):
    """A database whose next commits wait for `release`, or fail while `is_full`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_full = False
        self.reached = threading.Event()
        self.release = threading.Event()
        self.release.set()

    def _before_commit(self) -> None:
        self.reached.set()
        assert self.release.wait(10)
        if self.is_full:
            raise OperationalError("COMMIT", None, Exception("database or disk is full"))

    async def group(self, *works: Callable[[Transaction], object]) -> list[object]:
        """Run these in one group; return what each returned or raised."""
        self.reached.clear()
        self.release.clear()
        first = asyncio.create_task(self.write(lambda tx: None))
        await asyncio.to_thread(self.reached.wait, 10)
        tasks = [asyncio.create_task(self.write(work)) for work in works]
        await asyncio.sleep(0)
        assert self.waiting == len(works)
        self.release.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Disk]:
    disk = Disk(f"sqlite:///{tmp_path / 'test.db'}")
    disk.open()
    await disk.write(lambda tx: tx.execute(text("CREATE TABLE things (name TEXT UNIQUE)")).close())
    yield disk
    disk.release.set()
    await disk.close()


def put(name: str) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        tx.execute(text("INSERT INTO things VALUES (:name)"), {"name": name})
        return name

    return work


def put_and_fail(name: str, error: Exception) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        put(name)(tx)
        raise error

    return work


def _names(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT name FROM things ORDER BY rowid")).scalars())


async def names(database: Database) -> list[str]:
    return await database.read(_names)


async def test_work_is_stored_when_it_returns(disk: Disk) -> None:
    assert await disk.write(put("a")) == "a"
    assert await names(disk) == ["a"]


async def test_what_gathers_during_a_commit_shares_the_next_one(disk: Disk) -> None:
    before = disk.groups_committed
    assert await disk.group(*[put(f"{n}") for n in range(GROUP_LIMIT)]) == [
        f"{n}" for n in range(GROUP_LIMIT)
    ]
    assert disk.groups_committed == before + 2  # the one that was waited for, and this
    assert await names(disk) == [f"{n}" for n in range(GROUP_LIMIT)]


async def test_a_group_is_bounded(disk: Disk) -> None:
    before = disk.groups_committed
    await disk.group(*[put(f"{n}") for n in range(GROUP_LIMIT + 1)])
    assert disk.groups_committed == before + 3


async def test_a_piece_that_fails_does_not_harm_the_others(disk: Disk) -> None:
    no = InvalidValueError("no")
    assert await disk.group(put("a"), put_and_fail("b", no), put("c")) == ["a", no, "c"]
    assert await names(disk) == ["a", "c"]


async def test_a_piece_that_fails_alone_leaves_nothing(disk: Disk) -> None:
    with pytest.raises(InvalidValueError, match="no"):
        await disk.write(put_and_fail("a", InvalidValueError("no")))
    await disk.write(put("b"))
    assert await names(disk) == ["b"]


async def test_a_broken_constraint_is_told_to_its_caller_only(disk: Disk) -> None:
    await disk.write(put("a"))
    first, second, third = await disk.group(put("b"), put("a"), put("c"))
    assert isinstance(second, IntegrityError)
    assert (first, third) == ("b", "c")
    with pytest.raises(IntegrityError):
        await disk.write(put("a"))
    assert await names(disk) == ["a", "b", "c"]


async def test_sql_that_makes_no_sense_is_told_to_its_caller_only(disk: Disk) -> None:
    def work(tx: Transaction) -> None:
        tx.execute(text("INSERT INTO nowhere VALUES (1)"))

    first, second, third = await disk.group(put("a"), work, put("b"))
    assert isinstance(second, OperationalError)
    assert (first, third) == ("a", "b")
    with pytest.raises(OperationalError):
        await disk.write(work)
    assert await names(disk) == ["a", "b"]


async def test_stop_iteration_reaches_its_caller_as_an_error(disk: Disk) -> None:
    def work(tx: Transaction) -> object:
        return next(iter(()))

    failed, stored = await disk.group(work, put("a"))
    assert isinstance(failed, RuntimeError)
    assert stored == "a"


async def test_a_commit_that_fails_is_told_to_all_and_the_next_one_works(disk: Disk) -> None:
    seen: list[str] = []

    def with_callback(tx: Transaction) -> None:
        put("a")(tx)
        tx.after_commit(lambda: seen.append("a"))

    disk.reached.clear()
    disk.release.clear()
    alone = asyncio.create_task(disk.write(put("alone")))
    await asyncio.to_thread(disk.reached.wait, 10)
    group = [asyncio.create_task(disk.write(work)) for work in (with_callback, put("b"))]
    await asyncio.sleep(0)
    disk.is_full = True
    disk.release.set()
    told = []
    for task in (alone, *group):
        with pytest.raises(StoreUnavailableError, match="disk is full") as refused:
            await task
        told.append(refused.value)
    assert told[1] is not told[2]
    assert seen == []
    assert await names(disk) == []

    disk.is_full = False
    assert await disk.group(put("a"), put("b")) == ["a", "b"]
    assert await names(disk) == ["a", "b"]


async def test_a_database_that_has_gone_is_told_and_works_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "away"
    database = Database(f"sqlite:///{folder / 'test.db'}")
    database.open()
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        await database.write(put("a"))
    with pytest.raises(StoreUnavailableError, match="unable to open"):
        await names(database)
    folder.mkdir()
    await database.write(lambda tx: tx.execute(text("CREATE TABLE things (name TEXT)")).close())
    await database.write(put("a"))
    assert await names(database) == ["a"]
    await database.close()


async def test_callbacks_come_after_the_commit_in_order_and_before_the_caller(disk: Disk) -> None:
    seen: list[str] = []

    def told(name: str, error: Exception | None = None) -> Callable[[Transaction], None]:
        def work(tx: Transaction) -> None:
            put(name)(tx)
            assert threading.current_thread() is not threading.main_thread()
            tx.after_commit(lambda: note(f"{name} 1"))
            tx.after_commit(lambda: note(f"{name} 2"))
            if error is not None:
                raise error

        return work

    def note(what: str) -> None:
        assert threading.current_thread() is threading.main_thread()
        seen.append(what)

    await disk.group(told("a"), told("b", InvalidValueError("no")), told("c"))
    assert seen == ["a 1", "a 2", "c 1", "c 2"]
    await disk.write(told("d"))
    assert seen[4:] == ["d 1", "d 2"]


async def test_a_callback_that_fails_keeps_nobody_waiting(disk: Disk) -> None:
    seen: list[str] = []

    def fail() -> None:
        raise RuntimeError("a bug")

    def work(tx: Transaction) -> str:
        tx.after_commit(fail)
        tx.after_commit(lambda: seen.append("second"))
        return "stored"

    with capture_logs() as logs:
        assert await disk.group(work, put("a")) == ["stored", "a"]
    assert seen == ["second"]
    assert [entry["log_level"] for entry in logs] == ["error"]


async def test_work_whose_caller_went_away_is_stored_all_the_same(disk: Disk) -> None:
    disk.reached.clear()
    disk.release.clear()
    task = asyncio.create_task(disk.write(put("a")))
    await asyncio.to_thread(disk.reached.wait, 10)
    task.cancel()
    disk.release.set()
    assert await disk.write(put("b")) == "b"
    assert task.cancelled()
    assert await names(disk) == ["a", "b"]


async def test_closing_finishes_what_was_handed_in_and_takes_no_more(tmp_path: Path) -> None:
    disk = Disk(f"sqlite:///{tmp_path / 'test.db'}")
    disk.open()
    await disk.write(lambda tx: tx.execute(text("CREATE TABLE things (name TEXT)")).close())
    disk.release.clear()
    tasks = [asyncio.create_task(disk.write(put(f"{n}"))) for n in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(disk.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailableError, match="closed"):
        await disk.write(put("late"))
    with pytest.raises(StoreUnavailableError, match="closed"):
        await names(disk)
    disk.release.set()
    await closing
    assert await asyncio.gather(*tasks) == ["0", "1", "2"]
    again = Database(f"sqlite:///{tmp_path / 'test.db'}")
    again.open()
    assert await names(again) == ["0", "1", "2"]
    await again.close()


async def test_a_reader_sees_what_is_committed_while_another_commit_waits(disk: Disk) -> None:
    await disk.write(put("a"))
    disk.reached.clear()
    disk.release.clear()
    writing = asyncio.create_task(disk.write(put("b")))
    await asyncio.to_thread(disk.reached.wait, 10)
    assert await names(disk) == ["a"]
    disk.release.set()
    await writing
    assert await names(disk) == ["a", "b"]


async def test_a_reader_keeps_its_snapshot(disk: Disk) -> None:
    await disk.write(put("a"))
    began = threading.Event()
    go_on = threading.Event()

    def twice(connection: Connection) -> tuple[list[str], list[str]]:
        before = _names(connection)
        began.set()
        assert go_on.wait(10)
        return before, _names(connection)

    reading = asyncio.create_task(disk.read(twice))
    await asyncio.to_thread(began.wait, 10)
    await disk.write(put("b"))
    go_on.set()
    assert await reading == (["a"], ["a"])


async def test_what_a_reader_raises_reaches_its_caller(disk: Disk) -> None:
    def fail(connection: Connection) -> None:
        raise InvalidValueError("no")

    with pytest.raises(InvalidValueError, match="no"):
        await disk.read(fail)
    with pytest.raises(StoreUnavailableError, match="no such table"):
        await disk.read(lambda c: c.execute(text("SELECT * FROM missing")).all())


async def test_the_time_of_commits_is_counted(disk: Disk) -> None:
    before = disk.commit_seconds
    await disk.write(put("a"))
    assert disk.last_commit_s > 0
    assert disk.commit_seconds == pytest.approx(before + disk.last_commit_s)


async def test_a_commit_is_on_the_disk_and_foreign_keys_hold(disk: Disk) -> None:
    def settings(tx: Transaction) -> tuple[str, int, int]:
        mode, synchronous, keys = (
            tx.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        )
        return mode, synchronous, keys

    assert await disk.write(settings) == ("wal", 2, 1)  # 2: FULL
