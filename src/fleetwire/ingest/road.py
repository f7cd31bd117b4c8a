"""Road: from the broker's deliveries to committed rows, and back to the acknowledgement.

    Source.swap -> Router -> Handler -> effects -> one transaction -> tickets released -> EventBus

Theory of operation. One batch is under way at a time. While its transaction waits for the disk, the
next one gathers in the source; so a lone message waits for its own commit only, and under load a
batch is as large as what came in meanwhile. Handlers that need no transaction run on the event
loop; those that do run on the writer's thread, each in a savepoint of its own.

There is one fork. What cannot be accepted becomes a quarantine row in the same transaction and is
acknowledged. When the database is away nothing is released: the batch is tried again until it is
stored, the source fills, reading stops, and the devices keep their messages. A batch that the
database refuses although it is there is halved until the message at fault is alone; that one goes
to quarantine.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping

import structlog

from fleetwire.broker.delivery import Delivery, Ticket
from fleetwire.errors import DomainError, StoreUnavailableError
from fleetwire.ingest.batch import Accepted, Ledger, QuarantineSink, Refused, Sink
from fleetwire.ingest.events import EventBus, EventLog, body_of
from fleetwire.ingest.observer import RoadObserver
from fleetwire.ingest.preparation import Batch, Preparation, refused_by
from fleetwire.ingest.router import Router
from fleetwire.ingest.sequence import Sequence
from fleetwire.ingest.source import Source
from fleetwire.kit.device import Device
from fleetwire.kit.effects import Effect, Event, Reading, SendCommand
from fleetwire.kit.services import LiveEvent
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.ingest")

RETRY_FIRST_S = 0.05
RETRY_MOST_S = 2.0
SLOW_BATCH_S = 0.25  # one that takes longer is followed by a smaller one
SMALLEST_BATCH = 64
TURN_S = 5.0  # for a batch to end; it takes longer only while the database is away
TOLD_MOST = 10_000


class Counters:
    """What has come up the road since start."""

    __slots__ = ("accepted", "batches", "refused", "retries", "rows_at_once")

    def __init__(self) -> None:
        self.accepted = 0
        self.refused: dict[int, int] = {}  # by reason code
        self.batches = 0
        self.retries = 0
        self.rows_at_once = 0  # messages in the last batch


class _RehearsedError(Exception):
    """Ends a transaction that must leave nothing behind."""


class Road:
    """The one consumer of a source."""

    def __init__(
        self,
        source: Source,
        router: Router,
        database: Database,
        find_device: Callable[[str, str], Device | None],
        sinks: dict[type[Effect], Sink],
        quarantine: QuarantineSink,
        sequence: Sequence,
        log_of_events: EventLog,
        bus: EventBus,
        seen: Callable[[Iterable[int], int], None],
        readings_events: Mapping[str, str],
        batch_messages: int = 2000,
    ) -> None:
        self.counters = Counters()
        self.is_stalled = False
        self.observer: RoadObserver | None = None
        # Told of who published what he may not: client id, identity, address, what in words.
        self.forbidden: Callable[[str, str, str, str], None] | None = None
        self.preparation = Preparation(router, find_device)
        self._source = source
        self._database = database
        self._sinks = sinks
        self._quarantine = quarantine
        self._sequence = sequence
        self._events = log_of_events
        self._bus = bus
        self._seen = seen
        self._readings_events = readings_events  # by app
        self._batch_messages = batch_messages
        self._told: set[tuple[str, str]] = set()  # client and topic of refusals that were logged
        self._turn = asyncio.Lock()  # the sinks know of one batch at a time

    @property
    def waiting(self) -> int:
        """How many messages wait for the next batch."""
        return len(self._source)

    def lag_us(self, now: int) -> int:
        """Return for how long the message has waited that waits longest, in microseconds."""
        oldest_at = self._source.oldest_at
        return 0 if oldest_at is None else max(0, now - oldest_at)

    async def run(self) -> None:
        """Carry messages until the source is closed and empty."""
        most = self._batch_messages
        while True:
            deliveries = await self._source.swap(most)
            if not deliveries:
                return
            began = time.monotonic()
            async with self._turn:
                if self.observer is not None:
                    self.observer.gathered(deliveries)
                await self._carry(deliveries)
            most = self._next_most(most, time.monotonic() - began)

    def _next_most(self, most: int, took_s: float) -> int:
        """Return how many messages the next batch may have, after one that took so long.

        Handlers with a transaction may need a millisecond each, and everybody else's work waits
        for the batch to end.
        """
        if took_s > SLOW_BATCH_S:
            return max(SMALLEST_BATCH, most // 2)
        if took_s < SLOW_BATCH_S / 4:
            return min(self._batch_messages, most * 2)
        return most

    async def again(self, deliveries: list[Delivery], ledger: Ledger) -> Batch:
        """Carry messages once more that were refused before, in one transaction.

        The ledger takes the place of the quarantine. Raises StoreUnavailableError, or what the
        database has against one of them; nothing of the batch is stored then. Must not be
        cancelled: shield it.
        """
        async with self._turn:
            batch = self.preparation.prepare(deliveries)
            try:
                await self._database.write(lambda tx: self._store_again(tx, batch, ledger))
            except Exception:
                self._rolled_back()
                raise
            self._committed(batch, is_again=True)
            return batch

    async def apply(self, work: Callable[[Transaction], list[Accepted]]) -> None:
        """Store what `work` writes and the effects that it returns, in one transaction.

        Raises what the work or a sink raises, or StoreUnavailableError, also while messages wait
        for the database; nothing of it is stored then. Must not be cancelled.
        """

        def store(tx: Transaction) -> None:
            batch = Batch()
            batch.accepted = work(tx)
            self._store_accepted(tx, batch)

        try:
            async with asyncio.timeout(0 if self.is_stalled else TURN_S):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailableError("The database does not take work just now.") from None
        try:
            await self._database.write(store)
        except Exception:
            self._rolled_back()
            raise
        else:
            for sink in self._sinks.values():
                sink.committed()
        finally:
            self._turn.release()

    async def rehearse(self, deliveries: list[Delivery]) -> Batch:
        """Return what handlers would make of messages; nothing is stored, nobody is told.

        Raises StoreUnavailableError.
        """
        batch = self.preparation.prepare(deliveries)
        if batch.deferred:
            with contextlib.suppress(_RehearsedError):
                await self._database.write(lambda tx: self._rehearse(tx, batch))
        return batch

    async def _carry(self, deliveries: list[Delivery]) -> None:
        pause_s = RETRY_FIRST_S
        while True:
            batch = self.preparation.prepare(deliveries)
            if self.observer is not None:
                self.observer.prepared()
            try:
                if batch.unknown and self.preparation.unknown is not None:
                    await self.preparation.unknown.enrol(batch.unknown)
                    batch = self.preparation.prepare(deliveries)
                await self._database.write(lambda tx, batch=batch: self._store(tx, batch))  # type: ignore[misc]  # mypy cannot infer a lambda's default
            except StoreUnavailableError as error:
                self._failed(error)
                self.counters.retries += 1
                if not self.is_stalled:
                    self.is_stalled = True
                    log.error("messages are not stored; devices keep them", reason=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_MOST_S)
            except Exception as error:
                self._failed(error)
                await self._halve(deliveries, error)
                return
            else:
                if self.is_stalled:
                    self.is_stalled = False
                    log.info("messages are stored again")
                if self.observer is not None:
                    self.observer.committed()
                self._committed(batch)
                if self.observer is not None:
                    self.observer.released(deliveries, batch)
                return

    async def _halve(self, deliveries: list[Delivery], error: Exception) -> None:
        """The database refuses this batch: find the message at fault."""
        if len(deliveries) > 1:
            middle = len(deliveries) // 2
            await self._carry(deliveries[:middle])
            await self._carry(deliveries[middle:])
            return
        delivery = deliveries[0]
        if delivery.refused:
            # Not even its quarantine row can be stored; this is ours to mend, not the sender's.
            log.error("a message could not be quarantined", error=repr(error))
            raise error
        if isinstance(error, DomainError):
            delivery.refused = error.message
        else:
            log.error(
                "a message could not be stored",
                topic=delivery.publish.topic_name,
                error=repr(error),
            )
            delivery.refused = f"It could not be stored: {type(error).__name__}"
        await self._carry(deliveries)

    # --- on the writer's thread, inside the transaction ---

    def _store(self, tx: Transaction, batch: Batch) -> None:
        self._store_accepted(tx, batch)
        if batch.refused:
            self._quarantine.write(tx, batch.refused)
        if self.observer is not None:
            self.observer.stored()

    def _store_again(self, tx: Transaction, batch: Batch, ledger: Ledger) -> None:
        ledger.claim(tx, batch.deliveries())
        self._store_accepted(tx, batch)
        ledger.settle(tx, batch.accepted, batch.refused)

    def _rehearse(self, tx: Transaction, batch: Batch) -> None:
        self._run_deferred(tx, batch)
        raise _RehearsedError  # and with that all of it is rolled back

    def _store_accepted(self, tx: Transaction, batch: Batch) -> None:
        if batch.deferred:
            self._run_deferred(tx, batch)
        effects: dict[type[Effect], list[tuple[Effect, Accepted]]] = {}
        kind: type[Effect] = Effect
        same: list[tuple[Effect, Accepted]] = []
        for entry in batch.accepted:
            for effect in entry.effects:
                if effect.__class__ is not kind:  # mostly it is: runs of readings
                    kind = effect.__class__
                    same = effects.setdefault(kind, [])
                same.append((effect, entry))
        events = effects.pop(Event, [])
        for kind, items in effects.items():
            events += self._sinks[kind].write(tx, items, self._sequence)
        # Readings have the lower cursors, so this is the order of all of them.
        live = self._told_readings(effects[Reading]) if Reading in effects else []
        if events:
            live += self._store_events(tx, events)
        if live:
            # As a callback of the commit and not later: others who commit in the same group tell
            # their events there too, and cursors must be told in order.
            tx.after_commit(lambda: self._bus.publish(live))

    def _run_deferred(self, tx: Transaction, batch: Batch) -> None:
        for entry, path, device in batch.deferred:
            savepoint = tx.connection.begin_nested()
            part = Transaction(tx.connection)
            try:
                handler = path.handler
                arguments = handler.bind(path.values, device)
                entry.effects = handler.call(entry.delivery, arguments, part)
            except DomainError as error:
                savepoint.rollback()
                batch.accepted.remove(entry)
                batch.refused.append(refused_by(entry.app, entry.delivery, device, error))
            else:
                savepoint.commit()
                tx.adopt(part)

    def _told_readings(self, items: list[tuple[Effect, Accepted]]) -> list[LiveEvent]:
        """Return one event for each message that stored readings, if anybody listens."""
        if not self._bus.has_listeners:
            return []
        live: list[LiveEvent] = []
        last: Accepted | None = None
        for effect, entry in items:
            name = self._readings_events.get(entry.app)
            if entry is last or not entry.cursor or name is None:
                continue
            last = entry
            assert isinstance(effect, Reading)
            publish = entry.delivery.publish
            live.append(
                LiveEvent(
                    entry.cursor,
                    entry.app,
                    effect.device,
                    name,
                    publish.topic_name,
                    body_of(publish.payload),
                    entry.delivery.received_at,
                )
            )
        return live

    def _store_events(
        self, tx: Transaction, events: list[tuple[Effect, Accepted]]
    ) -> list[LiveEvent]:
        items: list[tuple[Event, int, str]] = []
        for event, entry in events:
            assert isinstance(event, Event)
            delivery = entry.delivery
            items.append((event, delivery.received_at, delivery.publish.topic_name))
        return self._events.append(tx, items)

    # --- on the event loop, after the commit ---

    def _committed(self, batch: Batch, *, is_again: bool = False) -> None:
        for sink in self._sinks.values():
            sink.committed()
        counters = self.counters
        counters.batches += 1
        counters.accepted += len(batch.accepted)
        counters.rows_at_once = len(batch.accepted) + len(batch.refused)
        seen: set[int] = set()
        received_at = 0
        last: Device | None = None
        ticket: Ticket | None = None
        count = 0  # of messages that this ticket stands for
        for entry in batch.accepted:
            delivery = entry.delivery
            effects = entry.effects
            if effects:
                effect = effects[0]
                device = effect.device  # type: ignore[attr-defined]  # every effect has one
                if effect.__class__ is SendCommand:
                    device = _who_spoke(effects)
                if device is not last and device is not None:
                    last = device
                    seen.add(device.id)
                received_at = delivery.received_at
            if delivery.ticket is ticket:
                count += 1
                continue
            if ticket is not None:
                ticket.release_stored(count)
            ticket = delivery.ticket
            count = 1
        if ticket is not None:
            ticket.release_stored(count)
        for refused in batch.refused:
            code = refused.reason_code
            counters.refused[code] = counters.refused.get(code, 0) + 1
            delivery = refused.delivery
            if delivery.ticket is not None:
                packet_id = delivery.publish.packet_id
                delivery.ticket.refuse(packet_id, code, refused.reason, refused.field)
            if not is_again:
                self._tell(refused)
        if seen and not is_again:  # what came long ago says nothing of who is there
            self._seen(seen, received_at)

    def _tell(self, refused: Refused) -> None:
        """Tell of the first refusal of each client and topic; all of them are in quarantine."""
        delivery = refused.delivery
        key = (delivery.client_id, delivery.publish.topic_name)
        if key in self._told:
            return
        if len(self._told) >= TOLD_MOST:
            self._told.clear()
        self._told.add(key)
        log.warning(
            "message quarantined",
            client_id=delivery.client_id,
            identity=delivery.identity,
            topic=delivery.publish.topic_name[:200],
            reason=refused.reason[:200],
        )
        if delivery.refused and self.forbidden is not None:
            what = f"PUBLISH {delivery.publish.topic_name[:200]!r}: {delivery.refused}"
            self.forbidden(delivery.client_id, delivery.identity, "", what)

    def _failed(self, error: Exception) -> None:
        self._rolled_back()
        if self.observer is not None:
            self.observer.failed(error)

    def _rolled_back(self) -> None:
        for sink in self._sinks.values():
            sink.rolled_back()


def _who_spoke(effects: list[Effect]) -> Device | None:
    """Return whose message had these effects; whom a command is for has said nothing."""
    for effect in effects:
        if not isinstance(effect, SendCommand):
            device: Device = effect.device  # type: ignore[attr-defined]  # every effect has one
            return device
    return None
