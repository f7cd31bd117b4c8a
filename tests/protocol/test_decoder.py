"""What the decoder does with chunks, sizes and bytes that are no MQTT."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import REMEMBERED_TOPICS, Decoder
from fleetwire.protocol.encoder import encode, encode_puback, encode_publish
from fleetwire.protocol.errors import (
    InvalidTopicError,
    MalformedPacketError,
    PacketTooLargeError,
    ProtocolError,
    UnsupportedProtocolVersionError,
)
from fleetwire.protocol.packets import Ack, Connect, Disconnect, Pingreq, Publish

# (what is wrong, version the connection speaks or 0 before CONNECT, bytes, error)
BAD = [
    ("first packet is PINGREQ", 0, "c0 00", ProtocolError),
    ("first packet is PUBLISH", 0, "30 03 0001 61", ProtocolError),
    ("an HTTP request", 0, "47 45 54 20 2f", ProtocolError),
    ("a TLS hello", 0, "16 03 01 00 f8", MalformedPacketError),
    ("CONNECT with flags", 0, "11 0d 0004 4d515454 04 02 0000 0001 61", MalformedPacketError),
    ("protocol name", 0, "10 0d 0004 4d515455 04 02 0000 0001 61", MalformedPacketError),
    ("level 6", 0, "10 0d 0004 4d515454 06 02 0000 0001 61", UnsupportedProtocolVersionError),
    ("level 3", 0, "10 0d 0004 4d515454 03 02 0000 0001 61", UnsupportedProtocolVersionError),
    (
        "MQIsdp level 4",
        0,
        "10 0f 0006 4d5149736470 04 02 003c 0001 61",
        UnsupportedProtocolVersionError,
    ),
    ("reserved CONNECT flag", 0, "10 0d 0004 4d515454 04 03 0000 0001 61", MalformedPacketError),
    (
        "Will QoS 3",
        0,
        "10 12 0004 4d515454 04 1e 0000 0001 61 0001 77 0000",
        MalformedPacketError,
    ),
    ("Will QoS, no Will", 0, "10 0d 0004 4d515454 04 0a 0000 0001 61", MalformedPacketError),
    ("Will Retain, no Will", 0, "10 0d 0004 4d515454 04 22 0000 0001 61", MalformedPacketError),
    (
        "Will Topic with wildcard",
        0,
        "10 12 0004 4d515454 04 06 0000 0001 61 0001 23 0000",
        InvalidTopicError,
    ),
    (
        "password without user name",
        0,
        "10 10 0004 4d515454 04 42 0000 0001 61 0001 70",
        MalformedPacketError,
    ),
    (
        "password without user name in 3.1",
        0,
        "10 12 0006 4d5149736470 03 42 0000 0001 61 0001 70",
        MalformedPacketError,
    ),
    ("bytes after CONNECT", 0, "10 0e 0004 4d515454 04 02 0000 0001 61 00", MalformedPacketError),
    ("client id with U+0000", 0, "10 0d 0004 4d515454 04 02 0000 0001 00", MalformedPacketError),
    (
        "Receive Maximum 0",
        0,
        "10 10 0004 4d515454 05 02 0000 03 21 0000 0000",
        ProtocolError,
    ),
    (
        "Maximum Packet Size 0",
        0,
        "10 12 0004 4d515454 05 02 0000 05 27 00000000 0000",
        ProtocolError,
    ),
    (
        "Request Problem Information 2",
        0,
        "10 0f 0004 4d515454 05 02 0000 02 17 02 0000",
        ProtocolError,
    ),
    (
        "Authentication Data without method",
        0,
        "10 11 0004 4d515454 05 02 0000 04 16 0001 64 0000",
        ProtocolError,
    ),
    ("QoS 3", 4, "36 05 0001 61 0001", MalformedPacketError),
    ("DUP with QoS 0", 4, "38 03 0001 61", MalformedPacketError),
    ("PUBLISH without topic", 4, "30 00", MalformedPacketError),
    ("PUBLISH with half a topic length", 4, "30 01 00", MalformedPacketError),
    ("empty Topic Name", 4, "30 02 0000", MalformedPacketError),
    ("empty Topic Name, no alias", 5, "30 03 0000 00", ProtocolError),
    ("Topic Name past the end", 4, "30 03 0002 61", MalformedPacketError),
    ("Topic Name with +", 4, "30 03 0001 2b", InvalidTopicError),
    ("Topic Name with #", 4, "30 05 0003 612f23", InvalidTopicError),
    ("Topic Name with U+0000", 4, "30 03 0001 00", MalformedPacketError),
    ("Topic Name with a surrogate", 4, "30 05 0003 eda080", MalformedPacketError),
    ("Topic Name with broken UTF-8", 4, "30 04 0002 c328", MalformedPacketError),
    ("Topic Name with overlong UTF-8", 4, "30 04 0002 c0af", MalformedPacketError),
    ("packet id 0 in PUBLISH", 4, "32 05 0001 61 0000", MalformedPacketError),
    ("PUBLISH without packet id", 4, "32 03 0001 61", MalformedPacketError),
    ("PUBLISH with half a packet id", 4, "32 04 0001 61 00", MalformedPacketError),
    ("PUBLISH without Property Length", 5, "30 03 0001 61", MalformedPacketError),
    ("properties past the end", 5, "30 05 0001 61 05 01", MalformedPacketError),
    ("property twice", 5, "30 08 0001 61 04 01 00 01 00", ProtocolError),
    ("unknown property", 5, "30 06 0001 61 02 7f 00", MalformedPacketError),
    ("property of another packet", 5, "30 07 0001 61 03 21 0001", MalformedPacketError),
    ("Payload Format Indicator 2", 5, "30 06 0001 61 02 01 02", ProtocolError),
    ("Topic Alias 0", 5, "30 07 0001 61 03 23 0000", ProtocolError),
    ("Response Topic with wildcard", 5, "30 08 0001 61 04 08 0001 23", ProtocolError),
    ("Subscription Identifier from a client", 5, "30 06 0001 61 02 0b 01", ProtocolError),
    ("property value cut by Property Length", 5, "30 06 0001 61 01 01 00", MalformedPacketError),
    ("packet id 0 in PUBACK", 4, "40 02 0000", MalformedPacketError),
    ("PUBACK of one byte", 4, "40 01 01", MalformedPacketError),
    ("PUBACK with reason in 3.1.1", 4, "40 03 0001 00", MalformedPacketError),
    ("PUBACK with flags", 4, "41 02 0001", MalformedPacketError),
    ("PUBREL without its flag", 4, "60 02 0001", MalformedPacketError),
    ("PUBREL with other flags", 4, "6a 02 0001", MalformedPacketError),
    ("SUBSCRIBE without its flag", 4, "80 06 0001 0001 61 00", MalformedPacketError),
    ("SUBSCRIBE without filter", 4, "82 02 0001", ProtocolError),
    ("SUBSCRIBE without packet id", 4, "82 00", MalformedPacketError),
    ("SUBSCRIBE with packet id 0", 4, "82 06 0000 0001 61 00", MalformedPacketError),
    ("SUBSCRIBE without options", 4, "82 05 0001 0001 61", MalformedPacketError),
    ("SUBSCRIBE with QoS 3", 4, "82 06 0001 0001 61 03", MalformedPacketError),
    ("SUBSCRIBE with reserved bits", 4, "82 06 0001 0001 61 04", MalformedPacketError),
    ("SUBSCRIBE with reserved bits in 5", 5, "82 07 0001 00 0001 61 40", MalformedPacketError),
    ("Retain Handling 3", 5, "82 07 0001 00 0001 61 30", ProtocolError),
    ("Subscription Identifier 0", 5, "82 09 0001 02 0b 00 0001 61 00", ProtocolError),
    ("Subscription Identifier twice", 5, "82 0b 0001 04 0b01 0b02 0001 61 00", ProtocolError),
    (
        "No Local on a shared subscription",
        5,
        "82 10 0001 00 000a 2473686172652f672f61 04",
        ProtocolError,
    ),
    ("UNSUBSCRIBE without filter", 4, "a2 02 0001", ProtocolError),
    ("UNSUBSCRIBE without its flag", 4, "a0 05 0001 0001 61", MalformedPacketError),
    ("PINGREQ with a body", 4, "c0 01 00", MalformedPacketError),
    ("DISCONNECT with a body in 3.1.1", 4, "e0 01 00", MalformedPacketError),
    ("DISCONNECT with flags", 4, "e1 00", MalformedPacketError),
    ("bytes after DISCONNECT", 5, "e0 03 00 00 00", MalformedPacketError),
    ("AUTH in 3.1.1", 4, "f0 00", MalformedPacketError),
    ("packet type 0", 4, "00 00", ProtocolError),
    ("CONNACK from a client", 4, "20 02 00 00", ProtocolError),
    ("SUBACK from a client", 4, "90 03 0001 00", ProtocolError),
    ("PINGRESP from a client", 4, "d0 00", ProtocolError),
    ("Remaining Length of five bytes", 4, "30 80 80 80 80 01", MalformedPacketError),
    ("Remaining Length longer than needed", 4, "c0 80 00", MalformedPacketError),
    ("too large, first byte of its body", 4, "30 ff 7f 00", PacketTooLargeError),
    ("too large, nothing of its body", 4, "30 ff ff ff 7f", PacketTooLargeError),
]


@pytest.mark.parametrize(
    ("version", "text", "expected"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD]
)
def test_bad_bytes_are_refused(version: int, text: str, expected: type[ProtocolError]) -> None:
    data = bytes.fromhex(text)
    decoder = Decoder(1_000, version=version)
    assert decoder.feed(data) == []
    assert decoder.error.__class__ is expected
    assert decoder.buffered_bytes == 0
    # Byte by byte it is the same, and what follows an error is not looked at.
    slow = Decoder(1_000, version=version)
    for index in range(len(data)):
        assert slow.feed(data[index : index + 1]) == []
    assert slow.error.__class__ is expected
    assert slow.feed(b"\xc0\x00") == []


def test_packets_before_a_bad_one_are_returned() -> None:
    decoder = Decoder(1_000, version=4)
    good = encode_publish("a", b"x", 1, False, False, 7, None, 4)
    assert decoder.feed(good + b"\xc0\x00" + b"\x36\x00" + good) == [
        Publish("a", b"x", 1, False, False, 7),
        Pingreq(),
    ]
    assert isinstance(decoder.error, MalformedPacketError)


def test_version_of_connect_counts_for_the_rest_of_the_chunk() -> None:
    decoder = Decoder(1_000)
    connect = Connect(c.V5, "a")
    publish = Publish("t", b"x", 1, False, False, 1, {c.MESSAGE_EXPIRY_INTERVAL: 9})
    assert decoder.feed(encode(connect, 5) + encode(publish, 5) + b"\xe0\x00") == [
        connect,
        publish,
        Disconnect(),
    ]
    assert decoder.version == c.V5


def test_31_allows_dup_on_what_is_sent_again() -> None:
    data = bytes.fromhex("6a 02 0001")
    assert Decoder(1_000, version=c.V31).feed(data) == [Ack(c.PUBREL, 1)]


def test_31_passes_over_dup_with_qos_0() -> None:
    data = bytes.fromhex("38 04 0001 61 78")
    assert Decoder(1_000, version=c.V31).feed(data) == [Publish("a", b"x", 0, dup=False)]


def test_a_packet_of_just_the_maximum_passes_and_one_more_byte_does_not() -> None:
    for payload_size, is_good in ((95, True), (96, False)):
        decoder = Decoder(100, version=4)
        data = encode_publish("a", b"x" * payload_size, 0, False, False, 0, None, 4)
        packets = decoder.feed(data)
        assert len(packets) == is_good
        assert isinstance(decoder.error, PacketTooLargeError) != is_good


def test_connect_has_a_bound_of_its_own() -> None:
    decoder = Decoder(10_000, connect_packet_size=50)
    connect = encode(Connect(c.V311, "a" * 100), 4)
    assert decoder.feed(connect[:20]) == []
    assert isinstance(decoder.error, PacketTooLargeError)
    decoder = Decoder(10_000, connect_packet_size=50)
    big = encode_publish("a", b"x" * 1_000, 0, False, False, 0, None, 4)
    assert len(decoder.feed(encode(Connect(c.V311, "a"), 4) + big)) == 2


def test_the_owner_may_change_the_maximum_between_chunks() -> None:
    decoder = Decoder(10, version=4)
    decoder.maximum_packet_size = 1_000
    assert len(decoder.feed(encode_publish("a", b"x" * 100, 0, False, False, 0, None, 4))) == 1


@pytest.mark.parametrize("size", [0, 100, 122, 123, 124, 200, 16_377, 16_378, 16_379, 70_000])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", [3, 4, 5])
def test_payloads_around_the_steps_of_remaining_length(size: int, qos: int, version: int) -> None:
    payload = b"x" * size
    packet_id = 9 if qos else 0
    data = encode_publish("a/b", payload, qos, True, False, packet_id, None, version)
    decoder = Decoder(1_000_000, version=version)
    expected = Publish("a/b", payload, qos, True, False, packet_id)
    assert decoder.feed(data * 3) == [expected] * 3
    assert isinstance(decoder.feed(data)[0].payload, bytes)  # type: ignore[attr-defined]


def test_a_large_packet_in_small_chunks_is_joined_once() -> None:
    payload = bytes(range(256)) * 4_000
    data = encode_publish("a", payload, 0, False, False, 0, None, 4)
    decoder = Decoder(2_000_000, version=4)
    packets = []
    # A million chunks; joining at each would copy a terabyte and run into the time limit.
    for begin in range(len(data)):
        packets += decoder.feed(data[begin : begin + 1])
    assert packets == [Publish("a", payload)]
    assert decoder.buffered_bytes == 0


def test_a_topic_is_told_from_one_that_begins_like_it() -> None:
    names = ["a", "ab", "abc", "ab", "a", "b", "a/b", "ä", "a"]
    data = b"".join(encode_publish(n, b"abc", 0, False, False, 0, None, 4) for n in names)
    packets = Decoder(1_000, version=4).feed(data)
    assert [p.topic_name for p in packets] == names  # type: ignore[attr-defined]


def test_a_remembered_topic_may_not_run_past_the_end_of_its_packet() -> None:
    # The second PUBLISH claims three bytes of topic but has room for one; the bytes after it
    # would complete the very topic that is remembered.
    decoder = Decoder(1_000, version=4)
    assert len(decoder.feed(bytes.fromhex("30 05 0003 616263 30 03 0003 616263"))) == 1
    assert isinstance(decoder.error, MalformedPacketError)


def test_more_topics_than_are_remembered_still_decode() -> None:
    names = [f"t/{index % (REMEMBERED_TOPICS * 3)}" for index in range(REMEMBERED_TOPICS * 6)]
    data = b"".join(encode_publish(n, b"", 0, False, False, 0, None, 4) for n in names)
    packets = Decoder(1_000, version=4).feed(data)
    assert [p.topic_name for p in packets] == names  # type: ignore[attr-defined]


def test_flags_of_one_publish_do_not_stick_to_the_next() -> None:
    publishes = [
        Publish("a", b"", 1, True, True, 1),
        Publish("a", b""),
        Publish("a", b"", 2, False, False, 3),
        Publish("a", b"", 0, True),
    ]
    data = b"".join(encode(p, 4) + encode_puback(7) for p in publishes)
    packets = Decoder(1_000, version=4).feed(data)
    assert packets[::2] == publishes
    assert packets[1::2] == [Ack(c.PUBACK, 7)] * 4
