"""MQTT 5.0 §3.12, §3.14, §4.13: PINGREQ, DISCONNECT, and how errors end a connection."""

import pytest

from fleetwire.net.server import ConnectionLimits
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Disconnect, Pingreq, Pingresp, Properties, Publish
from tests.octets import field, number, packet
from tests.spec.v5.test_connack import sizes
from tests.spec.wire import House, MakeHouse, Wire

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 3600}
# What a server may send (§3.14.2.1).
DISCONNECT_CODES = {
    *(0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95),
    *(0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2),
}


@pytest.mark.spec("MQTT-3.12.4-1")
@pytest.mark.over_the_wire
async def test_pingreq_is_answered(house: House) -> None:
    wire = await house.client()
    wire.send(Pingreq(), Pingreq())
    assert [await wire.read(), await wire.read()] == [Pingresp(), Pingresp()]
    assert wire.said.endswith(b"\xd0\x00\xd0\x00")


@pytest.mark.parametrize("bad", ["c0 01 00", "c0 02 00 00"])
async def test_a_pingreq_with_a_body_is_malformed(house: House, bad: str) -> None:
    wire = await house.client()
    wire.send_bytes(bad)
    assert await wire.closed_with() == c.MALFORMED_PACKET


@pytest.mark.spec("MQTT-3.14.0-1")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("case", ["no CONNECT", "refused", "malformed"])
async def test_no_disconnect_is_sent_to_who_was_not_let_in(house: House, case: str) -> None:
    wire = await house.wire()
    if case == "no CONNECT":
        wire.send(Pingreq())
    elif case == "refused":
        await wire.connect(username="user", password=b"wrong")
    else:
        wire.send_bytes("10 02 00 04")
    assert not any(isinstance(packet, Disconnect) for packet in await wire.end())


def violations() -> dict[str, bytes]:
    return {
        "malformed": bytes.fromhex("c1 00"),
        "protocol error": bytes.fromhex("20 02 00 00"),
        "too large": bytes.fromhex("30 ff ff ff 7f"),
        "a wildcard": packet(0x30, field("#"), b"\0"),
        "an alias": packet(0x30, field("a"), b"\x03\x23\xff\xff"),
        "receive maximum": b"".join(
            packet(0x34, field("a"), number(each), b"\0") for each in range(1, 5)
        ),
    }


@pytest.mark.spec("MQTT-3.14.2-1", "MQTT-3.14.2-2", "MQTT-4.13.1-1", "MQTT-4.13.2-1")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("kind", violations())
async def test_an_error_closes_the_connection_with_a_reason_code_of_the_table(
    make_house: MakeHouse, kind: str
) -> None:
    house = await make_house(connection_limits=ConnectionLimits(receive_maximum=3))
    wire = await house.client()
    wire.send_bytes(violations()[kind])
    *_, last = await wire.end()
    assert isinstance(last, Disconnect)
    assert last.reason_code in DISCONNECT_CODES - {0}
    assert c.SESSION_EXPIRY_INTERVAL not in (last.properties or {})


@pytest.mark.spec("MQTT-3.14.2-1")
async def test_every_reason_to_close_has_a_code_of_the_table(house: House) -> None:
    revoked = await house.client("revoked", username="someone", password=b"secret")
    house.server.disconnect_identity("someone", "revoked")
    silent = await house.client("silent", keep_alive=1)
    await house.advance(2)
    taken = await house.client("taken", properties=KEPT)
    await house.client("taken", properties=KEPT)
    stopped = await house.client("stopped")
    await house.server.close(0.1)
    codes = [await wire.closed_with() for wire in (revoked, silent, taken, stopped)]
    assert codes == [
        c.NOT_AUTHORIZED,
        c.KEEP_ALIVE_TIMEOUT,
        c.SESSION_TAKEN_OVER,
        c.SERVER_SHUTTING_DOWN,
    ]
    assert set(codes) <= DISCONNECT_CODES


@pytest.mark.spec("MQTT-3.14.2-3", "MQTT-3.14.2-4")
async def test_a_disconnect_fits_a_client_that_takes_little(house: House) -> None:
    wire = await house.client(properties={c.MAXIMUM_PACKET_SIZE: 16})
    wire.send_bytes("c1 00")
    (last,) = await wire.end()
    assert isinstance(last, Disconnect)
    assert last.properties is None
    assert max(sizes(bytes(wire.said))) <= 16


@pytest.mark.spec("MQTT-3.14.4-1", "MQTT-3.14.4-2")
@pytest.mark.over_the_wire
async def test_disconnect_is_the_last_packet_of_the_server(house: House) -> None:
    wire, publisher = await house.client("c"), await house.client("publisher")
    await wire.subscribe("a")
    wire.send_bytes("c1 00  c0 00  82 07 00 01 00 00 01 61 00")
    await publisher.publish("a")
    packets = await wire.end()
    assert isinstance(packets[-1], Disconnect)
    assert not any(isinstance(packet, Disconnect) for packet in packets[:-1])


@pytest.mark.spec("MQTT-3.14.4-2")
@pytest.mark.over_the_wire
async def test_a_client_that_disconnects_is_closed_without_a_word(house: House) -> None:
    wire = await house.client()
    wire.send(Disconnect(), Pingreq(), Publish("a", b"after the end"))
    assert await wire.end() == []


async def test_what_follows_a_disconnect_is_not_carried_out(house: House) -> None:
    listener = await house.client("listener")
    await listener.subscribe("#")
    wire = await house.client()
    wire.send(Publish("a", b"before"), Disconnect(), Publish("a", b"after"))
    await wire.end()
    assert [message.payload for message in await listener.messages()] == [b"before"]


async def test_disconnect_may_shorten_the_session(house: House) -> None:
    wire = await house.client("c", properties=KEPT)
    await wire.disconnect(properties={c.SESSION_EXPIRY_INTERVAL: 10})
    await house.advance(11)
    assert not (await (await house.wire()).connect("c", clean=False)).session_present


async def test_disconnect_may_lengthen_the_session(house: House) -> None:
    wire = await house.client("c", properties={c.SESSION_EXPIRY_INTERVAL: 10})
    await wire.disconnect(properties={c.SESSION_EXPIRY_INTERVAL: 100})
    await house.advance(50)
    assert (await (await house.wire()).connect("c", clean=False)).session_present


async def test_disconnect_may_end_the_session_at_once(house: House) -> None:
    wire = await house.client("c", properties=KEPT)
    await wire.disconnect(properties={c.SESSION_EXPIRY_INTERVAL: 0})
    assert not (await (await house.wire()).connect("c", clean=False)).session_present


async def test_an_expiry_of_0_cannot_be_raised_by_disconnect(house: House) -> None:
    watcher = await house.client("watcher")
    await watcher.subscribe("a/will")
    wire = await house.client("c", will=Publish("a/will", b"gone"))
    wire.send(Disconnect(0, {c.SESSION_EXPIRY_INTERVAL: 10}))
    assert await wire.closed_with() == c.PROTOCOL_ERROR
    assert len(await watcher.messages()) == 1  # it was no normal DISCONNECT


@pytest.mark.spec("MQTT-4.13.1-1")
async def test_packets_before_an_error_are_carried_out(house: House) -> None:
    listener = await house.client("listener")
    await listener.subscribe("a")
    wire = await house.client()
    wire.send_bytes(packet(0x32, field("a"), number(1), b"\0", b"x") + b"\xc1\x00")
    packets = await wire.end()
    assert [packet.type for packet in packets] == [c.PUBACK, c.DISCONNECT]
    assert len(await listener.messages()) == 1


@pytest.mark.spec("MQTT-4.2-1")
@pytest.mark.over_the_wire
async def test_packets_may_come_in_pieces_of_any_size(house: House) -> None:
    wire = await house.client()
    data = bytes.fromhex("82 07 00 01 00 00 01 61 01  32 0c 00 01 61 00 02 00 70 69 65 63 65 73")
    for begin in range(0, len(data), 3):
        wire.send_bytes(data[begin : begin + 3])
        await wire.pipe.flush()
    kinds = [(await expect_any(wire)).type for _ in range(3)]
    assert kinds == [c.SUBACK, c.PUBLISH, c.PUBACK]


async def expect_any(wire: Wire) -> Publish:
    packet = await wire.read()
    assert packet is not None
    return packet  # type: ignore[return-value]  # any packet; only its type is asked for
