"""MQTT 5.0 §3.2: CONNACK, and the limits that CONNECT and CONNACK name."""

import pytest

from fleetwire.broker.broker import Limits
from fleetwire.net.server import ConnectionLimits
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import (
    Connack,
    Connect,
    Properties,
    Publish,
    Subscribe,
    Subscription,
)
from tests.spec.wire import House, MakeHouse, Wire

CONNACK_CODES = {
    *(0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95),
    *(0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F),
}


def sizes(said: bytes) -> list[int]:
    """Return the sizes of the packets in these bytes."""
    found, pos = [], 0
    while pos < len(said):
        length, shift, begin = 0, 0, pos
        while True:
            pos += 1
            length |= (said[pos] & 127) << shift
            shift += 7
            if said[pos] < 128:
                break
        pos += 1 + length
        found.append(pos - begin)
    return found


@pytest.mark.spec("MQTT-3.2.0-2")
async def test_only_one_connack_is_sent(house: House) -> None:
    wire = await house.client(properties={c.SESSION_EXPIRY_INTERVAL: 60})
    await wire.subscribe("a", 1)
    await wire.publish("a", qos=1)
    assert not any(isinstance(packet, Connack) for packet in await wire.rest())


@pytest.mark.spec("MQTT-3.2.2-1")
@pytest.mark.parametrize("session_present", [0, 1])
async def test_the_reserved_connack_flags_are_0(house: House, session_present: int) -> None:
    kept: Properties = {c.SESSION_EXPIRY_INTERVAL: 60}
    for _ in range(session_present):
        await (await house.client("c", properties=kept)).disconnect()
    wire = await house.client("c", clean=False, properties=kept)
    assert wire.said[2] == session_present


@pytest.mark.spec("MQTT-3.2.2-8")
async def test_connack_has_a_reason_code_of_its_table(house: House) -> None:
    await house.client("taken", username="owner", password=b"secret")
    will = Publish("secret", b"x")
    refused: list[dict[str, object]] = [
        {"username": "user", "password": b"wrong"},
        {"username": "user"},
        {"client_id": "x" * 5000},
        {"client_id": "taken"},
        {"username": "limited", "password": b"secret", "will": will},
        {"properties": {c.AUTHENTICATION_METHOD: "unknown"}},
    ]
    for options in refused:
        connack = await (await house.wire()).connect(**options)  # type: ignore[arg-type]
        assert connack.reason_code in CONNACK_CODES - {0}, options


@pytest.mark.spec("MQTT-3.2.2-9", "MQTT-3.2.2-12", "MQTT-3.2.2-10")
async def test_every_qos_is_supported(house: House) -> None:
    wire = await house.client(will=Publish("a/will", b"x", 2))
    assert wire.connack is not None
    assert wire.connack.properties is not None
    assert c.MAXIMUM_QOS not in wire.connack.properties
    assert [await wire.subscribe("a", qos) for qos in range(3)] == [0, 1, 2]
    await wire.publish("a", qos=2)
    assert [message.qos for message in await wire.messages()] == [2]


async def test_what_connack_leaves_out_is_available(house: House) -> None:
    wire = await house.client()
    assert wire.connack is not None
    properties = wire.connack.properties or {}
    for available in (
        c.RETAIN_AVAILABLE,
        c.WILDCARD_SUBSCRIPTION_AVAILABLE,
        c.SUBSCRIPTION_IDENTIFIER_AVAILABLE,
        c.SHARED_SUBSCRIPTION_AVAILABLE,
    ):
        assert properties.get(available, 1) == 1
    assert await wire.subscribe("a/+/#", 1, identifier=5) == 1
    assert await wire.subscribe("$share/group/a", 1) == 1


@pytest.mark.spec("MQTT-3.2.2-15")
@pytest.mark.over_the_wire
async def test_a_packet_above_the_servers_maximum_ends_the_connection(
    make_house: MakeHouse,
) -> None:
    house = await make_house(connection_limits=ConnectionLimits(maximum_packet_size=100))
    wire = await house.client()
    assert wire.connack is not None
    assert (wire.connack.properties or {})[c.MAXIMUM_PACKET_SIZE] == 100
    wire.send(Publish("a", bytes(94)))  # with its header 100 bytes
    assert await wire.is_alive()
    wire.send(Publish("a", bytes(95)))
    assert await wire.closed_with() == c.PACKET_TOO_LARGE


async def test_a_packet_that_is_too_large_is_refused_before_it_is_there(house: House) -> None:
    wire = await house.client()
    wire.send_bytes("30 ff ff ff 7f")
    assert await wire.closed_with() == c.PACKET_TOO_LARGE


@pytest.mark.spec("MQTT-3.2.2-21", "MQTT-3.1.2-21")
async def test_the_keep_alive_that_the_server_gives_is_the_one_it_uses(
    make_house: MakeHouse,
) -> None:
    house = await make_house(connection_limits=ConnectionLimits(keep_alive_s=20))
    wire = await house.client(keep_alive=0)
    assert wire.connack is not None
    assert (wire.connack.properties or {})[c.SERVER_KEEP_ALIVE] == 20
    await house.advance(29)
    assert await wire.is_alive()
    await house.advance(31)
    assert await wire.closed_with() == c.KEEP_ALIVE_TIMEOUT


async def test_a_shorter_session_than_asked_for_is_told(make_house: MakeHouse) -> None:
    house = await make_house(limits=Limits(session_expiry_s=100))
    wire = await house.client(properties={c.SESSION_EXPIRY_INTERVAL: 0xFFFFFFFF})
    assert wire.connack is not None
    assert (wire.connack.properties or {})[c.SESSION_EXPIRY_INTERVAL] == 100


@pytest.mark.spec("MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_message_above_the_clients_maximum_is_left_out(house: House, qos: int) -> None:
    wire = await house.client("c", properties={c.MAXIMUM_PACKET_SIZE: 60, c.RECEIVE_MAXIMUM: 1})
    await wire.subscribe("a", qos)
    publisher = await house.client("publisher")
    for payload in (bytes(100), b"small", bytes(100), bytes(53 - (2 if qos else 0))):
        await publisher.publish("a", payload, qos)
    seen = []
    while messages := await wire.messages():
        for message in messages:
            seen.append(len(message.payload))
            await finish(wire, message)
    assert seen == [5, 53 - (2 if qos else 0)]  # and the quota of 1 was not used up
    assert max(sizes(bytes(wire.said))) <= 60


async def finish(wire: Wire, message: Publish) -> None:
    if message.qos == 1:
        wire.send_bytes(b"\x40\x02" + message.packet_id.to_bytes(2, "big"))
    elif message.qos == 2:
        wire.send_bytes(b"\x50\x02" + message.packet_id.to_bytes(2, "big"))
        assert [packet.type for packet in await wire.rest()] == [c.PUBREL]
        wire.send_bytes(b"\x70\x02" + message.packet_id.to_bytes(2, "big"))


@pytest.mark.spec("MQTT-3.1.2-24")
async def test_a_suback_above_the_clients_maximum_is_not_sent(house: House) -> None:
    wire = await house.client(properties={c.MAXIMUM_PACKET_SIZE: 30})
    wire.send(Subscribe(1, [Subscription(f"a/{number}") for number in range(100)]))
    await wire.rest()
    assert max(sizes(bytes(wire.said))) <= 30


@pytest.mark.spec("MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.1.2-24")
@pytest.mark.parametrize("maximum", [5, 20, 100])
async def test_a_refusal_fits_the_clients_maximum(house: House, maximum: int) -> None:
    wire = await house.wire()
    connack = await wire.connect(
        username="user", password=b"wrong", properties={c.MAXIMUM_PACKET_SIZE: maximum}
    )
    assert connack.reason_code == c.BAD_USER_NAME_OR_PASSWORD
    assert max(sizes(bytes(wire.said))) <= maximum


@pytest.mark.spec("MQTT-3.1.2-24")
@pytest.mark.parametrize("maximum", [5, 10])
async def test_an_acceptance_fits_the_clients_maximum(house: House, maximum: int) -> None:
    wire = await house.wire()
    wire.send(Connect(c.V5, "", properties={c.MAXIMUM_PACKET_SIZE: maximum}))
    await wire.rest()
    assert max(sizes(bytes(wire.said)), default=0) <= maximum


@pytest.mark.spec("MQTT-3.1.2-26", "MQTT-3.3.2-11")
@pytest.mark.parametrize("maximum", [1, 5])
async def test_the_server_uses_no_topic_alias_above_the_clients_maximum(
    house: House, maximum: int
) -> None:
    wire = await house.client("c", properties={c.TOPIC_ALIAS_MAXIMUM: maximum})
    await wire.subscribe("a/#", 1)
    publisher = await house.client("publisher")
    known: dict[object, str] = {}
    for number in range(3 * 12):
        topic = f"a/a-topic-that-is-long-enough/{number % 12}"
        await publisher.publish(topic, b"x", number % 2)
        (message,) = await wire.messages()
        alias = (message.properties or {}).get(c.TOPIC_ALIAS)
        if alias is not None:
            assert isinstance(alias, int)
            assert 1 <= alias <= maximum
            if message.topic_name:
                known[alias] = message.topic_name
        assert (message.topic_name or known[alias]) == topic


@pytest.mark.spec("MQTT-3.1.2-27")
@pytest.mark.parametrize("asked", [None, 0])
async def test_the_server_uses_no_topic_alias_without_leave(
    house: House, asked: int | None
) -> None:
    properties: Properties = {} if asked is None else {c.TOPIC_ALIAS_MAXIMUM: asked}
    wire = await house.client("c", properties=properties)
    await wire.subscribe("a/#", 1)
    for _ in range(3):
        await wire.publish("a/b", qos=1)
    for message in await wire.messages():
        assert (message.topic_name, message.properties) == ("a/b", None)


@pytest.mark.spec("MQTT-3.1.2-28")
@pytest.mark.parametrize("asked", [None, 0, 1])
async def test_response_information_comes_only_when_asked_for(
    house: House, asked: int | None
) -> None:
    properties: Properties = {} if asked is None else {c.REQUEST_RESPONSE_INFORMATION: asked}
    wire = await house.client("c", properties=properties)
    assert wire.connack is not None
    told = (wire.connack.properties or {}).get(c.RESPONSE_INFORMATION)
    assert (told is not None) == (asked == 1)
    if told is not None:
        assert await wire.subscribe(f"{told}/#", 1) == 1


@pytest.mark.spec("MQTT-3.1.2-29")
async def test_without_problem_information_acknowledgements_give_no_reason(house: House) -> None:
    wire = await house.client(
        username="limited", password=b"secret", properties={c.REQUEST_PROBLEM_INFORMATION: 0}
    )
    assert await wire.subscribe("secret/#") == c.NOT_AUTHORIZED
    assert await wire.publish("secret/a", qos=1) == c.NOT_AUTHORIZED
    assert await wire.publish("secret/a", qos=2) == c.NOT_AUTHORIZED
    await wire.unsubscribe("never")
    wire.send_bytes("62 02 00 63")
    for packet in await wire.rest():
        assert not getattr(packet, "properties", None), packet
    assert b"\x1f" not in wire.said[sizes(bytes(wire.said))[0] :]  # 0x1F: Reason String
