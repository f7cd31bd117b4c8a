"""Telling: how a message is said to a socket."""

from typing import Any

import msgspec

from fleetwire.apps.messaging.book import Attachment, Listener
from fleetwire.apps.messaging.history import Message
from fleetwire.apps.messaging.payloads import decoded
from fleetwire.kit import Seen
from fleetwire.kit.instants import iso


def view(message: Message, message_id: str, qos: int, *, retain: bool) -> dict[str, Any]:
    """Return a message as people are told it."""
    return {
        "topic": message.topic,
        **decoded(message.payload),
        "qos": qos,
        "timestamp": iso(message.received_at),
        "retain": retain,
        "messageId": message_id,
    }


def said(message: Message, message_id: str, qos: int, *, retain: bool) -> msgspec.Raw:
    """Return a message as it is sent; it is encoded once for many sockets."""
    return msgspec.Raw(msgspec.json.encode(view(message, message_id, qos, retain=retain)))


def push(listener: Listener, topic: str, said: msgspec.Raw, qos: int) -> None:
    """Send a message to a socket."""
    # A slow client is shown the newest of each topic, but of QoS 1 and 2 it gets everything.
    listener.client.emit("mqtt:message", said, key=topic, must_arrive=qos > 0)


def is_due(attachment: Attachment, message_id: int) -> bool:
    """Say whether a filter brings a message as it passes, 0 = one that is not stored.

    One that is catching up notes it: it will read it from the store.
    """
    if not message_id:
        return True
    if attachment.is_catching:
        attachment.heard = max(attachment.heard, message_id)
        return False
    return message_id > attachment.position


def message_of(seen: Seen) -> Message:
    """Return what passed as a message that is not stored."""
    return Message(0, seen.topic, seen.payload, seen.qos, seen.retain, seen.received_at)
