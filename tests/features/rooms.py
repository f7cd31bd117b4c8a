"""Rooms: the features over a real database of the test's own, with fakes around them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from fleetwire.features.accounts import tables as _accounts  # noqa: F401  # foreign keys need them
from fleetwire.features.alarms import tables as _alarms  # noqa: F401
from fleetwire.features.areas import tables as _areas  # noqa: F401
from fleetwire.features.areas.service import AreaService
from fleetwire.features.audit import tables as _audit  # noqa: F401
from fleetwire.features.commands import tables as _commands  # noqa: F401
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import DeviceService
from fleetwire.features.devices.tables import device_events
from fleetwire.features.devicetypes import tables as _devicetypes  # noqa: F401
from fleetwire.features.jobs import tables as _jobs  # noqa: F401
from fleetwire.features.organizations.tables import organizations
from fleetwire.features.provisioning import tables as _provisioning  # noqa: F401
from fleetwire.features.quarantine import tables as _quarantine  # noqa: F401
from fleetwire.features.telemetry import tables as _telemetry  # noqa: F401
from fleetwire.ingest.events import EventBus, EventLog
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit import App, Caller, DeviceRecord, LiveEvent
from fleetwire.kit.device import Device
from fleetwire.store.database import Database
from fleetwire.store.metadata import metadata
from tests.fakes import FakeAudit, FakeClock, FakeDownlink, caller

HEARD_WITHIN_S = 5.0


class FailingDatabase(Database):
    """A real database that does not commit while `is_away`."""

    is_away = False

    def _before_commit(self) -> None:
        if self.is_away:
            raise OperationalError("COMMIT", None, Exception("disk I/O error"))


class Rooms:
    """What the tests of the features stand on. `told` are the events after their commits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = FailingDatabase(f"sqlite:///{path}")
        self.clock = FakeClock()
        self.downlink = FakeDownlink()
        self.audit = FakeAudit()
        self.bus = EventBus()
        self.sequence = Sequence()
        self.log = EventLog(device_events, self.sequence, self.bus)
        self.apps = {
            name: App(
                name,
                publishes=["devices/{device_id}/data", "devices/{device_id}/{part}/state"],
                subscribes=["devices/{device_id}/commands"],
                command_topic="devices/{device_id}/commands",
            )
            for name in ("demo", "vending")
        }
        self.registry = Registry()
        self.devices = DeviceService(
            self.db, self.registry, self.audit, self.downlink, self.apps.keys()
        )
        self.areas = AreaService(self.db, self.audit, clock=self.clock)
        self.told: list[LiveEvent] = []
        self._heard = asyncio.Condition()
        self._waiting: set[asyncio.Task[None]] = set()
        self.bus.subscribe(self._hear)

    async def open(self) -> None:
        """Make the tables, and two organisations."""
        metadata.create_all(self.db.engine)
        self.db.open()

        rows = [{"id": id, "name": f"Organisation {id}", "created_at": 1} for id in (1, 2)]
        await self.db.write(lambda tx: tx.execute(insert(organizations), rows))

    async def close(self) -> None:
        await self.db.close()

    def _hear(self, events: list[LiveEvent]) -> None:
        self.told += events

        async def tell() -> None:
            async with self._heard:
                self._heard.notify_all()

        task = asyncio.ensure_future(tell())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    @property
    def names(self) -> list[str]:
        """The names of the events that were told, in order."""
        return [event.name for event in self.told]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until events were told that make this true."""
        async with asyncio.timeout(HEARD_WITHIN_S), self._heard:
            await self._heard.wait_for(condition)

    async def heard(self, name: str, count: int = 1) -> None:
        """Wait until so many events of this name were told."""
        await self.until(lambda: self.names.count(name) >= count)

    async def register(
        self, device_id: str = "d", *, app: str = "demo", by: Caller | None = None
    ) -> DeviceRecord:
        """Register a device."""
        return (await self.devices.register(by or caller(), app, device_id, "thing"))[0]

    def device(self, device_id: str = "d", *, app: str = "demo") -> Device:
        """Return a registered device."""
        found = self.registry.find(app, device_id)
        assert found is not None
        return found


@asynccontextmanager
async def open_rooms(path: Path) -> AsyncIterator[Rooms]:
    """Rooms over a new database."""
    rooms = Rooms(path)
    await rooms.open()
    try:
        yield rooms
    finally:
        await rooms.close()
