"""Restore: from the journal's tables back to what the broker knew.

Everything is read in one snapshot. A row that cannot be what it says, or belongs to nothing, is
left out and counted; it is never a reason not to start.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, Text

from fleetwire.broker.grants import Grant
from fleetwire.broker.link import InboundTicket
from fleetwire.broker.session import Outgoing, Session
from fleetwire.protocol.inflight import LARGEST_PACKET_ID
from fleetwire.protocol.packets import Publish
from fleetwire.store.journal import codec, tables
from fleetwire.store.journal.codec import DamagedRowError, Row
from fleetwire.store.journal.kept import Kept, KeptMessage

T = TypeVar("T")

SECOND = 1_000_000


class Restored:
    """What the broker begins with.

    `sessions` have no connection and no rights: both come with the next CONNECT. `wills` are
    (sender, Will, delay_s, due_at); the sender may publish that Will and nothing else, since it was
    allowed to when it gave it. `shared` are messages that came by a shared subscription, each with
    the session that has it: another member may have it, and its `group` is the broker's to set.
    """

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.retained: list[tuple[Publish, int]] = []
        self.wills: list[tuple[Session, Publish, int, int]] = []
        self.shared: list[tuple[Session, Outgoing]] = []


class Reading:
    """One reading of all tables. `now` is in microseconds UTC.

    Beside what it restores it says what is to be mended: sessions that lost their connection with
    the power, and rows to sweep because nothing can be done with them.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self.restored = Restored()
        self.kept = Kept()
        self.skipped: dict[str, int] = {}  # rows left out, by table
        self.ended_now: list[Session] = []
        self.due_now: list[tuple[Session, Publish, int, int]] = []  # Wills whose delay began
        self.sessions_gone: set[int] = set()
        self.messages_gone: list[int] = []
        self.outgoing_gone: list[int] = []
        self.retained_gone: list[str] = []
        self.wills_gone: list[str] = []
        self._sessions: dict[int, Session] = {}
        self._messages: dict[int, KeptMessage] = {}

    def read(self, connection: Connection) -> "Reading":
        """Read everything. On a reader's thread."""
        self._read_sessions(connection)
        self._read_subscriptions(connection)
        self._read_received(connection)
        self._read_messages(connection)
        self._read_outgoing(connection)
        self._read_retained(connection)
        self._read_wills(connection)
        self._find_orphans()
        return self

    def _skip(self, table: Table) -> None:
        self.skipped[table.name] = self.skipped.get(table.name, 0) + 1

    def _rows(
        self, connection: Connection, table: Table, decode: Callable[[Row], T]
    ) -> Iterator[tuple[Row, T | None]]:
        """Yield each row with what it says, None = it is damaged; in the order of their keys."""
        for row in connection.exec_driver_sql(_select(table)):
            try:
                yield row, decode(row)
            except DamagedRowError:
                self._skip(table)
                yield row, None

    def _read_sessions(self, connection: Connection) -> None:
        for row, session in self._rows(connection, tables.sessions, codec.session_from_row):
            self.kept.last_session = max(self.kept.last_session, row[0])
            if session is None:
                self.sessions_gone.add(row[0])
                continue
            if not session.disconnected_at:
                session.disconnected_at = self._now
                self.ended_now.append(session)
            self._sessions[session.key] = session
            self.kept.add_session(session.key, session.client_id)
            self.restored.sessions.append(session)

    def _session(self, table: Table, key: object) -> Session | None:
        """Return the session that a row belongs to; None if there is none."""
        session = self._sessions.get(key) if isinstance(key, int) else None
        if session is None:
            self._skip(table)
            if isinstance(key, int):
                self.sessions_gone.add(key)
        return session

    def _read_subscriptions(self, connection: Connection) -> None:
        table = tables.subscriptions
        for _, found in self._rows(connection, table, codec.subscription_from_row):
            if found is None:
                continue
            key, subscription, identifier = found
            session = self._session(table, key)
            if session is not None:
                session.subscriptions[subscription.topic_filter] = (subscription, identifier)

    def _read_received(self, connection: Connection) -> None:
        table = tables.received
        for row, packet_id in self._rows(
            connection, table, lambda row: codec.whole(row[1], 1, LARGEST_PACKET_ID)
        ):
            session = None if packet_id is None else self._session(table, row[0])
            if session is not None and packet_id is not None:
                session.received[packet_id] = InboundTicket(None, packet_id, 2, session)
                self.kept.sessions[session.key].received.add(packet_id)

    def _read_messages(self, connection: Connection) -> None:
        for row, found in self._rows(connection, tables.messages, codec.message_from_row):
            self.kept.last_message = max(self.kept.last_message, row[0])
            if found is None:
                self.messages_gone.append(row[0])
            else:
                key, publish = found
                self._messages[key] = self.kept.add_message(key, publish)

    def _read_outgoing(self, connection: Connection) -> None:
        for row, found in self._rows(connection, tables.outgoing, self._outgoing_from_row):
            self.kept.last_outgoing = max(self.kept.last_outgoing, row[0])
            if found is None:
                self.outgoing_gone.append(row[0])
                continue
            session, message, outgoing = found
            message.references += 1
            self.kept.sessions[session.key].outgoing[outgoing.key] = message
            if outgoing.state:
                session.inflight[outgoing.packet_id] = outgoing
            else:
                session.queue.append(outgoing)
                session.queue_bytes += outgoing.size
            if row[6]:
                self.restored.shared.append((session, outgoing))

    def _outgoing_from_row(self, row: Row) -> tuple[Session, KeptMessage, Outgoing]:
        session = self._sessions.get(row[1])
        message = self._messages.get(row[2])
        if session is None or message is None:
            raise DamagedRowError("its session or message is not there")
        outgoing = codec.outgoing_from_row(row, message.publish)
        if outgoing.packet_id and not session.packet_ids.claim(outgoing.packet_id):
            raise DamagedRowError(f"packet id {outgoing.packet_id} stands twice")
        return session, message, outgoing

    def _read_retained(self, connection: Connection) -> None:
        for row, found in self._rows(connection, tables.retained, codec.retained_from_row):
            if found is not None:
                self.restored.retained.append(found)
            else:
                self.retained_gone += _readable(row[0])

    def _read_wills(self, connection: Connection) -> None:
        for row, found in self._rows(connection, tables.wills, codec.will_from_row):
            if found is None:
                self.wills_gone += _readable(row[0])
                continue
            client_id, grant, will, delay_s, due_at = found
            entry = (
                self._sender(client_id, grant, will),
                will,
                delay_s,
                due_at or self._now + delay_s * SECOND,
            )
            self.restored.wills.append(entry)
            self.kept.wills.add(client_id)
            if not due_at:
                self.due_now.append(entry)

    def _sender(self, client_id: str, grant: Grant, will: Publish) -> Session:
        key = self.kept.keys.get(client_id, 0)
        sender = self._sessions.get(key)
        if sender is None or sender.grant.identity != grant.identity:
            sender = Session(client_id, grant)
        sender.grant.publish = [will.topic_name]
        return sender

    def _find_orphans(self) -> None:
        for message in self._messages.values():
            if not message.references:
                self.messages_gone.append(message.key)
                del self.kept.messages[id(message.publish)]


def _select(table: Table) -> str:
    """Return a query for the driver itself: nobody but the codec may interpret what is there.

    Texts are asked for as bytes, because one that is damaged would end the whole query.
    """
    columns = ",".join(
        f"CAST({column.name} AS BLOB)" if isinstance(column.type, Text) else column.name
        for column in table.columns
    )
    keys = ",".join(column.name for column in table.primary_key)
    return f"SELECT {columns} FROM {table.name} ORDER BY {keys}"


def _readable(key: Any) -> list[str]:
    try:
        return [codec.text(key)]
    except DamagedRowError:
        return []
