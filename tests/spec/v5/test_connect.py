"""MQTT 5.0 §3.1: CONNECT, but for Wills, Client Identifiers and the limits it names."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Connack, Publish
from tests.octets import field, packet
from tests.spec.wire import House, Wire

KEPT = {c.SESSION_EXPIRY_INTERVAL: 3600}


def connect_bytes(
    *,
    name: bytes = b"MQTT",
    level: int = 5,
    flags: int = 0x02,
    properties: bytes = b"",
    payload: bytes | None = None,
) -> bytes:
    head = field(name) + bytes([level, flags, 0, 0, len(properties)]) + properties
    return packet(0x10, head, field(b"c") if payload is None else payload)


@pytest.mark.spec("MQTT-3.1.0-1")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("first", ["c0 00", "30 04 00 01 61 00", "e0 00", "f0 00", "62 02 00 01"])
async def test_a_connection_that_does_not_begin_with_connect_is_closed(
    house: House, first: str
) -> None:
    wire = await house.wire()
    wire.send_bytes(first)
    assert await wire.end() == []


@pytest.mark.spec("MQTT-3.1.0-2")
@pytest.mark.over_the_wire
async def test_a_second_connect_is_a_protocol_error(house: House) -> None:
    wire = await house.client()
    wire.send_bytes(connect_bytes())
    assert await wire.closed_with() == c.PROTOCOL_ERROR


@pytest.mark.spec("MQTT-3.1.0-2", "MQTT-3.2.0-2")
async def test_a_second_connect_in_the_same_read_gets_no_second_connack(house: House) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes() + connect_bytes())
    connack = await wire.expect(Connack)
    assert connack.reason_code == 0
    assert await wire.closed_with() == c.PROTOCOL_ERROR


@pytest.mark.spec("MQTT-3.1.2-1")
@pytest.mark.parametrize("name", [b"mqtt", b"MQTTX", b"", b"HTTP"])
async def test_another_protocol_name_is_turned_away(house: House, name: bytes) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes(name=name))
    assert await wire.end() == []


@pytest.mark.spec("MQTT-3.1.2-2")
@pytest.mark.parametrize("level", [0, 3, 6, 255])
async def test_another_protocol_level_is_turned_away(house: House, level: int) -> None:
    wire = await house.wire(c.V311)
    wire.send_bytes(connect_bytes(level=level))
    (answer,) = await wire.end()
    # Return code 1 and 0x84 both say so; who speaks an unknown version may read neither.
    assert isinstance(answer, Connack)
    assert answer.reason_code in (1, c.UNSUPPORTED_PROTOCOL_VERSION)


@pytest.mark.spec("MQTT-3.1.2-3", "MQTT-3.1.4-1")
async def test_the_reserved_connect_flag_must_be_0(house: House) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes(flags=0x03))
    assert await is_refused(wire, c.MALFORMED_PACKET)


async def is_refused(wire: Wire, reason_code: int) -> bool:
    """Say whether a CONNECT was answered by closing, after a CONNACK with this code or none."""
    packets = await wire.end()
    return packets == [] or (
        len(packets) == 1
        and isinstance(packets[0], Connack)
        and packets[0].reason_code == reason_code
        and not packets[0].session_present
    )


BROKEN = {
    "no Keep Alive": packet(0x10, field(b"MQTT"), b"\x05\x02\x00"),
    "no Property Length": packet(0x10, field(b"MQTT"), b"\x05\x02\x00\x00"),
    "no Client Identifier": connect_bytes(payload=b""),
    "a cut Client Identifier": connect_bytes(payload=b"\x00\x05ab"),
    "more than the flags announce": connect_bytes(payload=field(b"c") + b"more"),
    "properties past the end": packet(0x10, field(b"MQTT"), b"\x05\x02\x00\x00\x7f", field(b"c")),
}


@pytest.mark.spec("MQTT-3.1.4-1", "MQTT-3.1.3-3", "MQTT-3.14.0-1")
@pytest.mark.parametrize("kind", BROKEN)
async def test_a_connect_of_the_wrong_layout_ends_the_connection(house: House, kind: str) -> None:
    wire = await house.wire()
    wire.send_bytes(BROKEN[kind])
    assert await is_refused(wire, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.1.2-4", "MQTT-3.1.4-4", "MQTT-3.2.2-2", "MQTT-3.1.4-5")
@pytest.mark.over_the_wire
async def test_clean_start_discards_the_session(house: House) -> None:
    first = await house.client("c", properties=KEPT)
    await first.subscribe("a", 1)
    await first.disconnect()
    second = await house.wire()
    connack = await second.connect("c", clean=True)
    assert (connack.reason_code, connack.session_present) == (0, False)
    await (await house.client("publisher")).publish("a", qos=1)
    assert await second.rest() == []


@pytest.mark.spec("MQTT-3.1.2-5", "MQTT-3.2.2-3", "MQTT-3.1.2-23", "MQTT-4.1.0-1")
@pytest.mark.over_the_wire
async def test_a_session_goes_on_where_it_was(house: House) -> None:
    first = await house.client("c", properties=KEPT)
    await first.subscribe("a", 1)
    await first.cut()
    publisher = await house.client("publisher")
    await publisher.publish("a", b"while away", 1)
    second = await house.wire()
    connack = await second.connect("c", clean=False, properties=KEPT)
    assert (connack.reason_code, connack.session_present) == (0, True)
    assert [message.payload for message in await second.messages()] == [b"while away"]
    await publisher.publish("a", b"here again", 1)
    assert [message.payload for message in await second.messages()] == [b"here again"]


@pytest.mark.spec("MQTT-3.1.2-6", "MQTT-3.2.2-3")
async def test_without_a_session_a_new_one_begins(house: House) -> None:
    wire = await house.wire()
    connack = await wire.connect("never seen", clean=False)
    assert (connack.reason_code, connack.session_present) == (0, False)


async def test_a_session_without_expiry_ends_with_its_connection(house: House) -> None:
    first = await house.client("c")
    await first.subscribe("a", 1)
    await first.cut()
    second = await house.wire()
    assert not (await second.connect("c", clean=False)).session_present


ANNOUNCED = {
    # flags, payload after the Client Identifier
    "a User Name that is not announced": (0x02, field(b"user")),
    "a User Name that is missing": (0x82, b""),
    "a Password that is not announced": (0x82, field(b"user") + field(b"secret")),
    "a Password that is missing": (0xC2, field(b"user")),
}


@pytest.mark.spec("MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19")
@pytest.mark.parametrize("kind", ANNOUNCED)
async def test_the_payload_holds_what_the_flags_say(house: House, kind: str) -> None:
    flags, rest = ANNOUNCED[kind]
    wire = await house.wire()
    wire.send_bytes(connect_bytes(flags=flags, payload=field(b"c") + rest))
    assert await is_refused(wire, c.MALFORMED_PACKET)


async def test_a_password_may_come_without_a_user_name(house: House) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes(flags=0x42, payload=field(b"c") + field(b"secret")))
    assert (await wire.expect(Connack)).reason_code == 0


@pytest.mark.spec("MQTT-3.1.3-1", "MQTT-3.1.2-9")
async def test_the_fields_of_the_payload_come_in_their_order(house: House) -> None:
    wire = await house.wire()
    payload = (
        field(b"c") + b"\0" + field(b"a/will") + field(b"gone") + field(b"user") + field(b"secret")
    )
    wire.send_bytes(connect_bytes(flags=0xC6, payload=payload))
    assert (await wire.expect(Connack)).reason_code == 0
    session = house.broker.sessions["c"]
    assert session.grant.identity == "user"
    assert session.will is not None
    assert (session.will.topic_name, session.will.payload) == ("a/will", b"gone")


@pytest.mark.spec("MQTT-3.1.3-12")
async def test_a_user_name_that_is_not_utf8_is_refused(house: House) -> None:
    wire = await house.wire()
    payload = field(b"c") + field(b"\xed\xa0\x80") + field(b"secret")
    wire.send_bytes(connect_bytes(flags=0xC2, payload=payload))
    assert await is_refused(wire, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.1.2-22", "MQTT-3.2.2-22")
async def test_silence_for_one_and_a_half_times_keep_alive_ends_the_connection(
    house: House,
) -> None:
    wire = await house.client(keep_alive=60)
    await house.advance(89)
    assert await wire.is_alive()
    await house.advance(91)
    assert await wire.closed_with() == c.KEEP_ALIVE_TIMEOUT


@pytest.mark.parametrize(
    "sent", ["c0 00", "30 05 00 01 61 00 78", "40 02 00 01", "82 07 00 01 00 00 01 61 00"]
)
async def test_any_packet_keeps_a_connection_alive(house: House, sent: str) -> None:
    wire = await house.client(keep_alive=10)
    for _ in range(5):
        await house.advance(14)
        wire.send_bytes(sent)
        await wire.rest()
    assert await wire.is_alive()


async def test_keep_alive_0_means_for_ever(house: House) -> None:
    wire = await house.client(keep_alive=0)
    await house.advance(30 * 86_400)
    assert await wire.is_alive()


@pytest.mark.spec("MQTT-3.1.4-2", "MQTT-3.2.2-7", "MQTT-3.2.2-6", "MQTT-4.13.2-1")
@pytest.mark.over_the_wire
async def test_a_client_that_is_not_let_in_hears_why_and_is_closed(house: House) -> None:
    kept = await house.client("c", username="user", password=b"secret", properties=KEPT)
    await kept.disconnect()
    wire = await house.wire()
    connack = await wire.connect("c", clean=False, username="user", password=b"wrong")
    assert connack.reason_code == c.BAD_USER_NAME_OR_PASSWORD
    assert not connack.session_present
    assert await wire.end() == []


@pytest.mark.spec("MQTT-3.1.4-3")
@pytest.mark.over_the_wire
async def test_a_newer_connection_takes_the_session_over(house: House) -> None:
    older = await house.client("c", properties=KEPT)
    await older.subscribe("a")
    newer = await house.wire()
    assert (await newer.connect("c", clean=False, properties=KEPT)).session_present
    assert await older.closed_with() == c.SESSION_TAKEN_OVER
    await newer.publish("a")
    assert len(await newer.messages()) == 1


@pytest.mark.spec("MQTT-3.1.4-6", "MQTT-3.1.4-2")
@pytest.mark.over_the_wire
async def test_what_follows_a_refused_connect_is_not_carried_out(house: House) -> None:
    listener = await house.client("listener")
    await listener.subscribe("#")
    wire = await house.wire()
    payload = field(b"c") + field(b"user") + field(b"wrong")
    wire.send_bytes(connect_bytes(flags=0xC2, payload=payload) + bytes.fromhex("300500016100 78"))
    (connack,) = await wire.end()
    assert isinstance(connack, Connack)
    assert connack.reason_code == c.BAD_USER_NAME_OR_PASSWORD
    assert await listener.rest() == []


async def test_what_follows_a_connect_without_waiting_is_carried_out(house: House) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes() + bytes.fromhex("82 07 00 01 00 00 01 61 01 320600016100 0900"))
    connack, *rest = await wire.rest()
    assert isinstance(connack, Connack)
    assert [packet.type for packet in rest] == [c.SUBACK, c.PUBLISH, c.PUBACK]
    assert isinstance(rest[1], Publish)
    assert isinstance(rest[2], Ack)


@pytest.mark.spec("MQTT-3.2.0-1")
async def test_connack_is_the_first_packet(house: House) -> None:
    kept = await house.client("c", properties=KEPT)
    await kept.subscribe("a", 1)
    await kept.cut()
    await (await house.client("publisher")).publish("a", qos=1)
    wire = await house.wire()
    wire.send_bytes(connect_bytes(flags=0, properties=b"\x11\x00\x00\x0e\x10"))
    first, second = await wire.rest()
    assert isinstance(first, Connack)
    assert isinstance(second, Publish)
