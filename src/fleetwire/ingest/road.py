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
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from fleetwire.broker.delivery import Delivery, Ticket
from fleetwire.errors import DomainError, StoreUnavailableError
from fleetwire.ingest.batch import Accepted, Ledger, QuarantineSink, Refused, Sink
from fleetwire.ingest.events import EventBus, EventLog, body_of
from fleetwire.ingest.observer import RoadObserver
from fleetwire.ingest.router import Path, Router
from fleetwire.ingest.sequence import Sequence
from fleetwire.ingest.source import Source
from fleetwire.ingest.unknown import Unknown
from fleetwire.kit.device import Device
from fleetwire.kit.effects import Effect, Event, Reading, SendCommand
from fleetwire.kit.message import NotAcceptedError
from fleetwire.kit.services import LiveEvent
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.ingest")

RETRY_FIRST_S = 0.05
RETRY_MOST_S = 2.0
TURN_S = 5.0  # for a batch to end; it takes longer only while the database is away
TOLD_MOST = 10_000
NOT_AUTHORIZED = 0x87
UNSPECIFIED = 0x80


class Counters:
    """What has come up the road since start."""

    __slots__ = ("accepted", "batches", "refused", "retries", "rows_at_once")

    def __init__(self) -> None:
        self.accepted = 0
        self.refused: dict[int, int] = {}  # by reason code
        self.batches = 0
        self.retries = 0
        self.rows_at_once = 0  # messages in the last batch


class Batch:
    """Messages that share one transaction, in the order they came."""

    __slots__ = ("accepted", "deferred", "refused", "unknown")

    def __init__(self) -> None:
        self.accepted: list[Accepted] = []
        self.refused: list[Refused] = []
        # Devices that may enrol themselves, by app and device_id, with a message of each.
        self.unknown: dict[tuple[str, str], Delivery] = {}
        # Handlers that run inside the transaction; their Accepted has a place in the order already.
        self.deferred: list[tuple[Accepted, Path, Device | None]] = []

    def deliveries(self) -> list[Delivery]:
        """Return all messages of the batch."""
        accepted = [entry.delivery for entry in self.accepted]
        return accepted + [entry.delivery for entry in self.refused]


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
        self.unknown: Unknown | None = None  # what becomes of devices that nobody registered
        self._source = source
        self._router = router
        self._database = database
        self._find_device = find_device
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
        while True:
            deliveries = await self._source.swap(self._batch_messages)
            if not deliveries:
                return
            async with self._turn:
                if self.observer is not None:
                    self.observer.gathered(deliveries)
                await self._carry(deliveries)

    async def again(self, deliveries: list[Delivery], ledger: Ledger) -> Batch:
        """Carry messages once more that were refused before, in one transaction.

        The ledger takes the place of the quarantine. Raises StoreUnavailableError, or what the
        database has against one of them; nothing of the batch is stored then. Must not be
        cancelled: shield it.
        """
        async with self._turn:
            batch = self.prepare(deliveries)
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
        batch = self.prepare(deliveries)
        if batch.deferred:
            with contextlib.suppress(_RehearsedError):
                await self._database.write(lambda tx: self._rehearse(tx, batch))
        return batch

    async def _carry(self, deliveries: list[Delivery]) -> None:
        pause_s = RETRY_FIRST_S
        while True:
            batch = self.prepare(deliveries)
            if self.observer is not None:
                self.observer.prepared()
            try:
                if batch.unknown and self.unknown is not None:
                    await self.unknown.enrol(batch.unknown)
                    batch = self.prepare(deliveries)
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

    # --- on the event loop, before the transaction ---

    def prepare(self, deliveries: list[Delivery]) -> Batch:
        """Find each message's handler and let it say what should become true."""
        batch = Batch()
        accepted = batch.accepted
        topic_name: str | None = None
        path: Path | None = None
        device: Device | None = None
        arguments: list[Any] = []
        for delivery in deliveries:
            try:
                if delivery.refused:
                    raise NotAcceptedError(delivery.refused, reason_code=NOT_AUTHORIZED)
                if delivery.publish.topic_name is not topic_name or path is None:
                    # A read brings many messages of one topic: they are for one device.
                    topic_name = delivery.publish.topic_name
                    path = None
                    path, device = self._choose(delivery, batch)
                    arguments = path.handler.bind(path.values, device)
                handler = path.handler
                if device is None and handler.needs_device:
                    raise NotAcceptedError(
                        f"Device {path.device_id!r} is not registered with {handler.app!r}"
                        f"{self._note_unknown([path], delivery, batch)}",
                        reason_code=NOT_AUTHORIZED,
                    )
                if handler.needs_transaction:
                    entry = Accepted(handler.app, delivery, [])
                    batch.deferred.append((entry, path, device))
                else:
                    entry = Accepted(handler.app, delivery, handler.call(delivery, arguments, None))
                accepted.append(entry)
            except DomainError as error:
                app = None if delivery.refused or path is None else path.handler.app
                batch.refused.append(_refused(app, delivery, device if app else None, error))
            except Exception as error:
                app = None if path is None else path.handler.app
                batch.refused.append(_broken(app, delivery, device if app else None, error))
        return batch

    def _choose(self, delivery: Delivery, batch: Batch) -> tuple[Path, Device | None]:
        """Return who handles a topic; if several apps do, the one that knows the device."""
        paths = self._router.find(delivery.publish.topic_name)
        if len(paths) == 1:
            path = paths[0]
            if not path.device_id:
                return path, None
            return path, self._find_device(path.handler.app, path.device_id)
        if not paths:
            raise NotAcceptedError("No app has a handler for this topic")
        for path in paths:
            if path.device_id:
                device = self._find_device(path.handler.app, path.device_id)
                if device is not None:
                    return path, device
        names = ", ".join(sorted({path.handler.app for path in paths}))
        raise NotAcceptedError(
            f"The device is registered with none of {names}"
            f"{self._note_unknown(paths, delivery, batch)}",
            reason_code=NOT_AUTHORIZED,
        )

    def _note_unknown(self, paths: list[Path], delivery: Delivery, batch: Batch) -> str:
        """Note that a device may enrol itself, with the first app that lets it.

        Return what is to be said of one that may not, as the end of a sentence.
        """
        if self.unknown is None:
            return ""
        objections = []
        for path in paths:
            key = path.handler.app, path.device_id
            if not path.device_id or not path.handler.needs_device:
                continue
            objection = None if key in batch.unknown else self.unknown.objection(*key, delivery)
            if objection is None:
                batch.unknown.setdefault(key, delivery)
                return ""
            objections.append(objection)
        return f": {objections[0]}" if any(objections) else ""

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
                if type(effect) is not kind:  # mostly it is: runs of readings
                    kind = type(effect)
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
                batch.refused.append(_refused(entry.app, entry.delivery, device, error))
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
            if entry.effects:
                device = entry.effects[0].device  # type: ignore[attr-defined]  # every effect has one
                if entry.effects[0].__class__ is SendCommand:
                    device = _who_spoke(entry.effects)
                if device is not None and device is not last:
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
        """Log the first refusal of each client and topic; all of them are in quarantine."""
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


def _refused(
    app: str | None, delivery: Delivery, device: Device | None, error: DomainError
) -> Refused:
    code = error.code if isinstance(error, NotAcceptedError) else error.reason_code
    organization_id = _organization_of(delivery, device)
    return Refused(app, delivery, error.message, code, organization_id, error.field)


def _broken(
    app: str | None, delivery: Delivery, device: Device | None, error: Exception
) -> Refused:
    """A handler failed in a way it did not mean: keep the message, and say where to look."""
    log.error(
        "a handler failed",
        app=app,
        topic=delivery.publish.topic_name,
        error=repr(error),
        exc_info=error,
    )
    return Refused(
        app,
        delivery,
        f"The handler failed: {type(error).__name__}",
        UNSPECIFIED,
        _organization_of(delivery, device),
    )


def _organization_of(delivery: Delivery, device: Device | None) -> int | None:
    """Return whose message this is: the device's it names, else the sender's; None = nobody's."""
    if device is not None:
        return device.organization_id
    return delivery.organization_id or None
