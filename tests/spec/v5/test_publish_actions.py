"""MQTT 5.0 §3.3.4, §4.9: overlapping subscriptions, Subscription Identifiers, flow control."""

import pytest

from fleetwire.net.server import ConnectionLimits
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Pingreq, Pingresp, Properties, Publish
from tests.octets import field, packet
from tests.spec.wire import House, MakeHouse, Wire


@pytest.fixture
async def publisher(house: House) -> Wire:
    return await house.client("publisher")


@pytest.mark.spec("MQTT-3.3.4-2")
@pytest.mark.over_the_wire
async def test_overlapping_subscriptions_give_their_highest_qos(house: House) -> None:
    wire, publisher = await house.client("c"), await house.client("publisher")
    for topic_filter, qos in (("a/#", 0), ("a/b", 2), ("+/b", 1)):
        await wire.subscribe(topic_filter, qos)
    for qos in range(3):
        await publisher.publish("a/b", qos=qos)
        assert max(message.qos for message in await wire.messages()) == qos


@pytest.mark.spec("MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5")
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_message_names_the_subscriptions_it_is_for(
    house: House, publisher: Wire, qos: int
) -> None:
    wire = await house.client("c")
    await wire.subscribe("a/#", qos, identifier=7)
    await wire.subscribe("a/b", qos, identifier=268_435_455)
    await wire.subscribe("+/b", qos)
    await wire.subscribe("other", qos, identifier=9)
    await publisher.publish("a/b", qos=qos)
    named: list[object] = []
    for message in await wire.messages():
        identifiers = (message.properties or {}).get(c.SUBSCRIPTION_IDENTIFIER, [])
        assert isinstance(identifiers, list)
        named += identifiers
    assert sorted(map(str, named)) == ["268435455", "7"]


async def test_two_subscriptions_may_share_an_identifier(house: House, publisher: Wire) -> None:
    wire = await house.client("c")
    await wire.subscribe("a/#", identifier=7)
    await wire.subscribe("a/b", identifier=7)
    await publisher.publish("a/b")
    for message in await wire.messages():
        identifiers = (message.properties or {})[c.SUBSCRIPTION_IDENTIFIER]
        assert isinstance(identifiers, list)
        assert set(identifiers) == {7}


async def test_an_identifier_belongs_to_its_client(house: House, publisher: Wire) -> None:
    with_one, without = await house.client("with"), await house.client("without")
    await with_one.subscribe("a", identifier=7)
    await without.subscribe("a")
    await publisher.publish("a")
    assert [m.properties for m in await with_one.messages()] == [{c.SUBSCRIPTION_IDENTIFIER: [7]}]
    assert [m.properties for m in await without.messages()] == [None]


async def test_an_identifier_is_part_of_the_session(house: House, publisher: Wire) -> None:
    kept: Properties = {c.SESSION_EXPIRY_INTERVAL: 60}
    wire = await house.client("c", properties=kept)
    await wire.subscribe("a", 1, identifier=7)
    await wire.disconnect()
    await publisher.publish("a", qos=1)
    wire = await house.client("c", clean=False, properties=kept)
    assert [m.properties for m in await wire.messages()] == [{c.SUBSCRIPTION_IDENTIFIER: [7]}]


async def test_a_retained_message_has_the_identifier(house: House, publisher: Wire) -> None:
    await publisher.publish("a", retain=True)
    wire = await house.client("c")
    await wire.subscribe("a", identifier=7)
    assert [m.properties for m in await wire.messages()] == [{c.SUBSCRIPTION_IDENTIFIER: [7]}]


@pytest.mark.spec("MQTT-3.3.4-6")
async def test_a_client_may_not_send_a_subscription_identifier(house: House) -> None:
    wire = await house.client()
    wire.send_bytes(packet(0x30, field("a"), b"\x02\x0b\x01", b"x"))
    assert await wire.closed_with() == c.PROTOCOL_ERROR


@pytest.mark.parametrize("bad", ["0b 00", "0b 01 0b 02", "0b 80 80 80 80 01"])
async def test_a_bad_subscription_identifier_is_refused(house: House, bad: str) -> None:
    wire = await house.client()
    properties = bytes.fromhex(bad)
    wire.send_bytes(packet(0x82, b"\0\1", bytes([len(properties)]), properties, field("a"), b"\0"))
    assert await wire.closed_with() in (c.PROTOCOL_ERROR, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.3.4-7")
@pytest.mark.over_the_wire
async def test_more_than_the_servers_receive_maximum_ends_the_connection(
    make_house: MakeHouse,
) -> None:
    house = await make_house(connection_limits=ConnectionLimits(receive_maximum=3))
    wire = await house.client()
    assert wire.connack is not None
    assert (wire.connack.properties or {})[c.RECEIVE_MAXIMUM] == 3
    for packet_id in (1, 2, 3):
        wire.send(Publish("a", b"x", 2, packet_id=packet_id))
    assert [packet.type for packet in await wire.rest()] == [c.PUBREC] * 3
    wire.send(Publish("a", b"x", 2, packet_id=4))
    assert await wire.closed_with() == c.RECEIVE_MAXIMUM_EXCEEDED


async def test_a_finished_exchange_gives_its_place_back(make_house: MakeHouse) -> None:
    house = await make_house(connection_limits=ConnectionLimits(receive_maximum=2))
    wire = await house.client(username="limited", password=b"secret")
    for _ in range(5):
        assert await wire.publish("free/a", qos=1) == c.NO_MATCHING_SUBSCRIBERS
        assert await wire.publish("free/a", qos=2) == c.NO_MATCHING_SUBSCRIBERS
        assert await wire.publish("secret/a", qos=1) == c.NOT_AUTHORIZED
        assert await wire.publish("secret/a", qos=2) == c.NOT_AUTHORIZED


@pytest.mark.spec("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("qos", [1, 2])
async def test_the_server_keeps_to_the_clients_receive_maximum(house: House, qos: int) -> None:
    wire = await house.client("c", properties={c.RECEIVE_MAXIMUM: 2})
    publisher = await house.client("publisher")
    await wire.subscribe("a", 2)
    for number in range(5):
        await publisher.publish("a", str(number).encode(), qos)
    first, second = await wire.messages()
    assert (first.payload, second.payload) == (b"0", b"1")
    wire.send(Ack(c.PUBACK if qos == 1 else c.PUBREC, first.packet_id))
    if qos == 2:
        assert [packet.type for packet in await wire.rest()] == [c.PUBREL]  # not finished yet
        wire.send(Ack(c.PUBCOMP, first.packet_id))
    assert [message.payload for message in await wire.messages()] == [b"2"]
    assert await wire.rest() == []


async def test_a_pubrec_that_refuses_gives_its_place_back(house: House, publisher: Wire) -> None:
    wire = await house.client("c", properties={c.RECEIVE_MAXIMUM: 1})
    await wire.subscribe("a", 2)
    await publisher.publish("a", b"1", 2)
    await publisher.publish("a", b"2", 2)
    (first,) = await wire.messages()
    wire.send(Ack(c.PUBREC, first.packet_id, c.UNSPECIFIED_ERROR))
    assert [message.payload for message in await wire.messages()] == [b"2"]


@pytest.mark.spec("MQTT-3.3.4-9", "MQTT-4.9.0-1")
async def test_the_receive_maximum_holds_for_what_is_sent_again_too(
    house: House, publisher: Wire
) -> None:
    kept: Properties = {c.SESSION_EXPIRY_INTERVAL: 60}
    wire = await house.client("c", properties=kept)
    await wire.subscribe("a", 1)
    for _ in range(5):
        await publisher.publish("a", qos=1)
    assert len(await wire.messages()) == 5
    await wire.cut()
    wire = await house.client("c", clean=False, properties={**kept, c.RECEIVE_MAXIMUM: 2})
    seen = []
    while messages := await wire.messages():
        assert len(messages) <= 2
        for message in messages:
            seen.append(message.dup)
            wire.send(Ack(c.PUBACK, message.packet_id))
    assert len(seen) == 5


@pytest.mark.spec("MQTT-3.3.4-10", "MQTT-4.9.0-3")
async def test_a_used_up_quota_delays_nothing_else(house: House, publisher: Wire) -> None:
    wire = await house.client("c", properties={c.RECEIVE_MAXIMUM: 1})
    await wire.subscribe("a", 1)
    await wire.subscribe("b", 0)
    for _ in range(3):
        await publisher.publish("a", qos=1)
    assert len(await wire.messages()) == 1
    wire.send(Pingreq())
    assert isinstance(await wire.read(), Pingresp)
    assert await wire.subscribe("c") == 0
    assert await wire.publish("other", qos=2) == c.NO_MATCHING_SUBSCRIBERS
    await publisher.publish("b")
    assert [message.topic_name for message in await wire.messages()] == ["b"]
