"""Properties of MQTT 5: which exist, where they may stand, and their bytes (MQTT 5.0 §2.2.2)."""

from typing import Final

from fleetwire.protocol import constants as c
from fleetwire.protocol.errors import MalformedPacketError, ProtocolError
from fleetwire.protocol.packets import Properties, PropertyValue
from fleetwire.protocol.reader import Reader

WILL: Final = 0  # stands for the Will Properties in CONNECT; no control packet has type 0

_BOOLEAN: Final = 1
_TWO: Final = 2
_FOUR: Final = 3
_VARIABLE: Final = 4
_STRING: Final = 5
_BINARY: Final = 6
_PAIR: Final = 7

_EVERYWHERE: Final = (
    *(WILL, c.CONNECT, c.CONNACK, c.PUBLISH, c.PUBACK, c.PUBREC, c.PUBREL, c.PUBCOMP),
    *(c.SUBSCRIBE, c.SUBACK, c.UNSUBSCRIBE, c.UNSUBACK, c.DISCONNECT, c.AUTH),
)
_ANSWERS: Final = (
    *(c.CONNACK, c.PUBACK, c.PUBREC, c.PUBREL, c.PUBCOMP, c.SUBACK, c.UNSUBACK),
    *(c.DISCONNECT, c.AUTH),
)


class _Definition:
    __slots__ = ("kind", "name", "nonzero", "packets")

    def __init__(
        self, name: str, kind: int, packets: tuple[int, ...], nonzero: bool = False
    ) -> None:
        self.name = name
        self.kind = kind
        self.nonzero = nonzero  # 0 is a Protocol Error
        self.packets = 0
        for packet_type in packets:
            self.packets |= 1 << packet_type


# MQTT 5.0 §2.2.2.2, table 2-4.
_DEFINITIONS: Final[dict[int, _Definition]] = {
    c.PAYLOAD_FORMAT_INDICATOR: _Definition(
        "Payload Format Indicator", _BOOLEAN, (c.PUBLISH, WILL)
    ),
    c.MESSAGE_EXPIRY_INTERVAL: _Definition("Message Expiry Interval", _FOUR, (c.PUBLISH, WILL)),
    c.CONTENT_TYPE: _Definition("Content Type", _STRING, (c.PUBLISH, WILL)),
    c.RESPONSE_TOPIC: _Definition("Response Topic", _STRING, (c.PUBLISH, WILL)),
    c.CORRELATION_DATA: _Definition("Correlation Data", _BINARY, (c.PUBLISH, WILL)),
    c.SUBSCRIPTION_IDENTIFIER: _Definition(
        "Subscription Identifier", _VARIABLE, (c.PUBLISH, c.SUBSCRIBE), True
    ),
    c.SESSION_EXPIRY_INTERVAL: _Definition(
        "Session Expiry Interval", _FOUR, (c.CONNECT, c.CONNACK, c.DISCONNECT)
    ),
    c.ASSIGNED_CLIENT_IDENTIFIER: _Definition("Assigned Client Identifier", _STRING, (c.CONNACK,)),
    c.SERVER_KEEP_ALIVE: _Definition("Server Keep Alive", _TWO, (c.CONNACK,)),
    c.AUTHENTICATION_METHOD: _Definition(
        "Authentication Method", _STRING, (c.CONNECT, c.CONNACK, c.AUTH)
    ),
    c.AUTHENTICATION_DATA: _Definition(
        "Authentication Data", _BINARY, (c.CONNECT, c.CONNACK, c.AUTH)
    ),
    c.REQUEST_PROBLEM_INFORMATION: _Definition(
        "Request Problem Information", _BOOLEAN, (c.CONNECT,)
    ),
    c.WILL_DELAY_INTERVAL: _Definition("Will Delay Interval", _FOUR, (WILL,)),
    c.REQUEST_RESPONSE_INFORMATION: _Definition(
        "Request Response Information", _BOOLEAN, (c.CONNECT,)
    ),
    c.RESPONSE_INFORMATION: _Definition("Response Information", _STRING, (c.CONNACK,)),
    c.SERVER_REFERENCE: _Definition("Server Reference", _STRING, (c.CONNACK, c.DISCONNECT)),
    c.REASON_STRING: _Definition("Reason String", _STRING, _ANSWERS),
    c.RECEIVE_MAXIMUM: _Definition("Receive Maximum", _TWO, (c.CONNECT, c.CONNACK), True),
    c.TOPIC_ALIAS_MAXIMUM: _Definition("Topic Alias Maximum", _TWO, (c.CONNECT, c.CONNACK)),
    c.TOPIC_ALIAS: _Definition("Topic Alias", _TWO, (c.PUBLISH,), True),
    c.MAXIMUM_QOS: _Definition("Maximum QoS", _BOOLEAN, (c.CONNACK,)),
    c.RETAIN_AVAILABLE: _Definition("Retain Available", _BOOLEAN, (c.CONNACK,)),
    c.USER_PROPERTY: _Definition("User Property", _PAIR, _EVERYWHERE),
    c.MAXIMUM_PACKET_SIZE: _Definition("Maximum Packet Size", _FOUR, (c.CONNECT, c.CONNACK), True),
    c.WILDCARD_SUBSCRIPTION_AVAILABLE: _Definition(
        "Wildcard Subscription Available", _BOOLEAN, (c.CONNACK,)
    ),
    c.SUBSCRIPTION_IDENTIFIER_AVAILABLE: _Definition(
        "Subscription Identifier Available", _BOOLEAN, (c.CONNACK,)
    ),
    c.SHARED_SUBSCRIPTION_AVAILABLE: _Definition(
        "Shared Subscription Available", _BOOLEAN, (c.CONNACK,)
    ),
}


def parse_properties(reader: Reader, packet_type: int) -> Properties | None:
    """Take the Property Length and the properties from a body; None if there are none.

    `packet_type` is WILL for Will Properties. Raises MalformedPacketError for one that is unknown,
    not allowed in this packet or of the wrong type, ProtocolError for one that stands twice or has
    a value that is not allowed.
    """
    length = reader.variable()
    if length == 0:
        return None
    end = reader.pos + length
    if end > reader.end:
        raise MalformedPacketError("Properties run past the end of their packet")
    packet_end = reader.end
    reader.end = end
    properties: Properties = {}
    users: list[tuple[str, str]] = []
    identifiers: list[int] = []
    while reader.pos < end:
        identifier = reader.variable()
        definition = _DEFINITIONS.get(identifier)
        if definition is None:
            raise MalformedPacketError(f"Property 0x{identifier:02X} does not exist")
        if not (definition.packets >> packet_type) & 1:
            raise MalformedPacketError(f"{definition.name} is not allowed in this packet")
        kind = definition.kind
        if kind == _PAIR:
            if not users:
                properties[identifier] = users
            name = reader.string()
            users.append((name, reader.string()))
            continue
        value = _parse_value(reader, kind)
        if kind == _BOOLEAN and value not in (0, 1):
            raise ProtocolError(f"{definition.name} is {value!r}; only 0 and 1 are allowed")
        if definition.nonzero and value == 0:
            raise ProtocolError(f"{definition.name} is 0")
        if kind == _VARIABLE and isinstance(value, int):
            if identifiers and packet_type != c.PUBLISH:
                raise ProtocolError(f"{definition.name} stands twice")
            if not identifiers:
                properties[identifier] = identifiers
            identifiers.append(value)
            continue
        if identifier in properties:
            raise ProtocolError(f"{definition.name} stands twice")
        properties[identifier] = value
    reader.end = packet_end
    _check(properties)
    return properties


def _parse_value(reader: Reader, kind: int) -> int | str | bytes:
    if kind == _BOOLEAN:
        return reader.byte()
    if kind == _TWO:
        return reader.two_byte()
    if kind == _FOUR:
        return reader.four_byte()
    if kind == _VARIABLE:
        return reader.variable()
    if kind == _STRING:
        return reader.string()
    return reader.binary()


def _check(properties: Properties) -> None:
    """Check what only several properties, or the text of one, can show."""
    response_topic = properties.get(c.RESPONSE_TOPIC)
    if isinstance(response_topic, str) and ("+" in response_topic or "#" in response_topic):
        raise ProtocolError("Response Topic contains a wildcard")  # [MQTT-3.3.2-14]
    if c.AUTHENTICATION_DATA in properties and c.AUTHENTICATION_METHOD not in properties:
        raise ProtocolError("Authentication Data stands without Authentication Method")


def encode_properties(properties: Properties | None, packet_type: int) -> bytes:
    """Return Property Length and properties; `packet_type` is WILL for Will Properties.

    Raises ProtocolError for a property that is not allowed there or a value that does not fit.
    """
    if not properties:
        return b"\x00"
    parts: list[bytes] = []
    for identifier, value in properties.items():
        definition = _DEFINITIONS.get(identifier)
        if definition is None or not (definition.packets >> packet_type) & 1:
            raise ProtocolError(f"Property 0x{identifier:02X} is not allowed in this packet")
        prefix = bytes((identifier,))
        if isinstance(value, list):
            for item in value:
                parts.append(prefix + _encode_value(definition, item))
        else:
            parts.append(prefix + _encode_value(definition, value))
    body = b"".join(parts)
    return encode_variable(len(body)) + body


def _encode_value(definition: _Definition, value: PropertyValue | tuple[str, str]) -> bytes:
    kind = definition.kind
    if isinstance(value, int):
        if kind == _VARIABLE and 0 < value <= c.LARGEST_REMAINING_LENGTH:
            return encode_variable(value)
        if kind <= _FOUR:
            size = 4 if kind == _FOUR else kind  # _BOOLEAN and _TWO are their sizes
            largest = 1 if kind == _BOOLEAN else (1 << (8 * size)) - 1
            if (1 if definition.nonzero else 0) <= value <= largest:
                return value.to_bytes(size, "big")
    elif kind == _STRING and isinstance(value, str):
        return encode_string(value)
    elif kind == _BINARY and isinstance(value, bytes):
        return encode_binary(value)
    elif kind == _PAIR and isinstance(value, tuple):
        return encode_string(value[0]) + encode_string(value[1])
    raise ProtocolError(f"{definition.name} cannot have the value given")


def encode_variable(value: int) -> bytes:
    """Return a Variable Byte Integer (MQTT 5.0 §1.5.5). Raises ProtocolError past four bytes."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value > c.LARGEST_REMAINING_LENGTH:
        raise ProtocolError(f"{value} is more than four bytes of seven bits can hold")
    if value < 0x200000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    return bytes(
        (value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F | 0x80, value >> 21)
    )


def encode_string(text: str) -> bytes:
    """Return a UTF-8 Encoded String. Raises ProtocolError if MQTT cannot carry the text."""
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError("A string holds a surrogate, which UTF-8 cannot carry") from error
    if "\0" in text:
        raise ProtocolError("A string holds U+0000, which MQTT does not allow")  # [MQTT-1.5.4-2]
    return encode_binary(data)


def encode_binary(data: bytes) -> bytes:
    """Return Binary Data with its length. Raises ProtocolError past 65,535 bytes."""
    size = len(data)
    if size > c.LONGEST_STRING:
        raise ProtocolError(f"A field has {size} bytes; MQTT allows {c.LONGEST_STRING}")
    return size.to_bytes(2, "big") + data
