"""MQTT 5.0 §3.10, §3.11: UNSUBSCRIBE and UNSUBACK."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish
from tests.spec.wire import House, Wire


@pytest.fixture
async def publisher(house: House) -> Wire:
    return await house.client("publisher")


@pytest.mark.spec("MQTT-3.10.3-2")
@pytest.mark.parametrize("bad", ["a2 03 00 01 00", "a2 02 00 01", "a2 00"])
async def test_an_unsubscribe_without_a_topic_filter_ends_the_connection(
    house: House, bad: str
) -> None:
    wire = await house.client()
    wire.send_bytes(bad)
    assert await wire.closed_with() in (c.PROTOCOL_ERROR, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.10.4-1", "MQTT-3.10.4-2")
@pytest.mark.over_the_wire
async def test_only_a_filter_of_the_same_characters_is_deleted(house: House) -> None:
    wire, publisher = await house.client("c"), await house.client("publisher")
    await wire.subscribe("a/+")
    for other in ("a/b", "a/#", "#", "A/+", "a/+/", "+/+"):
        assert (await wire.unsubscribe(other)).reason_codes == [c.NO_SUBSCRIPTION_EXISTED]
    await publisher.publish("a/b")
    assert len(await wire.messages()) == 1
    assert (await wire.unsubscribe("a/+")).reason_codes == [0]
    await publisher.publish("a/b")
    assert await wire.rest() == []


async def test_another_subscription_of_the_topic_stays(house: House, publisher: Wire) -> None:
    wire = await house.client("c")
    await wire.subscribe("a/b")
    await wire.subscribe("a/#")
    await wire.unsubscribe("a/b")
    await publisher.publish("a/b")
    assert len(await wire.messages()) == 1


@pytest.mark.spec("MQTT-3.10.4-3")
@pytest.mark.parametrize("qos", [1, 2])
async def test_what_was_being_delivered_is_delivered_to_its_end(
    house: House, publisher: Wire, qos: int
) -> None:
    kept = {c.SESSION_EXPIRY_INTERVAL: 60}
    wire = await house.client("c", properties=kept)
    await wire.subscribe("a", qos)
    await publisher.publish("a", qos=qos)
    (message,) = await wire.messages()
    await wire.unsubscribe("a")
    await wire.cut()
    wire = await house.client("c", clean=False, properties=kept)
    (again,) = await wire.messages()
    assert (again.packet_id, again.dup) == (message.packet_id, True)
    wire.send(Ack(c.PUBACK if qos == 1 else c.PUBREC, again.packet_id))
    if qos == 2:
        assert [packet.type for packet in await wire.rest()] == [c.PUBREL]
        wire.send(Ack(c.PUBCOMP, again.packet_id))
    await wire.barrier()
    assert not house.broker.sessions["c"].inflight


@pytest.mark.spec("MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2")
@pytest.mark.over_the_wire
async def test_several_topic_filters_get_one_unsuback_in_their_order(house: House) -> None:
    wire = await house.client()
    await wire.subscribe("a")
    await wire.subscribe("c")
    unsuback = await wire.unsubscribe("c", "b", "a", "a", "no/#/filter")
    codes = unsuback.reason_codes
    assert codes[:4] == [0, c.NO_SUBSCRIPTION_EXISTED, 0, c.NO_SUBSCRIPTION_EXISTED]
    assert codes[4] in (c.NO_SUBSCRIPTION_EXISTED, c.TOPIC_FILTER_INVALID)
    assert await wire.rest() == []


@pytest.mark.spec("MQTT-3.11.2-1", "MQTT-3.11.2-2")
async def test_an_unsuback_is_no_larger_than_it_must_be(house: House) -> None:
    wire = await house.client(properties={c.MAXIMUM_PACKET_SIZE: 20})
    unsuback = await wire.unsubscribe("never/subscribed")
    assert unsuback.properties is None


async def test_a_shared_subscription_ends_by_its_whole_name(house: House, publisher: Wire) -> None:
    wire = await house.client("c")
    await wire.subscribe("$share/group/a", 1)
    assert (await wire.unsubscribe("a", "$share/other/a")).reason_codes == [0x11, 0x11]
    assert (await wire.unsubscribe("$share/group/a")).reason_codes == [0]
    publisher.send(Publish("a", b"x", 1, packet_id=1))
    await publisher.rest()
    assert await wire.rest() == []
