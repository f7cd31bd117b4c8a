"""Presence: which devices are connected, since when, why, and when each was last heard.

Theory of operation. Connections are counted in memory as they come and go; a device is online from
its first connection until its last one went. Each such change stands in an ordered queue, and one
worker stores whatever has gathered there in one transaction: an event for each change, the last
state of each device in its row. So a whole fleet that reconnects costs a few transactions, and the
events of one device stay in order. When the database is away the queue waits; past QUEUE_LIMIT
only the last change of each device is kept.

Messages only leave a mark (`seen`), which is stored at most once a second for all devices at once.

Does not: judge a device by the age of its last message, or know of anonymous clients.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from sqlalchemy import bindparam, select, update

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.tables import devices
from fleetwire.ingest.events import EventLog
from fleetwire.kit import instants
from fleetwire.kit.effects import Event
from fleetwire.net.clients import Client, ClientObserver
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.presence")

QUEUE_LIMIT = 20_000
GROUP_LIMIT = 1000  # changes in one transaction: the road waits for it
SEEN_S = 1.0
RETRY_S = 1.0

CONNECTED = "device.connected"
DISCONNECTED = "device.disconnected"

_connected = (
    update(devices)
    .where(devices.c.id == bindparam("device"))
    .values(
        connected=bindparam("online"),
        connected_reason=bindparam("reason"),
        connected_since_at=bindparam("since_at"),
    )
)
_seen = (
    update(devices)
    .where(devices.c.id == bindparam("device"))
    .values(last_seen_at=bindparam("seen_at"))
)


@dataclass(frozen=True)
class Change:
    """A device came (`online`) or went, at an instant and for a reason."""

    device: int
    online: bool
    reason: str
    at: int


class Presence(ClientObserver):
    """Hears of connections, and tells and stores what they say of devices."""

    def __init__(
        self,
        db: Database,
        registry: Registry,
        log_of_events: EventLog,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._registry = registry
        self._events = log_of_events
        self._clock = clock
        self._connections: dict[int, list[Client]] = {}
        self._changes: deque[Change] = deque()
        self._seen: dict[int, int] = {}
        self._wake = asyncio.Event()

    async def load(self) -> None:
        """Everybody stored as connected went when the process before this one ended."""
        ids = await self._db.read(
            lambda connection: connection.scalars(
                select(devices.c.id).where(devices.c.connected.is_(True)).order_by(devices.c.id)
            ).all()
        )
        at = self._clock()
        self._changes.extend(Change(id, False, "restart", at) for id in ids)
        await self.flush()

    def is_connected(self, device: int) -> bool:
        """Say whether a device is connected now."""
        return device in self._connections

    @property
    def connected_devices(self) -> int:
        """How many devices are connected."""
        return len(self._connections)

    # --- what the server and the road tell ---

    def connected(self, client: Client) -> None:
        device = client.grant.device
        if not device:
            return
        own = self._connections.setdefault(device, [])
        own.append(client)
        self._seen[device] = client.connected_at
        if len(own) == 1:
            self._changed(Change(device, True, "connect", client.connected_at))

    def disconnected(self, client: Client, reason: str) -> None:
        device = client.grant.device
        own = self._connections.get(device, [])
        others = [other for other in own if other is not client]
        if len(others) == len(own):
            return
        if others:
            self._connections[device] = others
        else:
            del self._connections[device]
            self._changed(Change(device, False, reason, self._clock()))

    def seen(self, device_ids: Iterable[int], at: int) -> None:
        """Note that these devices sent messages that are stored; called once for each batch."""
        self._seen.update(dict.fromkeys(device_ids, at))

    def _changed(self, change: Change) -> None:
        if len(self._changes) >= QUEUE_LIMIT:
            self._fold()
        self._changes.append(change)
        self._wake.set()

    def _fold(self) -> None:
        """Keep the last change of each device only: what is true now must not get lost."""
        last = {change.device: change for change in self._changes}
        if len(last) < len(self._changes):
            log.warning("presence changes folded", kept=len(last), of=len(self._changes))
            self._changes = deque(sorted(last.values(), key=lambda change: change.at))

    # --- the worker ---

    async def run(self) -> None:
        """Store what changed, until cancelled. Call `flush()` afterwards."""
        loop = asyncio.get_running_loop()
        seen_due = loop.time() + SEEN_S
        while True:
            try:
                async with asyncio.timeout_at(seen_due):
                    await self._wake.wait()
            except TimeoutError:
                pass
            try:
                is_due = loop.time() >= seen_due
                if is_due:
                    seen_due = loop.time() + SEEN_S
                await self._store(with_seen=is_due)
            except StoreUnavailableError as error:
                log.warning("presence is not stored yet", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Store all that is known. Raises StoreUnavailableError; it is kept for the next time."""
        await self._store(with_seen=True)
        while self._changes:
            await self._store(with_seen=False)

    async def _store(self, *, with_seen: bool) -> None:
        changes = [self._changes.popleft() for _ in range(min(GROUP_LIMIT, len(self._changes)))]
        if not self._changes:
            self._wake.clear()
        seen: dict[int, int] = {}
        if with_seen:
            seen, self._seen = self._seen, {}
        if not changes and not seen:
            return
        try:
            await self._db.write(lambda tx: self._write(tx, changes, seen))
        except StoreUnavailableError:
            self._changes.extendleft(reversed(changes))
            self._seen = seen | self._seen
            if changes:
                self._wake.set()
            raise

    def _write(self, tx: Transaction, changes: list[Change], seen: dict[int, int]) -> None:
        """Store changes and marks, on the writer's thread."""
        last = {change.device: change for change in changes}
        if last:
            tx.execute(
                _connected,
                [
                    {
                        "device": change.device,
                        "online": change.online,
                        "reason": change.reason[:64],
                        "since_at": change.at,
                    }
                    for change in last.values()
                ],
            )
        if seen:
            rows = [{"device": device, "seen_at": at} for device, at in seen.items()]
            tx.execute(_seen, rows)
        events = []
        for change in changes:
            device = self._registry.by_id(change.device)
            if device is None:  # removed meanwhile: there is nobody to tell it to
                continue
            body = {
                "device_id": device.device_id,
                "status": "online" if change.online else "offline",
                "reason": change.reason,
                "since": instants.iso(change.at),
            }
            events.append(Event(CONNECTED if change.online else DISCONNECTED, device, body))
        self._events.record(tx, events, received_at=self._clock())
