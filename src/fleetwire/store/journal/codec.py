"""From what the broker knows to rows, and back.

A row holds its values in the order of its table's columns. What is read back is checked as if a
stranger had sent it: a database may have been damaged, or mended by hand.
"""

from collections.abc import Sequence
from typing import Any

from fleetwire.broker.grants import Grant
from fleetwire.broker.session import WAIT_PUBACK, WAIT_PUBCOMP, WAIT_PUBREC, Outgoing, Session
from fleetwire.errors import FleetwireError
from fleetwire.protocol import constants as c
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.inflight import LARGEST_PACKET_ID
from fleetwire.protocol.packets import Properties, Publish, Subscription
from fleetwire.protocol.properties import WILL, encode_properties, parse_properties
from fleetwire.protocol.reader import Reader

Row = Sequence[Any]

LARGEST = (1 << 63) - 1
LARGEST_INTERVAL = 0xFFFFFFFF
GRANT_COLUMNS = 6
MESSAGE_COLUMNS = 5

# The states a message in flight can be in, by its QoS; 0 is in the queue.
_STATES = {1: (0, WAIT_PUBACK), 2: (0, WAIT_PUBREC, WAIT_PUBCOMP)}


class DamagedRowError(FleetwireError):
    """A row that was stored cannot be what it says."""


# --- to rows ---


def session_to_row(session: Session) -> Row:
    """Return the row of mqtt_sessions."""
    return (
        session.key,
        session.client_id,
        *_grant_to_row(session.grant),
        session.expiry_interval,
        session.disconnected_at,
    )


def subscription_to_row(item: tuple[int, Subscription, int]) -> Row:
    """Return the row of mqtt_subscriptions for (session's key, subscription, identifier)."""
    session, subscription, identifier = item
    return (
        session,
        subscription.topic_filter,
        subscription.qos,
        int(subscription.no_local),
        int(subscription.retain_as_published),
        subscription.retain_handling,
        identifier,
    )


def message_to_row(item: tuple[int, Publish]) -> Row:
    """Return the row of mqtt_messages for (key, message)."""
    return (item[0], *_publish_to_row(item[1], c.PUBLISH))


def outgoing_as_it_is(session: int, message: int, outgoing: Outgoing) -> Row:
    """Return what `outgoing_to_row` needs, taken before the message goes on changing."""
    return (
        outgoing.key,
        session,
        message,
        outgoing.qos,
        int(outgoing.retain),
        outgoing.subscription_ids,
        int(outgoing.group is not None),
        outgoing.packet_id,
        outgoing.state,
        outgoing.expires_at,
    )


def outgoing_to_row(row: Row) -> Row:
    """Return the row of mqtt_outgoing."""
    identifiers = row[5]
    if identifiers is None:
        return row
    blob = encode_properties({c.SUBSCRIPTION_IDENTIFIER: identifiers}, c.PUBLISH)
    return (*row[:5], blob, *row[6:])


def retained_to_row(item: tuple[Publish, int]) -> Row:
    """Return the row of mqtt_retained for (message, expires_at)."""
    return (*_publish_to_row(item[0], c.PUBLISH), item[1])


def will_to_row(item: tuple[str, Grant, Publish, int, int]) -> Row:
    """Return the row of mqtt_wills for (client id, who it is, Will, delay_s, due_at)."""
    client_id, grant, will, delay_s, due_at = item
    return (client_id, *_grant_to_row(grant), *_publish_to_row(will, WILL), delay_s, due_at)


def _grant_to_row(grant: Grant) -> Row:
    return (
        grant.identity,
        grant.organization_id,
        grant.app,
        grant.device,
        grant.credential,
        int(grant.anonymous),
    )


def _publish_to_row(publish: Publish, packet_type: int) -> Row:
    properties = publish.properties
    return (
        publish.topic_name,
        publish.payload,
        publish.qos,
        int(publish.retain),
        encode_properties(properties, packet_type) if properties else None,
    )


# --- from rows; each raises DamagedRowError ---


def session_from_row(row: Row) -> Session:
    """Return the session, without what belongs to it. Its grant has no rights yet."""
    session = Session(text(row[1]), _grant_from_row(row[2 : 2 + GRANT_COLUMNS]))
    session.key = whole(row[0], 1)
    session.expiry_interval = whole(row[-2], 1, LARGEST_INTERVAL)
    session.disconnected_at = whole(row[-1])
    return session


def subscription_from_row(row: Row) -> tuple[int, Subscription, int]:
    """Return the session's key, the subscription and its identifier."""
    subscription = Subscription(
        text(row[1]),
        whole(row[2], 0, 2),
        bool(whole(row[3], 0, 1)),
        bool(whole(row[4], 0, 1)),
        whole(row[5], 0, 2),
    )
    return whole(row[0], 1), subscription, whole(row[6], 0, c.LARGEST_REMAINING_LENGTH)


def message_from_row(row: Row) -> tuple[int, Publish]:
    """Return the message's key and the message."""
    return whole(row[0], 1), _publish_from_row(row[1:], c.PUBLISH)


def outgoing_from_row(row: Row, publish: Publish) -> Outgoing:
    """Return what is on its way to a session: this message."""
    identifiers = _properties_from_blob(row[5], c.PUBLISH)
    ids = None if identifiers is None else identifiers.get(c.SUBSCRIPTION_IDENTIFIER)
    outgoing = Outgoing(
        publish,
        whole(row[3], 1, 2),
        bool(whole(row[4], 0, 1)),
        [each for each in ids if isinstance(each, int)] if isinstance(ids, list) else None,
        whole(row[9]),
        None,
    )
    outgoing.key = whole(row[0], 1)
    outgoing.packet_id = whole(row[7], 0, LARGEST_PACKET_ID)
    outgoing.state = whole(row[8])
    if outgoing.state not in _STATES[outgoing.qos] or bool(outgoing.state) != bool(
        outgoing.packet_id
    ):
        raise DamagedRowError(f"no state {outgoing.state} with packet id {outgoing.packet_id}")
    return outgoing


def retained_from_row(row: Row) -> tuple[Publish, int]:
    """Return the message and when it expires."""
    return _publish_from_row(row, c.PUBLISH), whole(row[MESSAGE_COLUMNS])


def will_from_row(row: Row) -> tuple[str, Grant, Publish, int, int]:
    """Return client id, who it is, Will, delay_s and due_at."""
    grant = _grant_from_row(row[1 : 1 + GRANT_COLUMNS])
    will = _publish_from_row(row[1 + GRANT_COLUMNS :], WILL)
    return text(row[0]), grant, will, whole(row[-2], 0, LARGEST_INTERVAL), whole(row[-1])


def _grant_from_row(row: Row) -> Grant:
    return Grant(
        text(row[0]),
        [],
        [],
        organization_id=whole(row[1]),
        app=text(row[2]),
        device=whole(row[3]),
        credential=whole(row[4]),
        anonymous=bool(whole(row[5], 0, 1)),
    )


def _publish_from_row(row: Row, packet_type: int) -> Publish:
    return Publish(
        text(row[0]),
        _blob(row[1]),
        whole(row[2], 0, 2),
        bool(whole(row[3], 0, 1)),
        properties=_properties_from_blob(row[4], packet_type),
    )


def _properties_from_blob(value: object, packet_type: int) -> Properties | None:
    if value is None:
        return None
    data = _blob(value)
    reader = Reader(data, 0, len(data))
    try:
        properties = parse_properties(reader, packet_type)
        reader.finish()
    except ProtocolError as error:
        raise DamagedRowError(str(error)) from error
    return properties


def whole(value: object, least: int = 0, most: int = LARGEST) -> int:
    """Return the value if it is an integer within these bounds."""
    if type(value) is not int or not least <= value <= most:
        raise DamagedRowError(f"a number is not in {least}..{most}")
    return value


def text(value: object) -> str:
    """Return the text of a column that was read as bytes."""
    try:
        return _blob(value).decode()
    except UnicodeDecodeError as error:
        raise DamagedRowError("a text is not UTF-8") from error


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise DamagedRowError("a column has another type than it was given")
    return value
