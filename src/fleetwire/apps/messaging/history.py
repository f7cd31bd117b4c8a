"""History: stored messages of the topics under history."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, func, insert, select

from fleetwire.apps.messaging.tables import messages
from fleetwire.kit import Transaction
from fleetwire.kit.topics import matches

PAGE_ROWS = 500
MOST_LOOKED_AT = 5_000  # rows for one answer: a filter that matches little is answered in parts
PRUNE_ROWS = 5_000


class Message(msgspec.Struct, frozen=True):
    """One message; `id` 0 = it is not stored."""

    id: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    received_at: int  # microseconds UTC


class Part(msgspec.Struct, frozen=True):
    """Some stored messages in order. All up to `position` were looked at."""

    messages: list[Message]
    position: int
    is_last: bool


def store(tx: Transaction, message: Message) -> Message:
    """Store a message; return it with its id."""
    result = tx.execute(
        insert(messages).values(
            topic=message.topic,
            payload=message.payload,
            qos=message.qos,
            retain=message.retain,
            received_at=message.received_at,
        )
    )
    assert result.inserted_primary_key is not None
    return msgspec.structs.replace(message, id=int(result.inserted_primary_key[0]))


def newest(connection: Connection) -> int:
    """Return the id of the last stored message, 0 if there is none."""
    return int(connection.scalar(select(func.max(messages.c.id))) or 0)


def after(
    topic_filter: str,
    since: int,
    limit: int,
    wanted: Callable[[str], bool],
    received_after: int = 0,
) -> Callable[[Connection], Part]:
    """Return the work that reads stored messages after an id which match and are `wanted`."""
    literal = _literal(topic_filter)

    def work(connection: Connection) -> Part:
        top = newest(connection)
        position = min(since, top)
        found: list[Message] = []
        for _ in range(MOST_LOOKED_AT // PAGE_ROWS):
            query = select(messages).where(messages.c.id > position, messages.c.id <= top)
            if literal == topic_filter:
                query = query.where(messages.c.topic == literal)
            elif literal:
                query = query.where(messages.c.topic.startswith(literal, autoescape=True))
            if received_after:
                query = query.where(messages.c.received_at > received_after)
            rows = connection.execute(query.order_by(messages.c.id).limit(PAGE_ROWS)).all()
            for row in rows:
                if matches(topic_filter, row.topic) and wanted(row.topic):
                    found.append(_message(row))
                position = row.id
                if len(found) == limit:
                    return Part(found, position, is_last=False)
            if len(rows) < PAGE_ROWS:
                return Part(found, top, is_last=True)
        return Part(found, position, is_last=False)

    return work


def _literal(topic_filter: str) -> str:
    """Return the beginning that every topic of a filter has."""
    levels = topic_filter.split("/")
    for index, level in enumerate(levels):
        if level in ("+", "#"):
            # "sport/#" matches "sport" as well, so the last slash is none of it.
            return "/".join(levels[:index])
    return topic_filter


def _message(row: Row[Any]) -> Message:
    return Message(row.id, row.topic, bytes(row.payload), row.qos, row.retain, row.received_at)


def prune(tx: Transaction, before: int) -> int:
    """Remove some messages received before an instant; return how many."""
    old = select(messages.c.id).where(messages.c.received_at < before).limit(PRUNE_ROWS)
    return int(tx.execute(delete(messages).where(messages.c.id.in_(old))).rowcount)
