"""MQTT 5.0 §2.2.2.2: which property may stand in which packet, how often, with which values.

The table is written down here a second time, from the standard, and not taken from `protocol`.
"""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Auth, Connack, Connect, Disconnect, Packet
from tests.octets import field, number, packet
from tests.spec.door import METHOD
from tests.spec.wire import House, Wire

# name: (its bytes, the packets of a client that may have it)
PROPERTIES = {
    "Payload Format Indicator": ("01 01", "PUBLISH Will"),
    "Message Expiry Interval": ("02 00000010", "PUBLISH Will"),
    "Content Type": ("03 0001 74", "PUBLISH Will"),
    "Response Topic": ("08 0001 72", "PUBLISH Will"),
    "Correlation Data": ("09 0001 00", "PUBLISH Will"),
    "Subscription Identifier": ("0b 01", "SUBSCRIBE"),
    "Session Expiry Interval": ("11 00000010", "CONNECT DISCONNECT"),
    "Assigned Client Identifier": ("12 0001 63", ""),
    "Server Keep Alive": ("13 0010", ""),
    "Authentication Method": ("15 0004 4543484f", "CONNECT AUTH"),
    "Authentication Data": ("16 0001 78", "CONNECT AUTH"),
    "Request Problem Information": ("17 01", "CONNECT"),
    "Will Delay Interval": ("18 00000010", "Will"),
    "Request Response Information": ("19 01", "CONNECT"),
    "Response Information": ("1a 0001 72", ""),
    "Reason String": ("1f 0001 72", "PUBACK PUBREC PUBREL PUBCOMP DISCONNECT AUTH"),
    "Receive Maximum": ("21 0010", "CONNECT"),
    "Topic Alias Maximum": ("22 0010", "CONNECT"),
    "Topic Alias": ("23 0001", "PUBLISH"),
    "Maximum QoS": ("24 01", ""),
    "Retain Available": ("25 01", ""),
    "User Property": (
        "26 0001 6e 0001 76",
        "CONNECT Will PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE UNSUBSCRIBE DISCONNECT AUTH",
    ),
    "Maximum Packet Size": ("27 00001000", "CONNECT"),
    "Wildcard Subscription Available": ("28 01", ""),
    "Subscription Identifier Available": ("29 01", ""),
    "Shared Subscription Available": ("2a 01", ""),
    "one that does not exist": ("2b 01", ""),
    "identifier 0": ("00 01", ""),
    "an identifier of two bytes": ("81 01 01", ""),
}
PACKETS = PROPERTIES["User Property"][1].split()
# Those that may stand there several times.
REPEATABLE = {"User Property"}


def build(kind: str, properties: bytes) -> bytes:
    """Return a packet with these properties and nothing else that could be wrong."""
    if kind == "AUTH" and b"\x15" not in properties[:1]:
        properties = bytes.fromhex(PROPERTIES["Authentication Method"][0]) + properties
    if kind == "CONNECT" and properties[:1] == b"\x16":
        properties = bytes.fromhex(PROPERTIES["Authentication Method"][0]) + properties
    block = bytes([len(properties)]) + properties
    match kind:
        case "CONNECT":
            return packet(0x10, field("MQTT"), b"\x05\x02\0\0", block, field("c"))
        case "Will":
            will = block + field("a") + field("x")
            return packet(0x10, field("MQTT"), b"\x05\x06\0\0\0", field("c"), will)
        case "PUBLISH":
            return packet(0x30, field("a"), block, b"x")
        case "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP":
            first = {"PUBACK": 0x40, "PUBREC": 0x50, "PUBREL": 0x62, "PUBCOMP": 0x70}[kind]
            return packet(first, number(7), b"\0", block)
        case "SUBSCRIBE":
            return packet(0x82, number(7), block, field("a"), b"\0")
        case "UNSUBSCRIBE":
            return packet(0xA2, number(7), block, field("a"))
        case "DISCONNECT":
            return packet(0xE0, b"\0", block)
        case _:
            return packet(0xF0, b"\x19", block)


async def said_to(house: House, kind: str, data: bytes) -> list[Packet]:
    """Send a packet to the server where its place is; return the answers and what ends it."""
    wire = await house.wire()
    if kind == "AUTH":
        wire.send(Connect(c.V5, "c", properties={c.AUTHENTICATION_METHOD: METHOD}))
        challenge = await wire.expect(Auth)
        challenge.properties = {
            c.AUTHENTICATION_METHOD: METHOD,
            c.AUTHENTICATION_DATA: b"CHALLENGE",
        }
        wire.send(challenge)
        await wire.expect(Connack)
    elif kind not in ("CONNECT", "Will"):
        await wire.connect("c", properties={c.SESSION_EXPIRY_INTERVAL: 60})
    wire.send_bytes(data)
    return await collect(wire)


async def collect(wire: Wire) -> list[Packet]:
    packets = await wire.rest()
    wire.transport.lose(None)
    return packets


def errors(packets: list[Packet]) -> list[int]:
    """Return the reason codes of a CONNACK that refuses, or of a DISCONNECT."""
    return [
        answer.reason_code
        for answer in packets
        if isinstance(answer, Connack | Disconnect) and answer.reason_code >= 0x80
    ]


@pytest.mark.parametrize("kind", PACKETS)
@pytest.mark.parametrize("name", PROPERTIES)
async def test_a_property_may_stand_where_the_table_says(
    house: House, name: str, kind: str
) -> None:
    text, allowed = PROPERTIES[name]
    packets = await said_to(house, kind, build(kind, bytes.fromhex(text)))
    if kind in allowed.split():
        assert errors(packets) == []
        if kind in ("CONNECT", "Will"):
            assert isinstance(packets[0], Connack | Auth)
    elif kind in ("CONNECT", "Will"):
        # Before CONNACK there is no DISCONNECT; a CONNACK may say what was wrong.
        assert not [answer for answer in packets if isinstance(answer, Auth)]
        assert not [each for each in packets if isinstance(each, Connack) and not each.reason_code]
        assert not house.broker.sessions
    else:
        assert errors(packets) in ([c.MALFORMED_PACKET], [c.PROTOCOL_ERROR])


TWICE = [
    (name, kind)
    for name, (_, allowed) in PROPERTIES.items()
    for kind in allowed.split()
    if name not in REPEATABLE
]


@pytest.mark.parametrize(("name", "kind"), TWICE)
async def test_a_property_that_stands_twice_is_a_protocol_error(
    house: House, name: str, kind: str
) -> None:
    packets = await said_to(house, kind, build(kind, 2 * bytes.fromhex(PROPERTIES[name][0])))
    if kind in ("CONNECT", "Will"):
        assert not [each for each in packets if isinstance(each, Connack) and not each.reason_code]
        assert not house.broker.sessions
    else:
        assert errors(packets) == [c.PROTOCOL_ERROR]


@pytest.mark.parametrize("kind", PACKETS)
async def test_user_properties_may_stand_often(house: House, kind: str) -> None:
    packets = await said_to(
        house, kind, build(kind, 5 * bytes.fromhex(PROPERTIES["User Property"][0]))
    )
    assert errors(packets) == []


BAD_VALUES = [
    ("Payload Format Indicator 2", "01 02", "PUBLISH"),
    ("Payload Format Indicator 2", "01 02", "Will"),
    ("Request Problem Information 2", "17 02", "CONNECT"),
    ("Request Response Information 2", "19 02", "CONNECT"),
    ("Receive Maximum 0", "21 0000", "CONNECT"),
    ("Maximum Packet Size 0", "27 00000000", "CONNECT"),
    ("Topic Alias 0", "23 0000", "PUBLISH"),
    ("Subscription Identifier 0", "0b 00", "SUBSCRIBE"),
    ("Response Topic with a wildcard", "08 0001 23", "PUBLISH"),
    ("Response Topic with a wildcard", "08 0001 2b", "Will"),
    ("a cut integer", "02 0000", "PUBLISH"),
    ("a cut string", "03 0005 61", "PUBLISH"),
    ("a cut pair", "26 0001 6e", "PUBLISH"),
    ("a name without a value", "26 0001 6e 0005", "UNSUBSCRIBE"),
]


@pytest.mark.spec("MQTT-4.13.1-1")
@pytest.mark.parametrize(("name", "text", "kind"), BAD_VALUES)
async def test_a_value_that_is_not_allowed_ends_the_connection(
    house: House, name: str, text: str, kind: str
) -> None:
    packets = await said_to(house, kind, build(kind, bytes.fromhex(text)))
    if kind in ("CONNECT", "Will"):
        assert not [each for each in packets if isinstance(each, Connack) and not each.reason_code]
        assert not house.broker.sessions
    else:
        (code,) = errors(packets)
        assert code in (c.MALFORMED_PACKET, c.PROTOCOL_ERROR, c.TOPIC_ALIAS_INVALID)


@pytest.mark.parametrize("kind", PACKETS)
async def test_a_property_length_past_the_packet_is_malformed(house: House, kind: str) -> None:
    good = build(kind, bytes.fromhex(PROPERTIES["User Property"][0]))
    before = bytes.fromhex(PROPERTIES["Authentication Method"][0]) if kind == "AUTH" else b""
    at = good.index(before + bytes.fromhex(PROPERTIES["User Property"][0])) - 1
    packets = await said_to(house, kind, good[:at] + b"\x7f" + good[at + 1 :])
    if kind in ("CONNECT", "Will"):
        assert not house.broker.sessions
    else:
        assert errors(packets) == [c.MALFORMED_PACKET]
