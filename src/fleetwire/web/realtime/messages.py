"""What readers send and are told, as JSON: the same words on every channel."""

from collections.abc import Mapping
from typing import Any

import msgspec

from fleetwire.errors import DomainError, InvalidValueError
from fleetwire.web.realtime.chunk import Part, part
from fleetwire.web.realtime.connection import Connection
from fleetwire.web.realtime.interest import wish_of

MAX_MESSAGE_CHARS = 64 * 1024


def message_of(text: str) -> dict[str, Any]:
    """Return what a client sent. Raises InvalidValueError."""
    if len(text) > MAX_MESSAGE_CHARS:
        raise InvalidValueError(f"A message has at most {MAX_MESSAGE_CHARS} characters.")
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise InvalidValueError(f"A message is a JSON object: {error}") from None
    if not isinstance(message, dict):
        raise InvalidValueError("A message is a JSON object.")
    return message


def name_of(message: Mapping[str, Any]) -> str:
    """Return the subscription that a message is about; without a name it is "main"."""
    name = message.get("id", "main")
    if not isinstance(name, str):
        raise InvalidValueError("id must be text", field="id")
    return name


async def subscribe(connection: Connection, message: Mapping[str, Any]) -> None:
    """Carry out a `subscribe`. Raises DomainError."""
    wish = wish_of({key: value for key, value in message.items() if key not in ("id", "type")})
    await connection.subscribe(name_of(message), wish)


def refusal(error: DomainError) -> Part:
    """Return the part that tells an error."""
    return part("refused", status=error.status, detail=error.message, field=error.field)


def welcome(connection: Connection) -> Part:
    """Return the part that greets."""
    caller = connection.caller
    return part("welcome", identity=caller.actor, organization_id=caller.organization_id)


def framed(subscription: str | None, told: Part) -> str:
    """Return a part as one JSON object; None = it is about the whole connection."""
    head = f'{{"type":"{told.name}"'
    if subscription is not None:
        head += f',"id":{msgspec.json.encode(subscription).decode()}'
    return f"{head},{told.members}}}" if told.members else head + "}"
