"""What a message carries from hop to hop: the properties that stay, and those of one hop."""

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish

SECOND = 1_000_000

# Properties that belong to the Network Connection or the subscription, not to the message.
_HOP_PROPERTIES = (c.TOPIC_ALIAS, c.SUBSCRIPTION_IDENTIFIER)


def seconds_left(expires_at: int, now: int) -> int:
    """Return what remains until it expires, in whole seconds, at least one."""
    return max(1, (expires_at - now) // SECOND)


def with_time_left(publish: Publish, expires_at: int, now: int) -> Publish:
    """Return the message with what remains of its Message Expiry Interval [MQTT-3.3.2-6]."""
    properties = dict(publish.properties or {})
    properties[c.MESSAGE_EXPIRY_INTERVAL] = seconds_left(expires_at, now)
    return Publish(
        publish.topic_name, publish.payload, publish.qos, publish.retain, False, 0, properties
    )


def expires_at_of(properties: Properties | None, now: int) -> int:
    """Return when a message with these properties expires, 0 = never."""
    if not properties:
        return 0
    interval = properties.get(c.MESSAGE_EXPIRY_INTERVAL)
    return now + interval * SECOND if isinstance(interval, int) else 0


def as_message(publish: Publish) -> Publish:
    """Return the message without what belonged to the connection it came by."""
    properties = publish.properties
    if properties:
        properties = {k: v for k, v in properties.items() if k not in _HOP_PROPERTIES}
    return Publish(
        publish.topic_name,
        publish.payload,
        publish.qos,
        publish.retain,
        False,
        0,
        properties or None,
    )


def with_identifiers(properties: Properties | None, identifiers: list[int]) -> Properties:
    """Return the properties with these Subscription Identifiers."""
    changed: Properties = dict(properties) if properties else {}
    changed[c.SUBSCRIPTION_IDENTIFIER] = identifiers
    return changed
