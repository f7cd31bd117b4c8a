"""MQTT 5.0 §3.8, §3.9: SUBSCRIBE and SUBACK."""

import pytest

from fleetwire.broker.broker import Limits
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Properties, Publish, Suback, Subscribe, Subscription
from tests.octets import field, packet
from tests.spec.wire import House, MakeHouse, Wire

SUBACK_CODES = {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}


@pytest.fixture
async def publisher(house: House) -> Wire:
    return await house.client("publisher")


async def subscribe(wire: Wire, *subscriptions: Subscription) -> list[int]:
    """Subscribe to several in one packet; return the reason codes."""
    wire.send(Subscribe(wire.next_packet_id(), list(subscriptions)))
    return (await wire.expect(Suback)).reason_codes


@pytest.mark.spec("MQTT-3.8.3-2")
@pytest.mark.parametrize("bad", ["82 03 00 01 00", "82 02 00 01", "82 00"])
async def test_a_subscribe_without_a_topic_filter_ends_the_connection(
    house: House, bad: str
) -> None:
    wire = await house.client()
    wire.send_bytes(bad)
    assert await wire.closed_with() in (c.PROTOCOL_ERROR, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.8.3-2")
async def test_a_topic_filter_without_options_is_malformed(house: House) -> None:
    wire = await house.client()
    wire.send_bytes("82 06 00 01 00 00 01 61")
    assert await wire.closed_with() == c.MALFORMED_PACKET


@pytest.mark.spec("MQTT-3.8.3-3")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.over_the_wire
async def test_no_local_keeps_a_client_from_hearing_itself(house: House, qos: int) -> None:
    wire, other = await house.client("c"), await house.client("other")
    await wire.subscribe("a", qos, no_local=True)
    await other.subscribe("a", qos)
    await wire.publish("a", b"mine", qos)
    assert await wire.rest() == []
    assert [message.payload for message in await other.messages()] == [b"mine"]
    await other.publish("a", b"other's", qos)
    assert [message.payload for message in await wire.messages()] == [b"other's"]


@pytest.mark.spec("MQTT-3.8.3-3")
async def test_no_local_holds_for_the_same_client_on_a_new_connection(house: House) -> None:
    kept: Properties = {c.SESSION_EXPIRY_INTERVAL: 60}
    wire = await house.client("c", properties=kept)
    await wire.subscribe("a", 1, no_local=True)
    await wire.disconnect()
    wire = await house.client("c", clean=False, properties=kept)
    await wire.publish("a", qos=1)
    assert await wire.rest() == []


@pytest.mark.spec("MQTT-3.8.3-4")
async def test_no_local_on_a_shared_subscription_is_a_protocol_error(house: House) -> None:
    wire = await house.client()
    wire.send(Subscribe(1, [Subscription("$share/group/a", 1, no_local=True)]))
    assert await wire.closed_with() == c.PROTOCOL_ERROR


@pytest.mark.spec("MQTT-3.8.3-5")
@pytest.mark.parametrize("options", [0x40, 0x80, 0xC0, 0x41, 0x03, 0x07])
async def test_reserved_bits_of_the_options_are_malformed(house: House, options: int) -> None:
    wire = await house.client()
    wire.send_bytes(packet(0x82, b"\0\1\0", field("a"), bytes([options])))
    assert await wire.closed_with() in (c.MALFORMED_PACKET, c.PROTOCOL_ERROR)


async def test_retain_handling_3_is_a_protocol_error(house: House) -> None:
    wire = await house.client()
    wire.send_bytes(packet(0x82, b"\0\1\0", field("a"), b"\x30"))
    assert await wire.closed_with() == c.PROTOCOL_ERROR


@pytest.mark.spec("MQTT-3.8.4-3")
@pytest.mark.over_the_wire
async def test_a_second_subscribe_replaces_the_first(house: House) -> None:
    wire, publisher = await house.client("c"), await house.client("publisher")
    await wire.subscribe("a/+", 2, identifier=1, retain_as_published=True)
    await wire.subscribe("a/+", 1, identifier=2)
    await publisher.publish("a/b", qos=2, retain=True)
    (message,) = await wire.messages()
    assert (message.qos, message.retain) == (1, False)
    assert message.properties == {c.SUBSCRIPTION_IDENTIFIER: [2]}
    await wire.unsubscribe("a/+")
    await publisher.publish("a/b", qos=1)
    assert await wire.rest() == []


@pytest.mark.spec("MQTT-3.8.4-4")
async def test_replacing_a_subscription_loses_no_message(house: House, publisher: Wire) -> None:
    wire = await house.client("c", properties={c.RECEIVE_MAXIMUM: 1})
    await wire.subscribe("a", 2)
    for number in range(3):
        await publisher.publish("a", str(number).encode(), 1)
    await wire.subscribe("a", 0)
    seen = []
    while messages := await wire.messages():
        for message in messages:
            seen.append(message.payload)
            wire.send(Ack(c.PUBACK, message.packet_id))
    assert seen == [b"0", b"1", b"2"]


@pytest.mark.spec("MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.9.3-1", "MQTT-3.8.4-7")
@pytest.mark.over_the_wire
async def test_several_topic_filters_get_one_suback_in_their_order(house: House) -> None:
    wire = await house.client(username="limited", password=b"secret")
    codes = await subscribe(
        wire,
        Subscription("free/a", 2),
        Subscription("secret/#", 0),
        Subscription("free/b", 0),
        Subscription("free/#/bad", 1),
        Subscription("free/c", 1),
        Subscription("free/a", 1),  # the same again, and it replaces the first
    )
    assert codes == [2, c.NOT_AUTHORIZED, 0, c.TOPIC_FILTER_INVALID, 1, 1]
    assert await wire.rest() == []
    await wire.publish("free/a", qos=2)
    assert [message.qos for message in await wire.messages()] == [1]


@pytest.mark.spec("MQTT-3.8.4-5", "MQTT-3.3.1-9")
async def test_retained_messages_come_for_each_of_several_filters(
    house: House, publisher: Wire
) -> None:
    await publisher.publish("a/1", qos=1, retain=True)
    await publisher.publish("b/1", qos=1, retain=True)
    wire = await house.client("c")
    assert await subscribe(
        wire,
        Subscription("a/#", 1),
        Subscription("b/#", 1, retain_handling=2),
        Subscription("+/1", 0),
    ) == [1, 1, 0]
    found = [(message.topic_name, message.qos) for message in await wire.messages()]
    assert sorted(found) == [("a/1", 0), ("a/1", 1), ("b/1", 0)]


@pytest.mark.spec("MQTT-3.8.4-8")
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
async def test_a_message_has_the_lesser_of_the_two_qos(
    house: House, publisher: Wire, published: int, granted: int
) -> None:
    wire = await house.client("c")
    assert await wire.subscribe("a", granted) == granted
    await publisher.publish("a", qos=published, retain=True)
    assert [message.qos for message in await wire.messages()] == [min(published, granted)]
    late = await house.client("late")
    await late.subscribe("a", granted)
    assert [message.qos for message in await late.messages()] == [min(published, granted)]


@pytest.mark.spec("MQTT-3.9.3-2", "MQTT-3.8.4-7")
async def test_a_suback_has_reason_codes_of_its_table(make_house: MakeHouse) -> None:
    house = await make_house(limits=Limits(subscriptions=4))
    wire = await house.client(username="limited", password=b"secret")
    codes = await subscribe(
        wire,
        *(Subscription(f"free/{qos}", qos) for qos in range(3)),
        Subscription("$share/group/free/a", 1),
        Subscription("free/one-too-many"),
        Subscription("secret"),
        Subscription("$share/group/secret"),
        Subscription("$share/gr+oup/free"),
        Subscription("$share/group"),
        Subscription("free/a#"),
        Subscription("free/" + "/".join("x" * 100)),
    )
    assert codes[:5] == [0, 1, 2, 1, c.QUOTA_EXCEEDED]
    assert codes[5:7] == [c.NOT_AUTHORIZED] * 2
    assert codes[7:] == [c.TOPIC_FILTER_INVALID] * 4
    assert set(codes) <= SUBACK_CODES


@pytest.mark.spec("MQTT-3.9.2-1", "MQTT-3.9.2-2")
async def test_a_suback_that_refuses_is_no_larger_than_it_must_be(house: House) -> None:
    wire = await house.client(
        username="limited", password=b"secret", properties={c.MAXIMUM_PACKET_SIZE: 20}
    )
    wire.send(Subscribe(9, [Subscription("secret/#")]))
    suback = await wire.expect(Suback)
    assert (suback.packet_id, suback.reason_codes) == (9, [c.NOT_AUTHORIZED])
    assert suback.properties is None


async def test_a_refused_subscription_is_none(house: House, publisher: Wire) -> None:
    wire = await house.client("c", username="limited", password=b"secret")
    assert await subscribe(wire, Subscription("#"), Subscription("secret/a")) == [0x87, 0x87]
    await publisher.publish("secret/a")
    await publisher.publish("free/a")
    assert await wire.rest() == []


async def test_suback_may_come_after_the_first_message(house: House, publisher: Wire) -> None:
    """§3.8.4 allows either order; what may not happen is that a message is lost between them."""
    wire = await house.client("c")
    wire.send(Subscribe(1, [Subscription("a", 1)]), Publish("a", b"at once", 1, packet_id=2))
    kinds = [packet.type for packet in await wire.rest()]
    assert sorted(kinds) == sorted([c.SUBACK, c.PUBLISH, c.PUBACK])
