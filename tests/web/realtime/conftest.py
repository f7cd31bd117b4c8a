"""A hub of the test's own over a real database and bus, with a gate that can change its mind."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from fastapi.requests import HTTPConnection
from sqlalchemy import insert

from fleetwire.errors import NotFoundError
from fleetwire.features.devices.membership import Members, Memberships, Told
from fleetwire.features.devices.tables import device_events
from fleetwire.features.telemetry.tables import readings
from fleetwire.ingest.events import EventBus, EventLog
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit import (
    App,
    Audit,
    Caller,
    Device,
    DeviceRecord,
    DomainError,
    Event,
    Gate,
    LiveEvent,
)
from fleetwire.store.database import Database, Transaction
from fleetwire.store.metadata import metadata
from fleetwire.web.realtime.access import Access
from fleetwire.web.realtime.channel import Channel
from fleetwire.web.realtime.chunk import Part
from fleetwire.web.realtime.connection import Connection
from fleetwire.web.realtime.hub import Bounds, RealtimeHub
from fleetwire.web.realtime.interest import wish_of
from fleetwire.web.realtime.stream import LiveStream

ALL = frozenset({"telemetry.read", "device.read"})
APPS = {
    "medical": App("medical", readings_event="data", readings_topic="devices/{device_id}/data"),
    "farm": App("farm"),
}


class Switch(Gate):
    """Says that everybody is `caller`, or raises `error`."""

    def __init__(self) -> None:
        self.caller_now = Caller("account:1", 1, ALL)
        self.error: DomainError | None = None

    async def caller(self, connection: HTTPConnection) -> Caller:
        if self.error is not None:
            raise self.error
        return self.caller_now


class NoAudit(Audit):
    """Keeps what was recorded."""

    def __init__(self) -> None:
        self.actions: list[str] = []

    async def record(self, caller: Caller, action: str, *_: object, **__: object) -> None:
        self.actions.append(action)


class Client(Channel):
    """Keeps what it is sent; while `open` is clear it takes nothing."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.open = asyncio.Event()
        self.open.set()
        self._news = asyncio.Event()

    async def send(self, subscription: str | None, part: Part) -> None:
        await self.open.wait()
        self.parts.append(part)
        self._news.set()

    @property
    def events(self) -> list[LiveEvent]:
        return [event for part in self.parts for chunk in part.chunks for event in chunk.events]

    @property
    def cursors(self) -> list[int]:
        return [event.cursor for event in self.events]

    def named(self, name: str) -> list[Part]:
        return [part for part in self.parts if part.name == name]

    async def until(self, name: str, count: int = 1) -> None:
        """Wait until it was sent so many parts of this name."""
        async with asyncio.timeout(5):
            while len(self.named(name)) < count:
                self._news.clear()
                await self._news.wait()

    async def until_cursor(self, cursor: int) -> None:
        """Wait until it was sent this event."""
        async with asyncio.timeout(5):
            while cursor not in self.cursors:
                self._news.clear()
                await self._news.wait()


class Halves(Memberships):
    """Knows the group `even` and the query `type:half`: devices whose key is even, or below 3."""

    def __init__(self, devices: dict[int, Device]) -> None:
        self._devices = devices
        self.sets: dict[str, Members] = {}

    async def watch(
        self, organization_id: int, told: Told, *, query: str = "", group: str = ""
    ) -> Members:
        await asyncio.sleep(0)
        if group not in ("", "even"):
            raise NotFoundError(f"There is no group {group!r}.", field="groups")
        members = self.sets.get(query or group)
        if members is None:
            members = self.sets[query or group] = Members(organization_id, query, group)
            for id, device in self._devices.items():
                if id < 3 if query else id % 2 == 0:
                    members.devices[id] = device
        members.watchers.append(told)
        return members

    def unwatch(self, members: Members, told: Told) -> None:
        members.watchers.remove(told)
        if not members.watchers:
            del self.sets[members.query or members.group]

    def move(self, name: str, device: Device) -> None:
        """Let a device join or leave."""
        members = self.sets[name]
        is_in = members.devices.pop(device.id, None) is not None
        if not is_in:
            members.devices[device.id] = device
        for told in tuple(members.watchers):
            told(members, [] if is_in else [device], [device] if is_in else [])


class Desk:
    """The hub, and the means to make things happen."""

    def __init__(self, database: Database, bounds: Bounds) -> None:
        self.database = database
        self.devices: dict[int, Device] = {}
        self.bus = EventBus()
        self.sequence = Sequence()
        self.log = EventLog(device_events, self.sequence, self.bus)
        self.gate = Switch()
        self.audit = NoAudit()
        self.memberships = Halves(self.devices)
        self.live = LiveStream(database, self.bus, self.devices.get, APPS)
        self.hub = RealtimeHub(
            self.live,
            self,  # type: ignore[arg-type]  # of the registry it needs `find` only
            self,  # type: ignore[arg-type]  # no readings are stored here that anybody is shown
            self.audit,
            APPS,
            self.memberships,
            bounds=bounds,
        )

    def find(self, app: str, device_id: str) -> Device | None:
        for device in self.devices.values():
            if (device.app, device.device_id) == (app, device_id):
                return device
        return None

    async def get(self, caller: Caller, app: str, device_id: str) -> DeviceRecord:
        device = self.find(app, device_id)
        assert device is not None
        values = (
            device.id,
            app,
            device_id,
            1,
            "x",
            None,
            {},
            "",
            {},
            False,
            None,
            None,
            None,
            1,
            1,
        )
        return DeviceRecord(*values)

    async def latest(self, caller: Caller, device: DeviceRecord) -> tuple[()]:
        return ()

    def device(self, id: int, *, app: str = "medical", organization_id: int = 1) -> Device:
        device = Device(id, app, f"d-{id}", organization_id, "x", {})
        self.devices[id] = device
        return device

    async def follow(self, client: Client, **wish: object) -> Connection:
        """Connect and subscribe without a snapshot; return once that is live."""
        connection = await self.connect(client)
        await connection.subscribe("one", wish_of({"snapshot": False, **wish}))
        if client.open.is_set():
            await client.until("live")
        return connection

    async def connect(self, client: Client, only_app: str | None = None) -> Connection:
        scope = {"type": "http", "headers": [], "query_string": b"", "path": "/"}
        access = Access(self.gate, HTTPConnection(scope))
        return await self.hub.connect(access, client, "test", only_app)

    async def say(self, device: Device, names: Iterable[str] = ("status",)) -> int:
        """Commit events in one transaction and tell them; return the last cursor."""
        events = [Event(name, device, {"pad": "x" * 20}) for name in names]

        def store(tx: Transaction) -> int:
            self.log.record(tx, events, received_at=1_000_000, topic="devices/x/status")
            return self.sequence.last

        return await self.database.write(store)

    async def measure(self, device: Device) -> int:
        """Commit a reading and tell it as the road does; return its cursor."""

        def store(tx: Transaction) -> int:
            cursor = self.sequence.take()
            row = {"id": cursor, "device": device.id, "metric": 1, "at": cursor, "received_at": 1}
            row |= {"kind": 0, "number": 1.0, "digest": 0, "text": None, "flags": 0}
            tx.execute(insert(readings), [row | {"source": '{"v":1}'}])
            event = LiveEvent(cursor, device.app, device, "data", "devices/x/data", {"v": 1}, 1)
            tx.after_commit(lambda: self.bus.publish([event]))
            return cursor

        return await self.database.write(store)


@pytest.fixture
def bounds() -> Bounds:
    """The bounds of the hub; a file may have its own."""
    return Bounds()


@pytest.fixture
async def desk(tmp_path: Path, bounds: Bounds) -> AsyncIterator[Desk]:
    """A hub at work; nothing of it may be left at the end."""
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    metadata.create_all(database.engine, tables=[readings, device_events])
    database.open()
    desk = Desk(database, bounds)
    running = asyncio.create_task(desk.hub.run())
    yield desk
    running.cancel()
    for connection in list(desk.hub.open):
        await connection.close()
    assert len(desk.live.rooms) == 0
    assert not desk.memberships.sets
    assert not desk.bus.has_listeners
    await database.close()
