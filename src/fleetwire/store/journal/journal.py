"""SqlJournal: what the broker says must survive, stored in group commits.

Theory of operation. Calls of the broker gather in a Batch and cost a few dictionary entries. One
task takes the batch as soon as the one before is stored, writes it in one transaction, and then
releases what waited for it: tickets and actions, in the order in which they were told. While it
waits for the disk the next batch gathers; so a lone change waits for its own commit only, and a
message that is delivered before its batch is taken is never written.

While the database is away the batch is tried again, and nothing behind it is released; the bound on
what gathers meanwhile is felt by the clients, who are no longer read from. If the database is there
and refuses a row, that row alone is given up, loudly: the senders in that batch get an error code
where they would have got an acknowledgement. Actions are carried out all the same, since somebody
would otherwise wait for ever.

Does not: expire anything, or decide what is kept. The broker does.
"""

import asyncio
from collections.abc import Callable

import structlog

from fleetwire.broker.delivery import Ticket
from fleetwire.broker.journal import Journal
from fleetwire.broker.session import Outgoing, Session
from fleetwire.errors import StoreUnavailableError
from fleetwire.protocol.packets import Publish, Subscription
from fleetwire.store.database import Database
from fleetwire.store.journal.batch import Batch, Changes, Statements
from fleetwire.store.journal.kept import Kept, KeptMessage
from fleetwire.store.journal.restore import Reading, Restored

log = structlog.get_logger("fleetwire.journal")

RETRY_FIRST_S = 0.1
RETRY_MOST_S = 5.0
LOGGED_REFUSALS = 10  # of one batch; the rest are a number


class SqlJournal(Journal):
    """The journal in the platform's database.

    At `high` calls whose outcome is not stored yet `hold` is called (stop reading from clients), at
    half of that `resume`.
    """

    def __init__(
        self,
        database: Database,
        hold: Callable[[], None],
        resume: Callable[[], None],
        high: int = 50_000,
    ) -> None:
        self._database = database
        self._high = high
        self._low = high // 2
        self._hold = hold
        self._resume = resume
        self._statements = Statements()
        self._kept = Kept()
        self._batch = Batch()
        self._taken: Changes | None = None  # on its way to the disk
        self._pending = 0
        self._is_held = False
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self.is_stalled = False
        self.batches_stored = 0
        self.rows_stored = 0
        self.rows_refused = 0

    @property
    def pending(self) -> int:
        """How many calls have an outcome that is not stored yet."""
        return self._pending

    # --- start and end ---

    async def load(self, now: int) -> Restored:
        """Return what was stored; it comes before any other call. `now`: microseconds UTC.

        A session that was connected ended at `now`. Raises StoreUnavailableError.
        """
        reading = await self._database.read(Reading(now).read)
        self._kept = reading.kept
        for session in reading.ended_now:
            self.keep_session(session)
        batch = self._told()
        batch.ended |= reading.sessions_gone
        batch.messages_gone += reading.messages_gone
        batch.outgoing_gone += reading.outgoing_gone
        batch.retained.update(dict.fromkeys(reading.retained_gone))
        batch.wills.update(dict.fromkeys(reading.wills_gone))
        for sender, will, delay_s, due_at in reading.due_now:
            self.keep_will(sender, will, delay_s, due_at)
        if reading.skipped:
            log.warning("stored rows of the broker could not be restored", **reading.skipped)
        return reading.restored

    async def run(self) -> None:
        """Store what is told, for ever."""
        while True:
            if not self._pending:
                self._wake.clear()
                await self._wake.wait()
            await self._step()

    async def flush(self, timeout_s: float) -> bool:
        """Store everything told so far; False = it took longer, and the rest is not stored.

        For the end, whether `run` still runs or not.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._pending:
                    await self._step()
        except TimeoutError:
            log.error("what the broker knows is not all stored", changes=self._pending)
            return False
        return True

    async def _step(self) -> None:
        async with self._turn:
            if self._taken is None:
                if not self._batch.told:
                    return
                batch, self._batch = self._batch, Batch()
                self._taken = Changes(batch, self._statements)
            # If this is cancelled the batch stays taken, and is written again.
            is_stored = True
            if len(self._taken):
                is_stored = await self._store(self._taken)
            else:
                await asyncio.sleep(0)  # nothing to write; the loop has its turn all the same
            taken, self._taken = self._taken, None
            self._release(taken, is_stored)

    async def _store(self, taken: Changes) -> bool:
        """Return once it is stored; False if the database refused some of it for ever."""
        pause_s = RETRY_FIRST_S
        work = taken.write
        refused: list[str] = []
        while True:
            try:
                refused = await self._database.write(work)
            except StoreUnavailableError as error:
                if not self.is_stalled:
                    self.is_stalled = True
                    log.error("the broker's state is not stored; nobody's is", reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MOST_S)
                continue
            except Exception as error:
                if work == taken.write:
                    work = taken.write_what_can_be
                    continue
                log.error("the database refuses all changes", kind=type(error).__name__)
                self.rows_refused += len(taken)
                return False
            break
        if self.is_stalled:
            self.is_stalled = False
            log.info("the broker's state is stored again")
        self.batches_stored += 1
        self.rows_stored += len(taken) - len(refused)
        if not refused:
            return True
        self.rows_refused += len(refused)
        log.error("the database refuses changes", rows=len(refused), some=refused[:LOGGED_REFUSALS])
        return False

    def _release(self, taken: Changes, is_stored: bool) -> None:
        for waiting in taken.waiting:
            try:
                if isinstance(waiting, Ticket):
                    if is_stored:
                        waiting.release(0)
                    else:
                        waiting.fail()
                else:
                    waiting()
            except Exception:  # it is stored; whoever else waits must still hear so
                log.exception("what follows a commit has failed")
        # Only now: what is told from in here must wait behind the rest of this batch.
        self._pending -= taken.told
        if self._is_held and self._pending <= self._low:
            self._is_held = False
            self._resume()

    def _told(self) -> Batch:
        """Return the batch for one call more."""
        batch = self._batch
        batch.told += 1
        self._pending += 1
        if self._pending == 1:
            self._wake.set()
        if self._pending >= self._high and not self._is_held:
            self._is_held = True
            self._hold()
        return batch

    # --- sessions ---

    def keep_session(self, session: Session) -> None:
        batch = self._told()
        kept = self._kept
        if session.key not in kept.sessions:
            former = kept.keys.get(session.client_id)
            if former is not None:
                self._end(batch, former)
            kept.last_session += 1
            session.key = kept.last_session
            kept.add_session(session.key, session.client_id)
            batch.born.add(session.key)
        batch.sessions[session.key] = session

    def drop_session(self, session: Session) -> None:
        if session.key in self._kept.sessions:
            self._end(self._told(), session.key)
        session.key = 0

    def _end(self, batch: Batch, key: int) -> None:
        session = self._kept.sessions.pop(key)
        del self._kept.keys[session.client_id]
        for outgoing, message in session.outgoing.items():
            self._let_go(batch, outgoing, message)
        batch.sessions.pop(key, None)
        batch.ended.add(key)

    def keep_subscription(
        self, session: Session, subscription: Subscription, identifier: int
    ) -> None:
        if session.key in self._kept.sessions:
            key = (session.key, subscription.topic_filter)
            self._told().subscriptions[key] = (session.key, subscription, identifier)

    def drop_subscription(self, session: Session, topic_filter: str) -> None:
        if session.key in self._kept.sessions:
            self._told().subscriptions[(session.key, topic_filter)] = None

    # --- messages on their way to a session ---

    def keep_outgoing(self, session: Session, outgoing: Outgoing) -> None:
        kept = self._kept
        owner = kept.sessions.get(session.key)
        if owner is None:
            return
        batch = self._told()
        key = outgoing.key
        message = owner.outgoing.get(key)
        if message is None:
            publish = outgoing.publish
            message = kept.messages.get(id(publish))
            if message is None:
                kept.last_message += 1
                message = kept.add_message(kept.last_message, publish)
                batch.messages[message.key] = publish
            message.references += 1
            kept.last_outgoing += 1
            key = kept.last_outgoing
            outgoing.key = key
            owner.outgoing[key] = message
            batch.outgoing[key] = (session.key, message.key, outgoing)
        elif key not in batch.outgoing:
            batch.changed[key] = (session.key, message.key, outgoing)

    def drop_outgoing(self, session: Session, outgoing: Outgoing) -> None:
        owner = self._kept.sessions.get(session.key)
        message = owner.outgoing.pop(outgoing.key, None) if owner is not None else None
        if message is not None:
            self._let_go(self._told(), outgoing.key, message)
            outgoing.key = 0

    def _let_go(self, batch: Batch, key: int, message: KeptMessage) -> None:
        if batch.outgoing.pop(key, None) is None:
            batch.changed.pop(key, None)
            batch.outgoing_gone.append(key)
        message.references -= 1
        if not message.references:
            del self._kept.messages[id(message.publish)]
            if batch.messages.pop(message.key, None) is None:
                batch.messages_gone.append(message.key)

    # --- QoS 2 from a session ---

    def keep_received(self, session: Session, packet_id: int) -> None:
        owner = self._kept.sessions.get(session.key)
        if owner is not None and packet_id not in owner.received:
            owner.received.add(packet_id)
            received = self._told().received
            # Gone and back within one batch: its row has never been away.
            if received.pop((session.key, packet_id), None) is None:
                received[(session.key, packet_id)] = True

    def drop_received(self, session: Session, packet_id: int) -> None:
        owner = self._kept.sessions.get(session.key)
        if owner is not None and packet_id in owner.received:
            owner.received.discard(packet_id)
            received = self._told().received
            if received.pop((session.key, packet_id), None) is None:
                received[(session.key, packet_id)] = False

    # --- retained messages and Wills ---

    def keep_retained(self, publish: Publish, expires_at: int) -> None:
        # [MQTT-3.3.1-6] [MQTT-3.3.1-7] An empty payload removes and is not stored.
        kept = (publish, expires_at) if publish.payload else None
        self._told().retained[publish.topic_name] = kept

    def keep_will(self, session: Session, will: Publish, delay_s: int, due_at: int) -> None:
        batch = self._told()
        client_id = session.client_id
        wills = self._kept.wills
        if client_id not in wills:
            wills.add(client_id)
            if client_id not in batch.wills:
                batch.wills_born.add(client_id)
        batch.wills[client_id] = (client_id, session.grant, will, delay_s, due_at)

    def drop_will(self, session: Session) -> None:
        client_id = session.client_id
        if client_id not in self._kept.wills:
            return
        self._kept.wills.discard(client_id)
        batch = self._told()
        if client_id in batch.wills_born:
            batch.wills_born.discard(client_id)
            del batch.wills[client_id]
        else:
            batch.wills[client_id] = None

    # --- waiting for it ---

    def hold(self, ticket: Ticket) -> None:
        if self._pending:
            self._told().waiting.append(ticket)
        else:
            ticket.release(0)

    def when_stored(self, action: Callable[[], None]) -> None:
        if self._pending:
            self._told().waiting.append(action)
        else:
            action()
