"""What the encoder leaves out, and what it refuses."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import (
    encode,
    encode_connack,
    encode_connect,
    encode_disconnect,
    encode_puback,
    encode_pubcomp,
    encode_publish,
    encode_pubrec,
    encode_pubrel,
    encode_subscribe,
    encode_unsubscribe,
    publish_parts,
)
from fleetwire.protocol.errors import PacketTooLargeError, ProtocolError
from fleetwire.protocol.packets import (
    Ack,
    Connect,
    Packet,
    Properties,
    Publish,
    Subscribe,
    Subscription,
)
from fleetwire.protocol.properties import encode_variable


@pytest.mark.parametrize("version", [c.V31, c.V311, c.V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("size", [0, 110, 130, 20_000])
def test_the_parts_around_a_packet_id_make_the_packet(version: int, qos: int, size: int) -> None:
    payload = b"x" * size
    properties: Properties = {c.CONTENT_TYPE: "t"}
    head, tail = publish_parts("ä/b", payload, qos, True, False, properties, version)
    middle = b"\x12\x34" if qos else b""
    whole = encode_publish("ä/b", payload, qos, True, False, 0x1234, properties, version)
    assert head + middle + tail == whole


def test_what_older_versions_have_no_place_for_is_left_out() -> None:
    publish = Publish("a", b"x", 0, properties={c.MESSAGE_EXPIRY_INTERVAL: 5})
    assert encode(publish, c.V311) == bytes.fromhex("30 04 0001 61 78")
    assert encode(Ack(c.PUBACK, 1, 0x87, {c.REASON_STRING: "no"}), 4) == b"\x40\x02\x00\x01"
    assert encode_disconnect(0x8E, {c.REASON_STRING: "x"}, c.V311) == b"\xe0\x00"
    assert encode_connack(True, 0, {c.RECEIVE_MAXIMUM: 1}, c.V311) == b"\x20\x02\x01\x00"
    assert encode_connack(True, 0, None, c.V31) == b"\x20\x02\x00\x00"
    options = Subscription("a", 1, True, True, 2)
    assert encode(Subscribe(1, [options]), c.V311) == bytes.fromhex("82 06 0001 0001 61 01")


def test_a_refusing_connack_has_no_session() -> None:
    assert encode_connack(True, 5, None, c.V311) == b"\x20\x02\x00\x05"


@pytest.mark.parametrize(
    ("encode_one", "first"),
    [
        (encode_puback, "40"),
        (encode_pubrec, "50"),
        (encode_pubrel, "62"),
        (encode_pubcomp, "70"),
    ],
)
def test_acknowledgements_have_a_short_and_a_long_form(encode_one, first: str) -> None:  # type: ignore[no-untyped-def]
    assert encode_one(0xABCD) == bytes.fromhex(f"{first} 02 abcd")
    assert encode_one(0xABCD, 0, c.V5) == bytes.fromhex(f"{first} 02 abcd")
    assert encode_one(0xABCD, 0x92, c.V5) == bytes.fromhex(f"{first} 03 abcd 92")
    assert encode_one(0xABCD, 0x92, c.V311) == bytes.fromhex(f"{first} 02 abcd")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_variable_byte_integers(number: int, text: str) -> None:
    assert encode_variable(number) == bytes.fromhex(text)


@pytest.mark.parametrize(
    "packet",
    [
        Publish("x" * 65_536, b""),
        Publish("\ud800", b""),
        Publish("a", b"", 1),
        Publish("a", b"", 1, packet_id=65_536),
        Publish("a", b"", 3, packet_id=1),
        Publish("a", b"", 0, dup=True),
        Publish("a", b"", properties={c.RECEIVE_MAXIMUM: 1}),
        Publish("a", b"", properties={0x7F: 1}),
        Publish("a", b"", properties={c.TOPIC_ALIAS: 0}),
        Publish("a", b"", properties={c.TOPIC_ALIAS: 65_536}),
        Publish("a", b"", properties={c.PAYLOAD_FORMAT_INDICATOR: 2}),
        Publish("a", b"", properties={c.CONTENT_TYPE: 5}),
        Publish("a", b"", properties={c.CONTENT_TYPE: "\0"}),
        Publish("a", b"", properties={c.CORRELATION_DATA: b"x" * 65_536}),
        Publish("a", b"", properties={c.SUBSCRIPTION_IDENTIFIER: [268_435_456]}),
        Publish("a", b"", properties={c.USER_PROPERTY: [("\ud800", "")]}),
        Ack(c.PUBACK, 0),
        Connect(c.V311, "\0"),
        Connect(c.V311, "a", password=b"x"),
        Connect(c.V311, "a", keep_alive=65_536),
        Connect(c.V311, "a", username="x" * 65_536),
        Packet(),
    ],
    ids=lambda packet: packet.__class__.__name__,
)
def test_what_mqtt_cannot_carry_is_refused(packet: Packet) -> None:
    with pytest.raises(ProtocolError):
        encode(packet, c.V5)


def test_an_empty_subscribe_is_refused() -> None:
    with pytest.raises(ProtocolError):
        encode_subscribe(1, [], None, c.V311)
    with pytest.raises(ProtocolError):
        encode_unsubscribe(1, [], None, c.V311)


def test_more_than_remaining_length_can_say_is_refused() -> None:
    with pytest.raises(ProtocolError):
        encode_variable(268_435_456)
    huge = bytes(268_435_456)
    with pytest.raises(PacketTooLargeError):
        encode_publish("a", huge, 0, False, False, 0, None, c.V311)


def test_connect_is_of_the_version_it_names() -> None:
    assert encode(Connect(c.V311, "a"), c.V5) == encode_connect(Connect(c.V311, "a"))
