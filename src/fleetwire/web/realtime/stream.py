"""LiveStream: what apps are offered for realtime channels of their own."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from fleetwire.errors import UnauthenticatedError
from fleetwire.ingest.events import EventBus, encoded
from fleetwire.kit.app import App
from fleetwire.kit.caller import SYSTEM
from fleetwire.kit.device import Device
from fleetwire.kit.services import Caller, LiveEvent, Realtime
from fleetwire.store.database import Database
from fleetwire.web.realtime.history import PAGE_ROWS
from fleetwire.web.realtime.reader import BUFFER_EVENTS, Reader
from fleetwire.web.realtime.rooms import Room, Rooms, Seat


class LiveStream(Realtime):
    """Committed events, live and by cursor. Needs the permission `telemetry.read`."""

    def __init__(
        self,
        database: Database,
        bus: EventBus,
        find_device: Callable[[int], Device | None],
        apps: Mapping[str, App],
        *,
        buffer_events: int = BUFFER_EVENTS,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.rooms = Rooms(database, bus, find_device, apps, page_rows=page_rows)
        self._buffer_events = buffer_events
        self._open: dict[Reader, Caller] = {}

    def stream(
        self,
        caller: Caller,
        *,
        app: str,
        matches: Callable[[LiveEvent], bool],
        since: int | None = None,
    ) -> AsyncGenerator[list[LiveEvent], None]:
        """Yield events as `Realtime.stream` says. Raises ForbiddenError at once."""
        caller.require("telemetry.read")
        reader = Reader(buffer_events=self._buffer_events)

        def wanted(event: LiveEvent) -> bool:
            return event.app == app and matches(event)

        room = Room(caller.organization_id, reader, wanted, encoded, app=app)
        return self._follow(caller, room, reader, since)

    def recheck(self, concerns: Callable[[Caller], bool]) -> None:
        """End the streams of these callers: they must show again who they are."""
        for reader, caller in self._open.items():
            if caller.actor != SYSTEM and concerns(caller):  # the house's rights do not change
                reader.end(UnauthenticatedError("Your access has changed. Connect again."))

    async def _follow(
        self, caller: Caller, room: Room, reader: Reader, since: int | None
    ) -> AsyncGenerator[list[LiveEvent], None]:
        seat = Seat(self.rooms, room, reader)
        self._open[reader] = caller
        try:
            await self.rooms.settle()
            top = await self.rooms.history.newest()
            yield []
            position = top if since is None else since
            async with aclosing(self.rooms.follow(seat, position, top)) as parts:
                async for told in parts:
                    for chunk in told.chunks:
                        yield chunk.events
        finally:
            del self._open[reader]
            seat.leave()
