"""Database: one writer, several readers, group commit.

Theory of operation. All writes of the process go through one thread. It takes whatever work has
gathered since its last commit, runs each piece in its own savepoint inside one transaction, commits
once, and reports back to the event loop in commit order. While it waits for the disk, the next
group gathers; so a lone piece of work waits only for its own commit, and a thousand share one.
A piece that raises is rolled back alone and its caller gets the exception. If the commit itself
fails nobody's work is stored and every caller gets StoreUnavailableError.

Reads run on a small pool of threads, each with its own connection and a snapshot of its own.

Does not: retry (the caller knows whether that is safe), or hide SQL (rooms write SQLAlchemy Core).
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection, CursorResult, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.sql import Executable

from fleetwire.errors import StoreUnavailableError
from fleetwire.kit.transaction import Transaction as KitTransaction
from fleetwire.store.commit_times import CommitTimes

log = structlog.get_logger("fleetwire.store")

T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0  # another process (a person's sqlite3 shell) may hold the lock for a moment
GROUP_LIMIT = 64  # pieces of work per commit; more would make the first wait long for the last


class Transaction(KitTransaction):
    """One piece of work's view of the transaction. Only valid on the writer's thread."""

    __slots__ = ("_after_commit", "connection")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._after_commit: list[Callable[[], None]] = []

    def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Execute one statement; a sequence of mappings executes it once for each."""
        return self.connection.execute(statement, parameters)

    def execute_plain(self, statement: str, parameters: Sequence[Any]) -> int:
        """Execute one statement in the driver's own words; return how many rows it changed.

        For the hot path: SQLAlchemy's way to the driver costs as much as a small INSERT. Errors are
        SQLAlchemy's all the same.
        """
        driver = self.connection.dialect.loaded_dbapi
        cursor = self.connection.connection.cursor()
        try:
            cursor.execute(statement, parameters)
            return int(cursor.rowcount)
        except driver.Error as error:
            raise DBAPIError.instance(statement, None, error, driver.Error) from error
        finally:
            cursor.close()

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call this on the event loop once the commit has happened, in commit order.

        It is forgotten if this piece of work, or the commit, fails.
        """
        self._after_commit.append(callback)

    def adopt(self, part: "Transaction") -> None:
        """Take over what shall follow the commit of a part, which has come to its good end."""
        self._after_commit += part._after_commit


class _Job:
    __slots__ = ("error", "future", "result", "transaction", "work")

    def __init__(self, work: Callable[[Transaction], Any], future: "asyncio.Future[Any]") -> None:
        self.work = work
        self.future = future
        self.transaction: Transaction | None = None
        self.result: Any = None
        self.error: BaseException | None = None


class Database:
    """The store behind one URL, such as `sqlite:////var/lib/fleetwire/fleetwire.db`."""

    def __init__(self, url: str, *, readers: int = 4) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = self._make_engine(readers)
        self.groups_committed = 0
        self.commit_seconds = 0.0
        self.last_commit_s = 0.0
        self.commit_times = CommitTimes()
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-read")

    def _make_engine(self, readers: int) -> Engine:
        if not self.is_sqlite:
            return create_engine(self.url, poolclass=QueuePool, pool_size=readers + 1)
        in_memory = self.url.database in (None, "", ":memory:")
        engine = create_engine(
            self.url,
            poolclass=NullPool if in_memory else QueuePool,
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            **({} if in_memory else {"pool_size": readers + 2}),
        )
        event.listen(engine, "connect", _prepare_sqlite)
        return engine

    def open(self) -> None:
        """Start the writer's thread. Call on the event loop that will use this database."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Finish the work that was handed in, then stop."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        self._readers.shutdown(wait=True)
        self.engine.dispose()

    @property
    def waiting(self) -> int:
        """How many pieces of work wait for the writer."""
        return len(self._jobs)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on the writer's thread and return its result after the commit.

        Raises what `work` raises (nothing of it is stored then), or StoreUnavailableError.
        """
        assert self._loop is not None, "open() comes first"
        job = _Job(work, self._loop.create_future())
        with self._wake:
            if self._stopping:
                raise StoreUnavailableError("The database is being closed.")
            self._jobs.append(job)
            self._wake.notify()
        result: T = await job.future
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a reader's thread, in a snapshot, and return its result.

        Raises what `work` raises, or StoreUnavailableError.
        """
        assert self._loop is not None, "open() comes first"
        if self._stopping:
            raise StoreUnavailableError("The database is being closed.")
        return await self._loop.run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self.engine.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            raise StoreUnavailableError(f"The database cannot be read: {error.orig}") from error

    def connect_to_write(self) -> Connection:
        """Return a connection whose transactions take the write lock when they begin.

        For the writer's thread, and for whoever prepares the database before it is opened.
        """
        return self.engine.connect().execution_options(takes_write_lock=True)

    # --- the writer's thread ---

    def _run(self) -> None:
        connection: Connection | None = None
        while True:
            with self._wake:
                while not self._jobs and not self._stopping:
                    self._wake.wait()
                if not self._jobs:
                    break
                jobs = [self._jobs.popleft() for _ in range(min(GROUP_LIMIT, len(self._jobs)))]
            try:
                if connection is None:
                    connection = self.connect_to_write()
                self._commit_group(connection, jobs)
            except Exception as error:  # whatever it is, it must reach those who wait
                for job in jobs:
                    job.transaction = None
                    # One for each: raised by many, a single one would gather all their frames.
                    job.error = StoreUnavailableError(
                        f"The database did not take the work: {getattr(error, 'orig', error)}"
                    )
                    job.error.__cause__ = error
                if connection is not None:
                    connection.invalidate()
                    connection.close()
                    connection = None
            self._report(jobs)
        if connection is not None:
            connection.close()

    def _commit_group(self, connection: Connection, jobs: list[_Job]) -> None:
        with connection.begin() as transaction:
            for job in jobs:
                job.transaction = Transaction(connection)
                savepoint = connection.begin_nested() if len(jobs) > 1 else None
                try:
                    job.result = job.work(job.transaction)
                except DBAPIError as error:
                    if error.connection_invalidated or not _is_fault_of_the_statement(error):
                        raise
                    job.error = error
                except StopIteration as error:  # no future takes it
                    job.error = RuntimeError("A piece of work raised StopIteration")
                    job.error.__cause__ = error
                except Exception as error:
                    job.error = error
                if savepoint is not None:
                    if job.error is None:
                        savepoint.commit()
                    else:
                        savepoint.rollback()
                elif job.error is not None:
                    transaction.rollback()
                    return
            began = time.perf_counter()
            self._before_commit()
            transaction.commit()
        self.last_commit_s = time.perf_counter() - began
        self.commit_seconds += self.last_commit_s
        self.commit_times.add(self.last_commit_s)
        self.groups_committed += 1

    def _before_commit(self) -> None:
        """Nothing; tests make a stalling or failing disk of it."""

    def _report(self, jobs: list[_Job]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has gone, and with it those who waited
            self._loop.call_soon_threadsafe(_resolve, jobs)


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.error is None and job.transaction is not None:
            for callback in job.transaction._after_commit:
                try:
                    callback()
                except Exception:  # it is stored; whoever else waits must still hear so
                    log.exception("what follows a commit has failed")
        if job.future.done():
            continue  # the caller was cancelled; the work is stored all the same
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _is_fault_of_the_statement(error: DBAPIError) -> bool:
    """Say whether the work is wrong (a constraint, a type), not the database away or full."""
    # SQLite calls SQL that it does not understand operational, as it does a full disk.
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return True
    return type(error).__name__ in (
        "IntegrityError",
        "DataError",
        "ProgrammingError",
        "InterfaceError",
    )


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # We say BEGIN ourselves: the driver's own habit is to begin late and commit before DDL.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # FULL: the log is on the disk before COMMIT returns. NORMAL could lose acknowledged messages
    # in a power cut.
    cursor.execute("PRAGMA synchronous=FULL")
    # Half as often again as by itself: under load the same pages of an index are in the log many
    # times, and only the last of them is copied. More would make some wait longer for their PUBACK.
    cursor.execute("PRAGMA wal_autocheckpoint=1500")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA cache_size=-32768")  # 32 MiB
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.close()


@event.listens_for(Engine, "begin")
def _begin(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        # The writer takes the lock at once: a read lock that must be upgraded can deadlock.
        takes_lock = connection.get_execution_options().get("takes_write_lock", False)
        cursor = connection.connection.cursor()
        try:
            cursor.execute("BEGIN IMMEDIATE" if takes_lock else "BEGIN")
        except sqlite3.Error as error:
            raise DBAPIError.instance("BEGIN", None, error, sqlite3.Error) from error
        finally:
            cursor.close()
