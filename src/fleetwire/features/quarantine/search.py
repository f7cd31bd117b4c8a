"""Search: which refused messages are meant, by text, topic, app, device, reason and time.

The database leaves out most; what it cannot judge on every kind of database (a Topic Filter, a text
within bytes) is looked at here, over a bounded number of rows for each page.
"""

from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, func, literal, or_, select

from fleetwire.errors import InvalidValueError
from fleetwire.features.audit.visibility import owns_the_platform
from fleetwire.features.quarantine.tables import quarantine
from fleetwire.kit.services import Caller
from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.protocol.topics import check_topic_filter, matches

CHUNK: Final = 200  # rows in memory at a time; a payload may have 64 KiB
LOOKED_AT_MOST: Final = 5_000  # rows for one page; it is short then, and has a cursor
PREVIEW_BYTES: Final = 512  # of each payload in a list; the whole is one more question away


class RefusedMessage(msgspec.Struct):
    """A message that was not accepted. `payload` may be shorter than the `payload_bytes` sent."""

    id: int
    organization_id: int | None
    app: str | None
    topic: str
    payload: bytes
    payload_bytes: int
    qos: int
    client_id: str
    identity: str
    reason_code: int
    reason: str
    received_at: int


class Search(msgspec.Struct, frozen=True):
    """What is given must be so, all of it; nothing given means every message.

    `text` occurs in the payload, topic, reason, client id or identity; `topic` and `reason` occur
    in theirs; `filter` is a Topic Filter; `device` is the name of the device that sent it, or a
    level of the topic. Letters of ASCII count the same in either case. Received within [from_at,
    to_at).
    """

    text: str | None = None
    topic: str | None = None
    filter: str | None = None
    app: str | None = None
    device: str | None = None
    reason: str | None = None
    from_at: int | None = None
    to_at: int | None = None

    def check(self) -> None:
        """Raise InvalidValueError if `filter` is no Topic Filter."""
        if self.filter is not None:
            try:
                check_topic_filter(self.filter)
            except InvalidTopicError as error:
                raise InvalidValueError(f"filter: {error}", field="filter") from None

    @property
    def needs_a_look(self) -> bool:
        """Whether the database alone cannot tell."""
        return bool(self.text or self.filter or self.device)

    def given(self) -> dict[str, Any]:
        """Return what is given, for the record."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value}

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return what the database can tell."""
        found: list[ColumnElement[bool]] = []
        row = quarantine.c
        if self.topic:
            found.append(row.topic.icontains(self.topic, autoescape=True))
        if self.reason:
            found.append(row.reason.icontains(self.reason, autoescape=True))
        if self.app:
            found.append(row.app == self.app)
        if self.device:
            found.append(
                or_(
                    row.topic.contains(self.device, autoescape=True),
                    row.identity.contains(self.device, autoescape=True),
                )
            )
        if self.filter:
            # All that is before the first wildcard; what comes after it is looked at.
            begin = self.filter.partition("+")[0].partition("#")[0]
            if self.filter == begin:
                found.append(row.topic == begin)
            else:
                # "a/#" is also "a".
                found.append(row.topic.startswith(begin.removesuffix("/"), autoescape=True))
        if self.from_at is not None:
            found.append(row.received_at >= self.from_at)
        if self.to_at is not None:
            found.append(row.received_at < self.to_at)
        return found

    def fits(self, message: RefusedMessage) -> bool:
        """Say what the database could not; the payload must be whole for that."""
        if self.filter and not matches(self.filter, message.topic):
            return False
        if self.device and not (
            (
                message.identity.startswith("device:")
                and message.identity.partition("/")[2] == self.device
            )
            or self.device in message.topic.split("/")
        ):
            return False
        if self.text:
            wanted = self.text.encode(errors="replace").lower()
            texts = (message.topic, message.reason, message.client_id, message.identity)
            if wanted not in message.payload.lower():
                return any(wanted in each.encode(errors="replace").lower() for each in texts)
        return True


class Found(NamedTuple):
    """Some messages, and the id to go on after; None = there are no more."""

    messages: list[RefusedMessage]
    position: int | None


def visible(caller: Caller) -> ColumnElement[bool]:
    """Return the condition for what a caller may see: the one place that says so.

    A message that belongs to no organisation is for the platform's owners.
    """
    own = quarantine.c.organization_id == caller.organization_id
    if owns_the_platform(caller):
        return or_(own, quarantine.c.organization_id.is_(None))
    return own


def find(
    connection: Connection,
    caller: Caller,
    search: Search,
    *,
    limit: int,
    position: int | None = None,
    through_id: int | None = None,
    is_newest_first: bool = False,
) -> Found:
    """Return up to `limit` messages with whole payloads, after `position` in their order."""
    messages: list[RefusedMessage] = []
    conditions = [visible(caller), *search.conditions()]
    if through_id is not None:
        conditions.append(quarantine.c.id <= through_id)
    chunk = CHUNK if search.needs_a_look else min(CHUNK, limit)
    looked_at = 0
    while True:
        query = columns(quarantine.c.payload).where(*conditions)
        if position is not None:
            is_after = quarantine.c.id < position if is_newest_first else quarantine.c.id > position
            query = query.where(is_after)
        order = quarantine.c.id.desc() if is_newest_first else quarantine.c.id
        rows = connection.execute(query.order_by(order).limit(chunk)).all()
        for row in rows:
            message = RefusedMessage(*row)
            position = message.id
            if search.fits(message):
                messages.append(message)
                if len(messages) == limit:
                    return Found(messages, position)
        if len(rows) < chunk:
            return Found(messages, None)
        looked_at += len(rows)
        if search.needs_a_look and looked_at >= LOOKED_AT_MOST:
            return Found(messages, position)


def preview(connection: Connection, caller: Caller, search: Search, **how: Any) -> Found:
    """Return messages as `find` does, with payloads cut to PREVIEW_BYTES."""
    found = find(connection, caller, search, **how)
    for message in found.messages:
        message.payload = message.payload[:PREVIEW_BYTES]
    return found


def columns(payload: ColumnElement[Any]) -> Select[Any]:
    """Return the SELECT of a RefusedMessage's fields."""
    return select(
        quarantine.c.id,
        quarantine.c.organization_id,
        quarantine.c.app,
        quarantine.c.topic,
        # SQLite has NULL for a part of nothing.
        func.coalesce(payload, literal(b"")).label("payload"),
        quarantine.c.payload_bytes,
        quarantine.c.qos,
        quarantine.c.client_id,
        quarantine.c.identity,
        quarantine.c.reason_code,
        quarantine.c.reason,
        quarantine.c.received_at,
    )
