"""History: stored events after a cursor, a page at a time.

Readings and device events share one ascending sequence, which is the order of commit. A message is
not stored a second time as an event: it is made again from its readings, which stand next to each
other and carry the message as sent.

Does not: bring back events of devices that have been deleted, or events that were never stored.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, select

from fleetwire.features.devices.tables import device_events
from fleetwire.features.telemetry.tables import readings
from fleetwire.ingest.events import body_of
from fleetwire.kit.app import App
from fleetwire.kit.device import Device
from fleetwire.kit.services import LiveEvent
from fleetwire.store.database import Database

# Rows of each table a page looks at, whoever they belong to: a page takes some milliseconds even
# if nothing in it is for the reader. Well above the readings of one message, so that a page holds
# whole messages.
PAGE_ROWS = 2000
PAGE_BYTES = 4 * 1024 * 1024  # of messages as sent


class HistoryPage:
    """Events in commit order; `position` is the cursor that all up to is read, `is_last` = all."""

    __slots__ = ("events", "is_last", "position")

    def __init__(self, events: list[LiveEvent], position: int, is_last: bool) -> None:
        self.events = events
        self.position = position
        self.is_last = is_last


class History:
    """The stored events of one organisation, of one app or of all."""

    def __init__(
        self,
        database: Database,
        find_device: Callable[[int], Device | None],
        apps: Mapping[str, App],
        *,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._database = database
        self._find_device = find_device
        self._told = {
            name: (app.readings_event, app.readings_topic)
            for name, app in apps.items()
            if app.readings_event is not None and app.readings_topic is not None
        }
        self._page_rows = page_rows

    async def newest(self) -> int:
        """Return the newest stored cursor, whosever it is. Raises StoreUnavailableError."""
        return await self._database.read(_top)

    async def after(self, cursor: int, app: str | None, organization_id: int) -> HistoryPage:
        """Return the next page after this cursor. Raises StoreUnavailableError."""
        return await self._database.read(
            lambda connection: self._read(connection, cursor, app, organization_id)
        )

    def _read(
        self, connection: Connection, after: int, app: str | None, organization_id: int
    ) -> HistoryPage:
        # The top is read first and bounds both tables: what commits between the two statements
        # must not show in one table and be missed in the other.
        top = _top(connection)
        if top <= after:
            return HistoryPage([], after, True)
        messages, messages_to = self._messages(connection, after, top, app, organization_id)
        events, events_to = self._events(connection, after, top, app, organization_id)
        # A table that was not read to the top limits what the other may give.
        position = min(messages_to, events_to)
        found = [event for event in messages + events if event.cursor <= position]
        found.sort(key=lambda event: event.cursor)
        return HistoryPage(found, position, position == top)

    def _events(
        self, connection: Connection, after: int, top: int, app: str | None, organization_id: int
    ) -> tuple[list[LiveEvent], int]:
        table = device_events.c
        wanted = (
            select(table.id, table.device, table.name, table.topic, table.body, table.received_at)
            .where(table.id > after, table.id <= top)
            .where(table.organization_id == organization_id)
            .order_by(table.id)
            .limit(self._page_rows)
        )
        if app is not None:
            wanted = wanted.where(table.app == app)
        rows = connection.execute(wanted).all()
        found = []
        for row in rows:
            device = self._find_device(row.device)
            if device is not None:
                topic = row.topic or ""
                found.append(
                    LiveEvent(
                        row.id, device.app, device, row.name, topic, row.body, row.received_at
                    )
                )
        return found, rows[-1].id if len(rows) == self._page_rows else top

    def _messages(
        self, connection: Connection, after: int, top: int, app: str | None, organization_id: int
    ) -> tuple[list[LiveEvent], int]:
        told = {name: of for name, of in self._told.items() if app is None or name == app}
        if not told:
            return [], top
        table = readings.c
        # Not joined with devices: by its key the table is in order already, and no planner may
        # think of sorting it.
        rows = connection.execute(
            select(table.id, table.device, table.received_at, table.source)
            .where(table.id > after, table.id <= top)
            .order_by(table.id)
            .limit(self._page_rows),
            execution_options={"yield_per": 200},
        )
        found: list[LiveEvent] = []
        complete_to = after
        seen_rows = seen_bytes = 0
        for group in _messages_of(rows):
            last = group[-1]
            seen_rows += len(group)
            seen_bytes += sum(len(row.source or "") for row in group)
            # The page may have cut its last message; unless it fills the page, it waits.
            if seen_rows == self._page_rows and complete_to != after:
                break
            device = self._find_device(last.device)
            if (
                device is not None
                and device.app in told
                and device.organization_id == organization_id
            ):
                name, template = told[device.app]
                topic = template.replace("{device_id}", device.device_id)
                body = body_of(last.source)
                found.append(
                    LiveEvent(last.id, device.app, device, name, topic, body, last.received_at)
                )
            complete_to = last.id
            if seen_bytes > PAGE_BYTES:
                break
        else:
            if seen_rows < self._page_rows:
                complete_to = top
        rows.close()
        return found, complete_to


def _top(connection: Connection) -> int:
    tops = (
        connection.execute(select(func.max(table.c.id))).scalar() or 0
        for table in (readings, device_events)
    )
    return max(tops)


def _messages_of(rows: Any) -> Iterator[list[Row[Any]]]:
    """Yield the rows of one message at a time: same device, same moment, same text."""
    group: list[Row[Any]] = []
    for row in rows:
        if group and (
            row.device != group[0].device
            or row.received_at != group[0].received_at
            or row.source != group[0].source
        ):
            yield group
            group = []
        group.append(row)
    if group:
        yield group
