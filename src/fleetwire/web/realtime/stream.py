"""LiveStream: committed events for any number of readers, each at its own pace.

Theory of operation. Each reader listens to the bus through a bounded buffer and knows the cursor
up to which it has been served. A reader with a past (`since`), or whose buffer ran over, first
empties the buffer, so that it hears everything from then on; reads the store page by page up to a
position; and goes on with what it heard meanwhile after that position. Whatever commits around
the change is in the store, in the buffer or in both, and the cursor tells the double ones. A
buffer that runs over while the store is read starts that again, so a slow reader lives from the
store, in bounded memory, and nobody waits for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping

from fleetwire.ingest.events import EventBus, encoded
from fleetwire.kit.app import App
from fleetwire.kit.device import Device
from fleetwire.kit.services import Caller, LiveEvent, Realtime
from fleetwire.store.database import Database, Transaction
from fleetwire.web.realtime.history import PAGE_ROWS, History

BUFFER_EVENTS = 10_000
BUFFER_CHARS = 8 * 1024 * 1024  # of encoded events
CHUNK = 500  # events handed on at once; others get their turn in between


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
        self._database = database
        self._bus = bus
        self._history = History(database, find_device, apps, page_rows=page_rows)
        self._buffer_events = buffer_events

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
        reader = Reader(app, caller.organization_id, matches, self._buffer_events)
        return self._follow(reader, since)

    async def _follow(
        self, reader: "Reader", since: int | None
    ) -> AsyncGenerator[list[LiveEvent], None]:
        stop = self._bus.subscribe(reader.hear)
        try:
            # While nobody listens the road makes no events. A batch that was stored so, and is
            # about to commit, must be over before this reader may count on hearing everything.
            await self._database.write(_nothing)
            yield []
            behind = since  # the store is to be read after this cursor; None = live
            served = 0  # everything up to here came from the store
            while True:
                while behind is not None:
                    reader.start_over()
                    served = behind
                    is_last = False
                    while not is_last:
                        page = await self._history.after(served, reader.app, reader.organization_id)
                        events = [event for event in page.events if reader.matches(event)]
                        for event in events:
                            encoded(event)
                        if events:
                            yield events
                        served = page.position
                        is_last = page.is_last
                    behind = served if reader.overflowed_after is not None else None
                heard = await reader.next()
                if reader.overflowed_after is not None:
                    behind = max(reader.overflowed_after, served)
                    continue
                events = [event for event in heard if event.cursor > served]
                if events:
                    yield events
        finally:
            stop()


class Reader:
    """What one reader wants, and has heard on the bus but not been given yet.

    `overflowed_after` is None, or the cursor after which it has to read the store because more was
    heard than the buffer holds.
    """

    __slots__ = (
        "_chars",
        "_heard",
        "_most",
        "_wake",
        "app",
        "matches",
        "organization_id",
        "overflowed_after",
    )

    def __init__(
        self, app: str, organization_id: int, matches: Callable[[LiveEvent], bool], most: int
    ) -> None:
        self.app = app
        self.organization_id = organization_id
        self.matches = matches
        self.overflowed_after: int | None = None
        self._most = most
        self._heard: list[LiveEvent] = []
        self._chars = 0
        self._wake = asyncio.Event()

    def hear(self, events: list[LiveEvent]) -> None:
        """Keep what is wanted of newly committed events."""
        if self.overflowed_after is not None:
            return
        for event in events:
            if (
                event.app == self.app
                and event.device.organization_id == self.organization_id
                and self.matches(event)
            ):
                self._heard.append(event)
                self._chars += len(encoded(event))
        if len(self._heard) > self._most or self._chars > BUFFER_CHARS:
            self.overflowed_after = self._heard[0].cursor - 1
            self._forget()
            self._wake.set()
        elif self._heard:
            self._wake.set()

    def start_over(self) -> None:
        """Forget what was heard, and that it was too much."""
        self.overflowed_after = None
        self._forget()
        self._wake.clear()

    async def next(self) -> list[LiveEvent]:
        """Wait for events and return some, in order; none if the buffer ran over."""
        await self._wake.wait()
        chunk = self._heard[:CHUNK]
        del self._heard[:CHUNK]
        for event in chunk:
            self._chars -= len(encoded(event))
        if not self._heard and self.overflowed_after is None:
            self._wake.clear()
        return chunk

    def _forget(self) -> None:
        self._heard.clear()
        self._chars = 0


def _nothing(tx: Transaction) -> None:
    """Write nothing: what was handed in before this has been committed when it returns."""
