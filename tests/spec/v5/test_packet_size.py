"""MQTT 5.0 §3.1.2.11.4: what Maximum Packet Size means beside sessions, aliases and groups."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Properties
from tests.spec.wire import House, Wire

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 3600}
SMALL: Properties = {**KEPT, c.MAXIMUM_PACKET_SIZE: 60}


@pytest.fixture
async def publisher(house: House) -> Wire:
    return await house.client("publisher")


@pytest.mark.spec("MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("was_sent", [False, True])
async def test_a_client_that_is_back_with_a_smaller_maximum_is_spared(
    house: House, publisher: Wire, qos: int, was_sent: bool
) -> None:
    wire = await house.client("c", properties=KEPT)
    await wire.subscribe("a", qos)
    if not was_sent:
        await wire.cut()
    await publisher.publish("a", bytes(100), qos)
    await publisher.publish("a", b"small", qos)
    if was_sent:
        assert len(await wire.messages()) == 2
        await wire.cut()
    wire = await house.client("c", clean=False, properties=SMALL)
    assert [message.payload for message in await wire.messages()] == [b"small"]
    # What was left out counts as delivered, also for a later connection that would take it.
    await wire.cut()
    wire = await house.client("c", clean=False, properties=KEPT)
    assert [message.payload for message in await wire.messages()] == [b"small"]


@pytest.mark.spec("MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1])
async def test_an_alias_in_a_message_that_was_left_out_is_not_used(
    house: House, publisher: Wire, qos: int
) -> None:
    wire = await house.client("c", properties={**SMALL, c.TOPIC_ALIAS_MAXIMUM: 5})
    await wire.subscribe("a/a-long-topic", qos)
    await publisher.publish("a/a-long-topic", bytes(100), qos)
    await publisher.publish("a/a-long-topic", b"small", qos)
    await publisher.publish("a/a-long-topic", b"again", qos)
    first, second = await wire.messages()
    assert (first.topic_name, first.payload) == ("a/a-long-topic", b"small")
    assert second.payload == b"again"
    if not second.topic_name:
        assert (second.properties or {})[c.TOPIC_ALIAS] == (first.properties or {})[c.TOPIC_ALIAS]


@pytest.mark.spec("MQTT-3.1.2-24")
async def test_a_retained_message_above_the_maximum_is_left_out(
    house: House, publisher: Wire
) -> None:
    await publisher.publish("a/1", bytes(100), 1, retain=True)
    await publisher.publish("a/2", b"small", 1, retain=True)
    wire = await house.client("c", properties=SMALL)
    await wire.subscribe("a/#", 1)
    assert [message.topic_name for message in await wire.messages()] == ["a/2"]


@pytest.mark.spec("MQTT-3.1.2-24")
async def test_what_the_server_adds_counts_too(house: House, publisher: Wire) -> None:
    """A Subscription Identifier and the interval that remains make a packet larger."""
    wire = await house.client("c", properties=SMALL)
    await wire.subscribe("a", 1, identifier=268_435_455)
    await publisher.publish("a", bytes(52), 1)  # 60 bytes as it came, 65 as it would go
    await publisher.publish("a", bytes(47), 1)
    assert [len(message.payload) for message in await wire.messages()] == [47]


async def test_a_message_too_large_for_a_member_leaves_the_group_working(
    house: House, publisher: Wire
) -> None:
    wire = await house.client("c", properties={**SMALL, c.RECEIVE_MAXIMUM: 1})
    await wire.subscribe("$share/group/a", 1, identifier=7)
    for payload in (bytes(100), b"1", bytes(100), b"2"):
        await publisher.publish("a", payload, 1)
    seen = []
    while messages := await wire.messages():
        for message in messages:
            assert message.properties == {c.SUBSCRIPTION_IDENTIFIER: [7]}
            seen.append(message.payload)
            wire.send(Ack(c.PUBACK, message.packet_id))
    assert seen == [b"1", b"2"]
