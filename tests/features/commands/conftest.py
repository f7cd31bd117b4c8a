import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from fleetwire.features.commands.service import CommandService
from fleetwire.kit import Caller, CommandRecord, DeviceRecord
from tests.fakes import caller
from tests.features.rooms import Rooms, open_rooms


class Ledger:
    """A running CommandService and one device of each app; `vending` devices answer."""

    def __init__(self, rooms: Rooms, device: DeviceRecord, machine: DeviceRecord) -> None:
        self.rooms = rooms
        self.device = device
        self.machine = machine
        self.commands = self.make()

    def make(self) -> CommandService:
        """Another service over the same database, as after a restart."""
        return CommandService(
            self.rooms.db,
            self.rooms.registry,
            self.rooms.downlink,
            self.rooms.log,
            self.rooms.apps,
            answering_apps=frozenset({"vending"}),
            clock=self.rooms.clock,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        worker = asyncio.create_task(self.commands.run())
        try:
            yield
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
            with suppress(Exception):
                await self.commands.flush()

    async def send(
        self,
        name: str = "go",
        *,
        to: DeviceRecord | None = None,
        by: Caller | None = None,
        expires_in_s: float = 60.0,
        key: str | None = None,
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandRecord:
        return await self.commands.send(
            by or caller(),
            to or self.device,
            name,
            {"n": 1},
            payload=name.encode(),
            expires_in_s=expires_in_s,
            idempotency_key=key,
            lane=lane,
            supersede=supersede,
            retry=retry,
        )

    async def get(self, command_id: str) -> CommandRecord:
        return await self.commands.get(caller(), command_id)

    async def states(self, command_id: str) -> list[str]:
        """The timeline's states."""
        return [line.state for line in (await self.get(command_id)).timeline]

    def pass_deadlines(self, seconds: float) -> None:
        """Let time pass, and have the service look at the clock as it does by itself."""
        self.rooms.clock.advance(seconds)
        self.commands._dispatcher.check_deadlines()

    @property
    def payloads(self) -> list[bytes]:
        """What was published, in order."""
        return [sent.payload for sent in self.rooms.downlink.sent]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_rooms(tmp_path / "test.db") as rooms:
        device = await rooms.register("d")
        machine = await rooms.register("m", app="vending")
        ledger = Ledger(rooms, device, machine)
        async with ledger.running():
            yield ledger
