"""The log of device events: what is stored of them and under which cursors."""

from sqlalchemy import Connection, func, select

from fleetwire.features.devices.tables import device_events
from fleetwire.ingest.events import EventBus, EventLog
from fleetwire.ingest.sequence import Sequence


def make_event_log(sequence: Sequence, bus: EventBus) -> EventLog:
    """Return the log that writes to this room's table."""
    return EventLog(device_events, sequence, bus)


def last_cursor(connection: Connection) -> int:
    """Return the newest cursor in the log, 0 if it is empty."""
    return connection.scalar(select(func.max(device_events.c.id))) or 0
