"""MQTT 5.0 §1.5 and §2: strings, integers, flags, packet identifiers."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish, Suback, Subscribe, Subscription, Unsuback
from tests.octets import field, number, packet
from tests.spec.wire import House, Wire

SURROGATE = b"a\xed\xa0\x80"
ILL_FORMED = [SURROGATE, b"a\x80", b"\xe2\x82", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xed\xbf\xbf"]


def places(text: bytes) -> dict[str, bytes]:
    """Return a packet for each place where a client sends a string."""
    return {
        "Topic Name": packet(0x30, field(text), b"\0", b"x"),
        "Topic Filter": packet(0x82, number(1), b"\0", field(text), b"\0"),
        "Topic Filter of UNSUBSCRIBE": packet(0xA2, number(1), b"\0", field(text)),
        "Content Type": publish_with(b"\x03" + field(text)),
        "Response Topic": publish_with(b"\x08" + field(text)),
        "User Property name": publish_with(b"\x26" + field(text) + field(b"v")),
        "User Property value": publish_with(b"\x26" + field(b"n") + field(text)),
        "Reason String": packet(0xE0, b"\0", bytes([3 + len(text)]), b"\x1f" + field(text)),
    }


def publish_with(properties: bytes) -> bytes:
    return packet(0x30, field(b"a"), bytes([len(properties)]), properties, b"x")


@pytest.mark.spec("MQTT-1.5.4-1", "MQTT-3.3.2-1", "MQTT-3.8.3-1", "MQTT-3.10.3-1")
@pytest.mark.parametrize("text", ILL_FORMED)
@pytest.mark.parametrize("place", places(b""))
async def test_ill_formed_utf8_is_a_malformed_packet(house: House, place: str, text: bytes) -> None:
    wire = await house.client()
    wire.send_bytes(places(text)[place])
    assert await wire.closed_with() == c.MALFORMED_PACKET


@pytest.mark.spec("MQTT-1.5.4-2", "MQTT-4.7.3-2")
@pytest.mark.parametrize("place", places(b""))
async def test_a_string_with_a_null_character_ends_the_connection(house: House, place: str) -> None:
    wire = await house.client()
    wire.send_bytes(places(b"a\0b")[place])
    assert await wire.closed_with() in (c.MALFORMED_PACKET, c.TOPIC_NAME_INVALID)


@pytest.mark.spec("MQTT-1.5.4-3")
async def test_a_byte_order_mark_is_a_character_like_others(house: House) -> None:
    wire = await house.client()
    marked = "\ufeffa/\ufeffb"
    await wire.subscribe("a/b")
    await wire.subscribe(marked)
    await wire.publish(marked, b"x")
    assert [message.topic_name for message in await wire.messages()] == [marked]


@pytest.mark.spec("MQTT-1.5.5-1")
@pytest.mark.parametrize(
    "bad",
    [
        "c0 80 00",  # Remaining Length 0 in two bytes
        "30 84 00 00 01 61 00",
        "30 85 80 00 00 01 61 00 78",
        "30 05 00 01 61 80 00",  # Property Length 0 in two bytes
    ],
)
async def test_an_integer_in_more_bytes_than_it_needs_is_malformed(house: House, bad: str) -> None:
    wire = await house.client()
    wire.send_bytes(bad)
    assert await wire.closed_with() == c.MALFORMED_PACKET


async def test_an_integer_that_does_not_end_is_malformed(house: House) -> None:
    wire = await house.client()
    wire.send_bytes("30 ff ff ff ff 01")
    assert await wire.closed_with() == c.MALFORMED_PACKET


@pytest.mark.spec("MQTT-1.5.7-1")
@pytest.mark.parametrize("text", [SURROGATE, b"a\0b"])
@pytest.mark.parametrize("place", ["User Property name", "User Property value"])
async def test_both_strings_of_a_pair_are_checked(house: House, place: str, text: bytes) -> None:
    wire = await house.client()
    wire.send_bytes(places(text)[place])
    assert await wire.closed_with() == c.MALFORMED_PACKET


GOOD = {
    "PUBACK": "40 02 00 01",
    "PUBREC": "50 02 00 01",
    "PUBREL": "62 02 00 01",
    "PUBCOMP": "70 02 00 01",
    "SUBSCRIBE": "82 07 00 01 00 00 01 61 00",
    "UNSUBSCRIBE": "a2 06 00 01 00 00 01 61",
    "PINGREQ": "c0 00",
    "DISCONNECT": "e0 00",
    "AUTH": "f0 00",
}


@pytest.mark.spec(
    "MQTT-2.1.3-1",
    "MQTT-3.6.1-1",
    "MQTT-3.8.1-1",
    "MQTT-3.10.1-1",
    "MQTT-3.14.1-1",
    "MQTT-3.15.1-1",
)
@pytest.mark.parametrize("kind", GOOD)
async def test_each_other_value_of_reserved_flags_is_malformed(house: House, kind: str) -> None:
    good = bytes.fromhex(GOOD[kind])
    for flags in range(16):
        if flags != good[0] & 15:
            wire = await house.client()
            wire.send_bytes(bytes([good[0] & 0xF0 | flags]) + good[1:])
            assert await wire.closed_with() == c.MALFORMED_PACKET, f"flags {flags:04b}"


@pytest.mark.parametrize("first", [0x00, 0x20, 0x90, 0xB0, 0xD0])
async def test_a_packet_that_only_a_server_sends_is_a_protocol_error(
    house: House, first: int
) -> None:
    wire = await house.client()
    wire.send_bytes(bytes([first, 0]))
    assert await wire.closed_with() == c.PROTOCOL_ERROR


@pytest.mark.spec("MQTT-2.2.1-2")
@pytest.mark.over_the_wire
async def test_qos_0_has_no_packet_identifier_in_either_direction(house: House) -> None:
    wire = await house.client()
    await wire.subscribe("a")
    begin = len(wire.said)
    wire.send_bytes("30 06 00 01 61 00 00 01")  # what looks like one is the payload
    (message,) = await wire.messages()
    assert message.payload == b"\x00\x01"
    assert wire.said[begin:].startswith(bytes.fromhex("30 06 00 01 61 00 00 01"))


@pytest.mark.spec("MQTT-2.2.1-3")
@pytest.mark.parametrize(
    "bad",
    [
        "32 07 00 01 61 00 00 00 78",
        "34 07 00 01 61 00 00 00 78",
        "82 07 00 00 00 00 01 61 00",
        "a2 06 00 00 00 00 01 61",
        "40 02 00 00",
        "50 02 00 00",
        "62 02 00 00",
        "70 02 00 00",
    ],
)
async def test_packet_identifier_0_is_malformed(house: House, bad: str) -> None:
    wire = await house.client()
    wire.send_bytes(bad)
    assert await wire.closed_with() in (c.MALFORMED_PACKET, c.PROTOCOL_ERROR)


@pytest.mark.spec("MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1")
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_packet_identifier_in_use_is_not_given_again(house: House, qos: int) -> None:
    publisher, wire = await house.client("publisher"), await house.client("subscriber")
    await wire.subscribe("a", qos)
    for _ in range(20):
        await publisher.publish("a", qos=qos)
    used = [message.packet_id for message in await wire.messages()]
    assert len(set(used)) == 20
    assert 0 not in used
    # One is finished; what is new must not take any of the nineteen others.
    await finish(wire, qos, used.pop(7))
    for _ in range(20):
        await publisher.publish("a", qos=qos)
    more = [message.packet_id for message in await wire.messages()]
    assert len(set(more)) == 20
    assert not set(more) & set(used)


async def finish(wire: Wire, qos: int, packet_id: int) -> None:
    """Acknowledge a message to its end."""
    wire.send(Ack(c.PUBACK if qos == 1 else c.PUBREC, packet_id))
    if qos == 2:
        assert (await wire.expect(Ack)).type == c.PUBREL
        wire.send(Ack(c.PUBCOMP, packet_id))
    await wire.barrier()


@pytest.mark.spec("MQTT-2.2.1-5", "MQTT-4.3.2-4", "MQTT-4.3.3-8", "MQTT-4.3.3-11", "MQTT-3.3.4-1")
@pytest.mark.over_the_wire
async def test_acknowledgements_carry_the_packet_identifier_of_the_message(house: House) -> None:
    wire = await house.client()
    wire.send(Publish("a", b"x", 1, packet_id=65_535), Publish("a", b"x", 2, packet_id=258))
    wire.send(Publish("a", b"x", 0), Ack(c.PUBREL, 258))
    answers = [packet for packet in await wire.rest() if isinstance(packet, Ack)]
    assert [(ack.type, ack.packet_id) for ack in answers] == [
        (c.PUBACK, 65_535),
        (c.PUBREC, 258),
        (c.PUBCOMP, 258),
    ]


@pytest.mark.spec("MQTT-2.2.1-6", "MQTT-3.8.4-2", "MQTT-3.10.4-5", "MQTT-3.8.4-1", "MQTT-3.10.4-4")
@pytest.mark.over_the_wire
async def test_suback_and_unsuback_carry_the_packet_identifier_of_the_request(
    house: House,
) -> None:
    wire = await house.client()
    wire.send(Subscribe(513, [Subscription("a")]))
    suback = await wire.expect(Suback)
    assert suback.packet_id == 513
    wire.send_bytes("a2 06 ff fe 00 00 01 61 a2 06 00 07 00 00 01 7a")
    assert (await wire.expect(Unsuback)).packet_id == 0xFFFE
    assert (await wire.expect(Unsuback)).packet_id == 7  # nothing was deleted, and yet


@pytest.mark.spec("MQTT-2.2.2-1")
async def test_no_properties_are_a_property_length_of_zero(house: House) -> None:
    wire = await house.client()
    begin = len(wire.said)
    wire.send_bytes("82 07 00 01 00 00 01 61 01  32 07 00 01 61 00 05 00 78")
    wire.send_bytes("a2 06 00 02 00 00 01 61")
    await wire.rest()
    assert bytes(wire.said[begin:]) == bytes.fromhex(
        "90 04 00 01 00 01  32 07 00 01 61 00 01 00 78  40 02 00 05  b0 04 00 02 00 00"
    )
