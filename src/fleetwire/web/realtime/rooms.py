"""Rooms: committed events for any number of readers, each at its own pace.

Theory of operation. Readers of one organisation with the same interest and rights share a room: an
event is asked once per room whether it is wanted, and encoded once at all. A room that is about
named devices is looked at for their events only. Each reader has a bounded buffer (`reader.py`) and
knows the cursor up to which it has been served. It first empties the buffer, so that it hears
everything from then on; reads the store page by page up to a position; and goes on with what it
heard meanwhile after that position. Whatever commits around the change is in the store, in the
buffer or in both, and the cursor tells the double ones. Nobody waits for a slow reader.
"""

from collections.abc import AsyncGenerator, Callable, Hashable, Mapping

from fleetwire.ingest.events import EventBus
from fleetwire.kit.app import App
from fleetwire.kit.device import Device
from fleetwire.kit.services import LiveEvent
from fleetwire.store.database import Database, Transaction
from fleetwire.web.realtime.chunk import Encoder, Part, chunks_of, events_part, part
from fleetwire.web.realtime.history import PAGE_ROWS, History
from fleetwire.web.realtime.reader import Reader

Encode = Callable[[LiveEvent], str]


class Room:
    """Readers who are told the same. `device_ids` () = of whichever device."""

    def __init__(
        self,
        organization_id: int,
        key: Hashable,
        matches: Callable[[LiveEvent], bool],
        encode: Encode,
        *,
        app: str | None = None,
        device_ids: frozenset[str] = frozenset(),
    ) -> None:
        self.organization_id = organization_id
        self.key = key
        self.matches = matches
        self.encode = encode
        self.app = app
        self.device_ids = device_ids
        self.readers: list[Reader] = []
        self.heard: list[LiveEvent] = []  # of the batch that is being told

    def places(self) -> list[tuple[int, str | None]]:
        """Return under which organisation and device_id this room is found; None = any device."""
        if not self.device_ids:
            return [(self.organization_id, None)]
        return [(self.organization_id, device_id) for device_id in self.device_ids]

    def tell(self) -> None:
        """Hand what was heard to every reader."""
        heard, self.heard = self.heard, []
        for chunk in chunks_of(heard, self.encode):
            for reader in self.readers:
                reader.hear(chunk)


class Rooms:
    """All rooms of the house, and the road from the store into them."""

    def __init__(
        self,
        database: Database,
        bus: EventBus,
        find_device: Callable[[int], Device | None],
        apps: Mapping[str, App],
        *,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.encoder = Encoder()
        self.history = History(database, find_device, apps, page_rows=page_rows)
        self._database = database
        self._bus = bus
        self._rooms: dict[Hashable, Room] = {}
        # By organisation and device_id; None = whichever device.
        self._places: dict[tuple[int, str | None], list[Room]] = {}
        self._leave_bus: Callable[[], None] | None = None
        self._is_settled = False  # what is committed from now on is told
        self.missed = 0  # events since start that slow readers were not shown one by one

    def __len__(self) -> int:
        return len(self._rooms)

    def enter(self, room: Room, reader: Reader) -> Room:
        """Put a reader into this room, or into the one with its key; return which."""
        key = (room.organization_id, room.key)
        known = self._rooms.get(key)
        if known is None:
            known = self._rooms[key] = room
            for place in room.places():
                self._places.setdefault(place, []).append(room)
        known.readers.append(reader)
        if self._leave_bus is None:
            self._leave_bus = self._bus.subscribe(self._hear)
        return known

    @property
    def readers(self) -> int:
        """How many readers are in all rooms."""
        return sum(len(room.readers) for room in self._rooms.values())

    def leave(self, room: Room, reader: Reader) -> None:
        """Take a reader out; an empty room is no more."""
        room.readers.remove(reader)
        if room.readers:
            return
        del self._rooms[(room.organization_id, room.key)]
        for place in room.places():
            self._places[place].remove(room)
            if not self._places[place]:
                del self._places[place]
        if not self._rooms and self._leave_bus is not None:
            self._leave_bus()
            self._leave_bus = None
            self._is_settled = False

    async def settle(self) -> None:
        """Return once every later commit is told to whoever is in a room.

        While nobody listens the road makes no events. A batch that was stored so, and is about to
        commit, must be over before a reader may count on hearing everything.
        """
        if not self._is_settled:
            await self._database.write(_nothing)
            self._is_settled = True

    async def follow(self, seat: "Seat", since: int, top: int) -> AsyncGenerator[Part, None]:
        """Yield what is stored after `since`, then what is committed, without a gap.

        `top` is the newest cursor that was stored after the reader was in its room and the rooms
        settled. Raises StoreUnavailableError, and what the reader is ended with.
        """
        reader = seat.reader
        position = min(since, top)  # a cursor from the future would hide what comes
        # The store is to be read after this cursor; None = all later was heard.
        behind = position if position < top else None
        while True:
            while behind is not None:
                reader.start_over()
                position = behind
                is_last = False
                while not is_last:
                    room = seat.room
                    page = await self.history.after(position, room.app, room.organization_id)
                    found = [event for event in page.events if room.matches(event)]
                    reader.check()
                    for chunk in chunks_of(found, room.encode):
                        if seat.room is not room:
                            break  # its rights have changed: the rest is read again
                        yield events_part([chunk])
                        position = chunk.events[-1].cursor
                    else:
                        position = page.position
                        is_last = page.is_last
                behind = position if reader.overflowed_after is not None else None
            reader.go_live(position)
            yield part("live", position, cursor=position)
            while behind is None:
                taken = await reader.next()
                if taken.missed:
                    self.missed += taken.missed
                    yield part("lagged", lagged=taken.missed, since=taken.since)
                if taken.chunks and not taken.missed:
                    yield events_part(taken.chunks)
                elif taken.chunks:
                    for chunk in taken.chunks:
                        yield events_part([chunk])
                elif reader.overflowed_after is not None:
                    behind = reader.overflowed_after

    def _hear(self, events: list[LiveEvent]) -> None:
        touched: list[Room] = []
        for event in events:
            device = event.device
            # The one place where organisations are kept apart while live.
            for rooms in (
                self._places.get((device.organization_id, None), ()),
                self._places.get((device.organization_id, device.device_id), ()),
            ):
                for room in rooms:
                    if room.matches(event):
                        if not room.heard:
                            touched.append(room)
                        room.heard.append(event)
        for room in touched:
            room.tell()


class Seat:
    """A reader in a room; it may be moved to another when its rights change."""

    def __init__(self, rooms: Rooms, room: Room, reader: Reader) -> None:
        self._rooms = rooms
        self.reader = reader
        self.room = rooms.enter(room, reader)

    def move(self, room: Room) -> None:
        """Hear from now on what this room is told."""
        before = self.room
        # In this order the house never has nobody who listens.
        self.room = self._rooms.enter(room, self.reader)
        self._rooms.leave(before, self.reader)
        self.reader.keep(self.room.matches)

    def leave(self) -> None:
        """Hear no more."""
        self._rooms.leave(self.room, self.reader)


def _nothing(tx: Transaction) -> None:
    """Write nothing: what was handed in before this has been committed when it returns."""
