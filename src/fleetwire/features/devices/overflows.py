"""QueueOverflows: devices whose queue had no room for a message are told of, in an event each.

The broker counts what it drops; here it becomes a log line and, for a device, a stored event, so
that people learn of it who do not look at counters.
"""

import asyncio

import structlog

from fleetwire.broker.grants import Grant
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.devices.registry import Registry
from fleetwire.ingest.events import EventLog
from fleetwire.kit import instants
from fleetwire.kit.effects import Event
from fleetwire.net.clients import ClientObserver
from fleetwire.store.database import Database

log = structlog.get_logger("fleetwire.devices")

OVERFLOW = "device.queue_overflow"
LOG_EVERY_US = 60 * 1_000_000
REMEMBERED = 10_000  # clients whose last log line is known
RETRY_S = 1.0


class QueueOverflows(ClientObserver):
    """Hears once a second of each session that lost messages."""

    def __init__(self, db: Database, registry: Registry, events: EventLog) -> None:
        self._db = db
        self._registry = registry
        self._events = events
        self._dropped: dict[int, tuple[str, int]] = {}  # by device: a client id, and how many
        self._logged: dict[str, int] = {}
        self._wake = asyncio.Event()

    def overflowed(self, client_id: str, grant: Grant, dropped: int) -> None:
        now = instants.now()
        if now - self._logged.get(client_id, 0) >= LOG_EVERY_US:
            if len(self._logged) >= REMEMBERED:
                self._logged.clear()
            self._logged[client_id] = now
            log.warning(
                "a client's queue is full; messages for it are dropped",
                client_id=client_id[:64],
                identity=grant.identity,
                dropped=dropped,
            )
        if grant.device:
            _, before = self._dropped.get(grant.device, ("", 0))
            self._dropped[grant.device] = (client_id, before + dropped)
            self._wake.set()

    async def run(self) -> None:
        """Store an event for each device, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush()
            except StoreUnavailableError:
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def flush(self) -> None:
        """Store what is known. Raises StoreUnavailableError; it is kept for the next time."""
        dropped, self._dropped = self._dropped, {}
        if not dropped:
            return
        events = []
        for id, (client_id, count) in dropped.items():
            device = self._registry.by_id(id)
            if device is not None:
                body = {
                    "device_id": device.device_id,
                    "client_id": client_id,
                    "dropped": count,
                    "at": instants.iso(instants.now()),
                }
                events.append(Event(OVERFLOW, device, body))
        try:
            await self._db.write(
                lambda tx: self._events.record(tx, events, received_at=instants.now())
            )
        except StoreUnavailableError:
            for id, (client_id, count) in dropped.items():
                _, since = self._dropped.get(id, ("", 0))
                self._dropped[id] = (client_id, count + since)
            raise
