"""ReferenceJournal: the journal's contract in memory, with a moment between telling and storing.

What the broker tells is pending until `commit`, and what waits for that until `release`. A loss of
power keeps what is stored and nothing else: the next journal begins with the same Store.
"""

from collections import deque
from collections.abc import Callable
from copy import copy

from fleetwire.broker.delivery import Ticket
from fleetwire.broker.grants import Grant
from fleetwire.broker.journal import Journal
from fleetwire.broker.link import InboundTicket
from fleetwire.broker.session import Outgoing, Session
from fleetwire.protocol.packets import Publish, Subscription


class KeptSession:
    """One row of a session, with everything that belongs to it, in order."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.identity = ""
        self.expiry_interval = 0
        self.disconnected_at = 0
        self.subscriptions: dict[str, tuple[Subscription, int]] = {}
        self.outgoing: dict[int, Outgoing] = {}
        self.received: dict[int, None] = {}


class Store:
    """What is on the disk. Keys are never used again."""

    def __init__(self) -> None:
        self.sessions: dict[int, KeptSession] = {}
        self.last_key = 0

    def new_key(self) -> int:
        """Return a key that nothing has had."""
        self.last_key += 1
        return self.last_key


class ReferenceJournal(Journal):
    """Keeps sessions; retained messages and Wills are not asked of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: list[Callable[[], object]] = []
        self._waiting: deque[Ticket | Callable[[], None]] = deque()
        self._stored: deque[Ticket | Callable[[], None]] = deque()

    def commit(self) -> None:
        """Store everything told so far; nobody hears of it yet."""
        for change in self._pending:
            change()
        self._pending.clear()
        self._stored += self._waiting
        self._waiting.clear()

    def release(self) -> None:
        """Let those go on who waited for what is stored."""
        while self._stored:
            self._go_on(self._stored.popleft())

    @property
    def is_idle(self) -> bool:
        """Whether all is stored and nobody waits."""
        return not (self._pending or self._waiting or self._stored)

    def restored(self, now: int) -> list[Session]:
        """Return the sessions as a new start finds them; those that were connected ended now."""
        return [_restored(key, kept, now) for key, kept in self._store.sessions.items()]

    def _go_on(self, waiting: Ticket | Callable[[], None]) -> None:
        if isinstance(waiting, Ticket):
            waiting.release(0)
        else:
            waiting()

    def _change(self, session: Session, change: Callable[[KeptSession], object]) -> None:
        """Change what is kept of a session, if it is kept at all by then."""
        key = session.key
        sessions = self._store.sessions

        def carry_out() -> None:
            if key in sessions:
                change(sessions[key])

        self._pending.append(carry_out)

    # --- sessions ---

    def keep_session(self, session: Session) -> None:
        store = self._store
        if not session.key:
            session.key = store.new_key()
        key, client_id = session.key, session.client_id
        identity = session.grant.identity
        expiry_interval, disconnected_at = session.expiry_interval, session.disconnected_at

        def carry_out() -> None:
            kept = store.sessions.setdefault(key, KeptSession(client_id))
            kept.identity = identity
            kept.expiry_interval = expiry_interval
            kept.disconnected_at = disconnected_at

        self._pending.append(carry_out)

    def drop_session(self, session: Session) -> None:
        key = session.key
        session.key = 0
        self._pending.append(lambda: self._store.sessions.pop(key, None))

    def keep_subscription(
        self, session: Session, subscription: Subscription, identifier: int
    ) -> None:
        topic_filter = subscription.topic_filter
        kept_as = (subscription, identifier)
        self._change(session, lambda kept: kept.subscriptions.update({topic_filter: kept_as}))

    def drop_subscription(self, session: Session, topic_filter: str) -> None:
        self._change(session, lambda kept: kept.subscriptions.pop(topic_filter, None))

    # --- messages ---

    def keep_outgoing(self, session: Session, outgoing: Outgoing) -> None:
        if not outgoing.key:
            outgoing.key = self._store.new_key()
        key, as_it_is = outgoing.key, copy(outgoing)
        self._change(session, lambda kept: kept.outgoing.update({key: as_it_is}))

    def drop_outgoing(self, session: Session, outgoing: Outgoing) -> None:
        key = outgoing.key
        self._change(session, lambda kept: kept.outgoing.pop(key, None))

    def keep_received(self, session: Session, packet_id: int) -> None:
        self._change(session, lambda kept: kept.received.update({packet_id: None}))

    def drop_received(self, session: Session, packet_id: int) -> None:
        self._change(session, lambda kept: kept.received.pop(packet_id, None))

    def keep_retained(self, publish: Publish, expires_at: int) -> None:
        raise NotImplementedError("nothing is retained here")

    def keep_will(self, session: Session, will: Publish, delay_s: int, due_at: int) -> None:
        raise NotImplementedError("nobody has a Will here")

    def drop_will(self, session: Session) -> None:
        raise NotImplementedError("nobody has a Will here")

    # --- waiting ---

    def hold(self, ticket: Ticket) -> None:
        self._wait(ticket)

    def when_stored(self, action: Callable[[], None]) -> None:
        self._wait(action)

    def _wait(self, waiting: Ticket | Callable[[], None]) -> None:
        if self.is_idle:
            self._go_on(waiting)
        else:
            self._waiting.append(waiting)


class HastyJournal(ReferenceJournal):
    """Lets everybody go on before anything is stored, as no journal may."""

    def _wait(self, waiting: Ticket | Callable[[], None]) -> None:
        self._go_on(waiting)


def _restored(key: int, kept: KeptSession, now: int) -> Session:
    session = Session(kept.client_id, Grant(kept.identity, [], []))
    session.key = key
    session.expiry_interval = kept.expiry_interval
    session.disconnected_at = kept.disconnected_at or now
    session.subscriptions = dict(kept.subscriptions)
    for packet_id in kept.received:
        session.received[packet_id] = InboundTicket(None, packet_id, 2, session)
    for as_it_was in kept.outgoing.values():
        outgoing = copy(as_it_was)
        outgoing.is_held = False
        outgoing.receipt = None
        if outgoing.state:
            assert session.packet_ids.claim(outgoing.packet_id), "a packet id stands twice"
            session.inflight[outgoing.packet_id] = outgoing
        else:
            session.queue.append(outgoing)
            session.queue_bytes += outgoing.size
    return session
