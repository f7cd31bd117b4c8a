"""Batch: what the journal was told between one commit and the next, made one.

A batch holds what should become true of each row, not how it came about: the last word counts, and
what began and ended within one batch was never there. Since a batch is stored whole or not at all,
the order within it does not matter to anyone.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, ProgrammingError

from fleetwire.broker.delivery import Ticket
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Outgoing, Session
from fleetwire.protocol.packets import Publish, Subscription
from fleetwire.store.database import Transaction
from fleetwire.store.journal import codec, tables
from fleetwire.store.journal.statements import DeleteEach, DeletePair, Statement, Upsert

# The work is wrong, not the database away or full.
_FAULTS = (IntegrityError, DataError, ProgrammingError, InterfaceError)


class Statements:
    """Every statement of the journal."""

    def __init__(self) -> None:
        self.end_sessions = DeleteEach(tables.sessions, "id")
        self.end_subscriptions = DeleteEach(tables.subscriptions, "session")
        self.end_received = DeleteEach(tables.received, "session")
        self.sessions = Upsert(tables.sessions, _as_it_is)
        self.subscriptions = Upsert(tables.subscriptions, codec.subscription_to_row)
        self.drop_subscriptions = DeletePair(tables.subscriptions, "session", "topic_filter")
        self.messages = Upsert(tables.messages, codec.message_to_row)
        self.drop_messages = DeleteEach(tables.messages, "id")
        self.outgoing = Upsert(tables.outgoing, codec.outgoing_to_row)
        self.drop_outgoing = DeleteEach(tables.outgoing, "id")
        self.received = Upsert(tables.received, _as_it_is)
        self.drop_received = DeletePair(tables.received, "session", "packet_id")
        self.retained = Upsert(tables.retained, codec.retained_to_row)
        self.drop_retained = DeleteEach(tables.retained, "topic")
        self.wills = Upsert(tables.wills, codec.will_to_row)
        self.drop_wills = DeleteEach(tables.wills, "client_id")


def _as_it_is(row: codec.Row) -> codec.Row:
    return row


class Batch:
    """Fills on the event loop. None as a value: the row should go."""

    def __init__(self) -> None:
        self.told = 0  # calls
        self.waiting: list[Ticket | Callable[[], None]] = []
        self.sessions: dict[int, Session] = {}
        self.born: set[int] = set()  # sessions that no earlier batch knows
        self.ended: set[int] = set()
        self.subscriptions: dict[tuple[int, str], tuple[int, Subscription, int] | None] = {}
        self.messages: dict[int, Publish] = {}
        self.messages_gone: list[int] = []
        self.outgoing: dict[int, tuple[int, int, Outgoing]] = {}  # new: session, message
        self.changed: dict[int, tuple[int, int, Outgoing]] = {}  # known to an earlier batch
        self.outgoing_gone: list[int] = []
        self.received: dict[tuple[int, int], bool] = {}
        self.retained: dict[str, tuple[Publish, int] | None] = {}
        self.wills: dict[str, tuple[str, Grant, Publish, int, int] | None] = {}
        self.wills_born: set[str] = set()


class Changes:
    """A batch as it is written; from here on it does not change."""

    def __init__(self, batch: Batch, statements: Statements) -> None:
        self.told = batch.told
        self.waiting = batch.waiting
        ended = batch.ended
        gone = sorted(ended - batch.born)
        # What is changed while it waits for the writer must not be stored half: so rows are made of
        # it here. What never changes once it was told becomes a row on the writer's thread.
        outgoing = [
            codec.outgoing_as_it_is(*item)
            for items in (batch.outgoing, batch.changed)
            for item in items.values()
        ]
        subscriptions = [
            (key, item) for key, item in batch.subscriptions.items() if key[0] not in ended
        ]
        received = [(key, kept) for key, kept in batch.received.items() if key[0] not in ended]
        # Ended sessions first: another may have their Client Identifier.
        steps: list[tuple[Statement, list[Any]]] = [
            (statements.end_sessions, gone),
            (statements.end_subscriptions, gone),
            (statements.end_received, gone),
            (statements.sessions, list(map(codec.session_to_row, batch.sessions.values()))),
            (statements.subscriptions, [item for _, item in subscriptions if item is not None]),
            (statements.drop_subscriptions, [key for key, item in subscriptions if item is None]),
            (statements.messages, list(batch.messages.items())),
            (statements.outgoing, outgoing),
            (statements.drop_outgoing, batch.outgoing_gone),
            (statements.drop_messages, batch.messages_gone),
            (statements.received, [key for key, kept in received if kept]),
            (statements.drop_received, [key for key, kept in received if not kept]),
            (statements.retained, _present(batch.retained)),
            (statements.drop_retained, _absent(batch.retained)),
            (statements.wills, _present(batch.wills)),
            (statements.drop_wills, _absent(batch.wills)),
        ]
        self._steps = [step for step in steps if step[1]]

    def __len__(self) -> int:
        """How many rows it writes."""
        return sum(len(items) for _, items in self._steps)

    def write(self, tx: Transaction) -> list[str]:
        """Write everything. On the writer's thread. Writing it twice does what once does."""
        for statement, items in self._steps:
            statement.execute(tx, items)
        return []

    def write_what_can_be(self, tx: Transaction) -> list[str]:
        """Write everything but the rows that are refused; return each refusal in words."""
        refused: list[str] = []
        for statement, items in self._steps:
            _halve(tx, statement, items, refused)
        return refused


def _halve(tx: Transaction, statement: Statement, items: list[Any], refused: list[str]) -> None:
    savepoint = tx.connection.begin_nested()
    try:
        statement.execute(tx, items)
    except Exception as error:
        savepoint.rollback()
        if isinstance(error, DBAPIError) and not isinstance(error, _FAULTS):
            raise  # the database's own trouble, which is no row's fault
        if len(items) == 1:
            # Not the error as it stands: it may quote the row, and with it somebody's data.
            reason = error.orig if isinstance(error, DBAPIError) else type(error).__name__
            refused.append(f"{statement.table}: {reason}")
            return
        middle = len(items) // 2
        _halve(tx, statement, items[:middle], refused)
        _halve(tx, statement, items[middle:], refused)
    else:
        savepoint.commit()


def _present(changes: dict[str, Any]) -> list[Any]:
    return [change for change in changes.values() if change is not None]


def _absent(changes: dict[str, Any]) -> list[str]:
    return [key for key, change in changes.items() if change is None]
