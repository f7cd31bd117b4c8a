"""Presence: which devices are connected, since when, why, and when each was last heard.

Theory of operation. Connections are counted in memory as they come and go; a device is online from
its first connection until its last one went. Each such change stands in an ordered queue, and one
worker stores whatever has gathered there in one transaction: an event for each change, the last
state of each device in its row. So a whole fleet that reconnects costs a few transactions, and the
events of one device stay in order. When the database is away the queue waits; past QUEUE_LIMIT
only the last change of each device is kept.

Messages only leave a mark (`seen`), which is stored at most once a second for all devices at once.
A device of which a setting says how often it sends is fresh until its last message is too old.

A device that flaps is told so once; until it has kept still for a while its row is right, and
nothing is told or kept of its coming and going.

A client without credentials counts as the device that its client id names, where the device's app
says how its client ids are formed, and as nobody otherwise. If that device enrols with its first
message, the connection counts from then on.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog
from sqlalchemy import bindparam, select, update

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.devices.client_ids import ClientIds
from fleetwire.features.devices.flapping import MOST, WINDOW_US, Flapping, Verdict
from fleetwire.features.devices.freshness import Freshness
from fleetwire.features.devices.presence_history import (
    CONNECTED,
    FRESH,
    STEADY,
    Change,
    add_changes,
    holding,
    last_seen,
    prune,
)
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.tables import devices
from fleetwire.ingest.events import EventLog
from fleetwire.kit import instants
from fleetwire.kit.device import Device
from fleetwire.kit.effects import Event
from fleetwire.net.clients import Client, ClientObserver
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.presence")

QUEUE_LIMIT = 20_000
GROUP_LIMIT = 1000  # changes in one transaction: the road waits for it
SEEN_S = 1.0
RETRY_S = 1.0

KEPT_US = 90 * 86_400_000_000  # history; the last change of each aspect is kept for ever
PRUNE_S = 600.0

# The event of an aspect that holds, and that of one that does not.
EVENTS = {
    CONNECTED: ("device.connected", "device.disconnected"),
    FRESH: ("device.reporting", "device.silent"),
    STEADY: ("device.steady", "device.flapping"),
}
MESSAGE = "message"
SILENT = "silent too long"

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


class Presence(ClientObserver):
    """Hears of connections, and tells and stores what they say of devices."""

    def __init__(
        self,
        db: Database,
        registry: Registry,
        log_of_events: EventLog,
        clock: Callable[[], int] = instants.now,
        expected_us: Callable[[Device], int] = lambda device: 0,
        client_ids: ClientIds | None = None,
    ) -> None:
        """`expected_us` is how old a device's last message may be, 0 = it is not judged.

        `client_ids` says which devices clients without credentials are.
        """
        self._db = db
        self._registry = registry
        self._events = log_of_events
        self._clock = clock
        self._connections: dict[int, list[Client]] = {}
        self._client_ids = client_ids or ClientIds({})
        self._unsigned: dict[int, int] = {}  # device by id() of its client without credentials
        self._awaited: dict[tuple[str, str], Client] = {}  # clients of devices not registered yet
        self._elsewhere: set[int] = set()  # devices that are connected to another broker
        self._flapping = Flapping()
        self._freshness = Freshness(expected_us)
        self._prune_at = 0.0
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
        flapping = await self._db.read(lambda connection: holding(connection, STEADY))
        self._changes.extend(
            Change(id, True, "restart", at, STEADY) for id, holds in flapping.items() if not holds
        )
        await self._load_freshness(at)
        await self.flush()

    async def _load_freshness(self, now: int) -> None:
        """Who was silent too long was so whether or not we were there."""
        was_fresh = await self._db.read(lambda connection: holding(connection, FRESH))
        for id, seen_at in (await self._db.read(last_seen)).items():
            device = self._registry.by_id(id)
            interval = 0 if device is None else self._freshness.interval_us(device)
            if device is None or not interval:
                continue
            is_fresh = now < seen_at + interval
            if is_fresh:
                self._freshness.heard(device, seen_at)
            if is_fresh != was_fresh.get(id, False):
                at = seen_at if is_fresh else seen_at + interval
                self._changes.append(
                    Change(id, is_fresh, MESSAGE if is_fresh else SILENT, at, FRESH)
                )

    def is_connected(self, device: int) -> bool:
        """Say whether a device is connected now."""
        return device in self._connections or device in self._elsewhere

    @property
    def connected_devices(self) -> int:
        """How many devices are connected."""
        return len(self._connections.keys() | self._elsewhere)

    # --- what the server and the road tell ---

    def connected(self, client: Client) -> None:
        if client.grant.device:
            self._came(client.grant.device, client)
            return
        named = self._client_ids.device_of(client.client_id) if client.grant.anonymous else None
        if named is None:
            return
        device = self._registry.find(*named)
        if device is None:
            self._awaited[named] = client
        else:
            self._came_unsigned(device.id, client)

    def _came_unsigned(self, device: int, client: Client) -> None:
        self._unsigned[id(client)] = device
        self._came(device, client)

    def _came(self, device: int, client: Client) -> None:
        own = self._connections.setdefault(device, [])
        own.append(client)
        self._seen[device] = client.connected_at
        if len(own) == 1 and device not in self._elsewhere:
            self._changed(Change(device, True, "connect", client.connected_at))

    def disconnected(self, client: Client, reason: str) -> None:
        device = client.grant.device or self._unsigned.pop(id(client), 0)
        if self._awaited and not device:
            named = self._client_ids.device_of(client.client_id)
            if named is not None and self._awaited.get(named) is client:
                del self._awaited[named]
        own = self._connections.get(device, [])
        others = [other for other in own if other is not client]
        if len(others) == len(own):
            return
        if others:
            self._connections[device] = others
        else:
            del self._connections[device]
            if device not in self._elsewhere:
                self._changed(Change(device, False, reason, self._clock()))

    def told(self, device: int, online: bool, reason: str, at: int) -> None:
        """Another broker says that a device came to it or went."""
        if online == (device in self._elsewhere):
            return
        if online:
            self._elsewhere.add(device)
        else:
            self._elsewhere.discard(device)
        if device not in self._connections:
            self._changed(Change(device, online, reason, at))

    def seen(self, device_ids: Iterable[int], at: int) -> None:
        """Note that these devices sent messages that are stored; called once for each batch."""
        ids = list(device_ids)
        self._seen.update(dict.fromkeys(ids, at))
        for id in ids:
            device = self._registry.by_id(id)
            if device is None:
                continue
            if self._awaited:
                client = self._awaited.pop((device.app, device.device_id), None)
                if client is not None:
                    self._came_unsigned(id, client)
            if self._freshness.heard(device, at):
                self._queue(Change(id, True, MESSAGE, at, FRESH))

    def check(self) -> None:
        """Look at the clock: who is silent too long, and who flaps no more."""
        now = self._clock()
        for device, since_at in self._freshness.take_silent(now):
            self._queue(Change(device, False, SILENT, since_at, FRESH))
        for device in self._flapping.take_calm(now):
            self._queue(Change(device, True, "calm", now, STEADY))

    def _changed(self, change: Change) -> None:
        verdict = self._flapping.note(change.device, change.at)
        if verdict is Verdict.QUIET:
            change = replace(change, is_quiet=True)
        self._queue(change)
        if verdict is Verdict.BEGINS:
            reason = f"{MOST} changes in {WINDOW_US // 1_000_000} s"
            self._queue(Change(change.device, False, reason, change.at, STEADY))

    def _queue(self, change: Change) -> None:
        if len(self._changes) >= QUEUE_LIMIT:
            self._fold()
        self._changes.append(change)
        self._wake.set()

    def _fold(self) -> None:
        """Keep the last change of each aspect only: what is true now must not get lost."""
        last = {(change.device, change.aspect): change for change in self._changes}
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
                    self.check()
                    await self._prune(loop.time())
                await self._store(with_seen=is_due)
            except StoreUnavailableError as error:
                log.warning("presence is not stored yet", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Store all that is known. Raises StoreUnavailableError; it is kept for the next time."""
        await self._store(with_seen=True)
        while self._changes:
            await self._store(with_seen=False)

    async def _prune(self, now_s: float) -> None:
        if now_s < self._prune_at:
            return
        self._prune_at = now_s + PRUNE_S
        before_at = self._clock() - KEPT_US
        await self._db.write(lambda tx: prune(tx, before_at))

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
        last = {change.device: change for change in changes if change.aspect == CONNECTED}
        if last:
            tx.execute(
                _connected,
                [
                    {
                        "device": change.device,
                        "online": change.holds,
                        "reason": change.reason[:64],
                        "since_at": change.at,
                    }
                    for change in last.values()
                ],
            )
            tx.after_commit(lambda: self._touch(last))
        if seen:
            rows = [{"device": device, "seen_at": at} for device, at in seen.items()]
            tx.execute(_seen, rows)
        kept = [change for change in changes if not change.is_quiet]
        add_changes(tx, kept)
        events = []
        for change in kept:
            device = self._registry.by_id(change.device)
            if device is None:  # removed meanwhile: there is nobody to tell it to
                continue
            body = {
                "device_id": device.device_id,
                "status": "online" if self._is_online(change) else "offline",
                "reason": change.reason,
                "since": instants.iso(change.at),
            }
            events.append(Event(EVENTS[change.aspect][0 if change.holds else 1], device, body))
        self._events.record(tx, events, received_at=self._clock())

    def _touch(self, device_ids: Iterable[int]) -> None:
        for id in device_ids:
            self._registry.touch(id, "connected")

    def _is_online(self, change: Change) -> bool:
        return change.holds if change.aspect == CONNECTED else self.is_connected(change.device)
