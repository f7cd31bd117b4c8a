"""EventLog and EventBus: events are stored with what made them true, and told after the commit."""

from collections.abc import Callable, Sequence as SequenceOf
from typing import Any

import msgspec
from sqlalchemy import Table, insert

from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Event
from fleetwire.kit.instants import iso
from fleetwire.kit.services import LiveEvent
from fleetwire.store.database import Transaction

Listener = Callable[[list[LiveEvent]], None]


class EventBus:
    """Tells committed events to listeners, on the event loop, in commit order, a batch at a time.

    A listener must not block and must not raise; it keeps what it needs and returns.
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._for_readings: list[Listener] = []

    @property
    def has_listeners(self) -> bool:
        """Say whether anybody wants to be told of readings, which takes work for each message."""
        return bool(self._for_readings)

    def subscribe(self, listener: Listener, *, wants_readings: bool = True) -> Callable[[], None]:
        """Add a listener; the returned function removes it."""
        lists = [self._listeners, self._for_readings] if wants_readings else [self._listeners]
        for each in lists:
            each.append(listener)

        def remove() -> None:
            for each in lists:
                if listener in each:
                    each.remove(listener)

        return remove

    def publish(self, events: list[LiveEvent]) -> None:
        """Tell every listener; the list is shared and must not be changed."""
        for listener in tuple(self._listeners):
            listener(events)


class EventLog:
    """Stores durable events under the next cursors, inside a transaction."""

    def __init__(self, table: Table, sequence: Sequence, bus: EventBus) -> None:
        self._insert = insert(table)
        self._sequence = sequence
        self._bus = bus

    def append(self, tx: Transaction, items: SequenceOf[tuple[Event, int, str]]) -> list[LiveEvent]:
        """Store events, each with its received_at and topic; return them with their cursors.

        Nobody is told yet.
        """
        live: list[LiveEvent] = []
        rows = []
        cursor = self._sequence.take(len(items))
        for event, received_at, topic in items:
            device = event.device
            live.append(
                LiveEvent(cursor, device.app, device, event.name, topic, event.body, received_at)
            )
            rows.append(
                {
                    "id": cursor,
                    "organization_id": device.organization_id,
                    "app": device.app,
                    "device": device.id,
                    "name": event.name,
                    "topic": topic,
                    "body": event.body,
                    "received_at": received_at,
                }
            )
            cursor += 1
        if rows:
            tx.execute(self._insert, rows)
        return live

    def record(
        self, tx: Transaction, events: SequenceOf[Event], *, received_at: int, topic: str = ""
    ) -> None:
        """Store these events and tell them after the commit.

        For changes that start outside the road: presence, commands.
        """
        live = self.append(tx, [(event, received_at, topic) for event in events])
        if live:
            tx.after_commit(lambda: self._bus.publish(live))


def body_of(message: str | bytes | None) -> dict[str, Any]:
    """Return the fields of a message as sent; what is no JSON object becomes its `value`."""
    if message is None:
        return {}
    try:
        body = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = message if isinstance(message, str) else message.decode("utf-8", "replace")
    return body if isinstance(body, dict) else {"value": body}


def encoded(event: LiveEvent) -> str:
    """Return the event as JSON text, encoded once however many read it.

    The message's own fields come first; `type`, `topic`, `received_at` and `cursor` are ours.
    """
    if event.text is None:
        body = dict(event.body)
        body["type"] = event.name
        body["topic"] = event.topic
        body["received_at"] = iso(event.received_at)
        body["cursor"] = event.cursor
        event.text = msgspec.json.encode(body).decode()
    return event.text
