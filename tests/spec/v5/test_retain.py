"""MQTT 5.0 §3.3.1: the flags DUP, QoS and RETAIN."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish
from tests.spec.wire import House, Wire

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 3600}


@pytest.fixture
async def publisher(house: House) -> Wire:
    return await house.client("publisher")


@pytest.mark.spec("MQTT-3.3.1-1", "MQTT-4.4.0-1")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.over_the_wire
async def test_dup_is_set_on_what_is_sent_again(house: House, qos: int) -> None:
    wire = await house.client("c", properties=KEPT)
    publisher = await house.client("publisher")
    await wire.subscribe("a", qos)
    await publisher.publish("a", qos=qos)
    (first,) = await wire.messages()
    assert not first.dup
    await wire.cut()
    wire = await house.client("c", clean=False, properties=KEPT)
    (again,) = await wire.messages()
    assert again.dup
    assert (again.packet_id, again.payload, again.qos) == (first.packet_id, first.payload, qos)


@pytest.mark.spec("MQTT-3.3.1-2")
async def test_dup_with_qos_0_is_malformed(house: House) -> None:
    wire = await house.client()
    wire.send_bytes("38 05 00 01 61 00 78")
    assert await wire.closed_with() == c.MALFORMED_PACKET


@pytest.mark.spec("MQTT-3.3.1-2", "MQTT-4.3.1-1")
async def test_what_is_sent_with_qos_0_has_no_dup(house: House, publisher: Wire) -> None:
    wire = await house.client("c")
    await wire.subscribe("a", 0)
    await publisher.publish("a", qos=1, dup=True)
    (message,) = await wire.messages()
    assert (message.qos, message.dup) == (0, False)


@pytest.mark.spec("MQTT-3.3.1-3", "MQTT-4.3.2-2", "MQTT-4.3.3-2")
@pytest.mark.parametrize("qos", [1, 2])
async def test_dup_is_not_passed_on(house: House, publisher: Wire, qos: int) -> None:
    wire = await house.client("c")
    await wire.subscribe("a", qos)
    await publisher.publish("a", qos=qos, dup=True)
    (message,) = await wire.messages()
    assert (message.qos, message.dup) == (qos, False)


@pytest.mark.spec("MQTT-3.3.1-4")
@pytest.mark.parametrize("first", ["36", "37", "3e", "3f"])
async def test_qos_3_is_malformed(house: House, first: str) -> None:
    wire = await house.client()
    wire.send_bytes(first + "07 00 01 61 00 01 00 78")
    assert await wire.closed_with() == c.MALFORMED_PACKET


async def retained(house: House, topic_filter: str = "#", qos: int = 2) -> list[Publish]:
    """Return what a new subscriber is sent."""
    wire = await house.client("late")
    await wire.subscribe(topic_filter, qos)
    messages = await wire.messages()
    await wire.cut()
    return messages


@pytest.mark.spec("MQTT-3.3.1-5")
@pytest.mark.over_the_wire
async def test_the_last_retained_message_of_a_topic_is_kept(house: House) -> None:
    publisher = await house.client("publisher")
    await publisher.publish("a/1", b"old", 2, retain=True)
    await publisher.publish("a/1", b"new", 1, retain=True)
    await publisher.publish("a/2", b"other", 0, retain=True)
    found = {message.topic_name: message for message in await retained(house, "a/+")}
    assert {name: message.payload for name, message in found.items()} == {
        "a/1": b"new",
        "a/2": b"other",
    }
    assert {name: message.qos for name, message in found.items()} == {"a/1": 1, "a/2": 0}
    assert all(message.retain for message in found.values())


@pytest.mark.spec("MQTT-3.3.1-6", "MQTT-3.3.1-7")
async def test_an_empty_payload_removes_a_retained_message(house: House, publisher: Wire) -> None:
    wire = await house.client("c")
    await wire.subscribe("a", retain_as_published=True)
    await publisher.publish("a", b"kept", retain=True)
    await publisher.publish("a", b"", retain=True)
    assert [message.payload for message in await wire.messages()] == [b"kept", b""]
    assert await retained(house) == []


@pytest.mark.spec("MQTT-3.3.1-7")
async def test_an_empty_payload_is_never_kept(house: House, publisher: Wire) -> None:
    await publisher.publish("a", b"", 1, retain=True)
    assert await retained(house) == []


@pytest.mark.spec("MQTT-3.3.1-8")
@pytest.mark.parametrize("payload", [b"plain", b""])
async def test_a_message_without_retain_changes_nothing_that_is_retained(
    house: House, publisher: Wire, payload: bytes
) -> None:
    await publisher.publish("a", b"kept", retain=True)
    await publisher.publish("a", payload)
    await publisher.publish("b", payload)
    assert [message.payload for message in await retained(house)] == [b"kept"]


@pytest.mark.spec("MQTT-3.3.1-9", "MQTT-3.8.4-4")
async def test_retain_handling_0_sends_them_with_each_subscribe(
    house: House, publisher: Wire
) -> None:
    await publisher.publish("a/1", b"one", retain=True)
    await publisher.publish("a/2", b"two", retain=True)
    await publisher.publish("b", b"no", retain=True)
    wire = await house.client("c")
    for _ in range(2):
        await wire.subscribe("a/#", retain_handling=0)
        assert sorted(message.payload for message in await wire.messages()) == [b"one", b"two"]


@pytest.mark.spec("MQTT-3.3.1-10")
async def test_retain_handling_1_sends_them_to_a_new_subscription_only(
    house: House, publisher: Wire
) -> None:
    await publisher.publish("a", b"kept", retain=True)
    wire = await house.client("c", properties=KEPT)
    await wire.subscribe("a", retain_handling=1)
    assert len(await wire.messages()) == 1
    await wire.subscribe("a", 1, retain_handling=1)
    assert await wire.rest() == []
    await wire.disconnect()
    wire = await house.client("c", clean=False, properties=KEPT)
    await wire.subscribe("a", retain_handling=1)
    assert await wire.rest() == []
    await wire.unsubscribe("a")
    await wire.subscribe("a", retain_handling=1)
    assert len(await wire.messages()) == 1


@pytest.mark.spec("MQTT-3.3.1-11")
async def test_retain_handling_2_sends_none(house: House, publisher: Wire) -> None:
    await publisher.publish("a", b"kept", retain=True)
    wire = await house.client("c")
    await wire.subscribe("a", retain_handling=2)
    assert await wire.rest() == []
    await publisher.publish("a", b"new", retain=True)
    assert [message.payload for message in await wire.messages()] == [b"new"]


@pytest.mark.spec("MQTT-3.3.1-12", "MQTT-3.3.1-13")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
async def test_retain_is_passed_on_only_if_asked_for(
    house: House, publisher: Wire, qos: int, retain: bool
) -> None:
    plain, as_published = await house.client("plain"), await house.client("as published")
    await plain.subscribe("a", qos)
    await as_published.subscribe("a", qos, retain_as_published=True)
    await publisher.publish("a", qos=qos, retain=retain)
    assert [message.retain for message in await plain.messages()] == [False]
    assert [message.retain for message in await as_published.messages()] == [retain]


async def test_a_retained_message_has_retain_set_for_a_new_subscription(
    house: House, publisher: Wire
) -> None:
    await publisher.publish("a", qos=1, retain=True)
    wire = await house.client("c")
    await wire.subscribe("a", 1, retain_as_published=False)
    assert [message.retain for message in await wire.messages()] == [True]


async def test_a_retained_message_that_has_expired_is_not_sent(
    house: House, publisher: Wire
) -> None:
    await publisher.publish("a", retain=True, properties={c.MESSAGE_EXPIRY_INTERVAL: 10})
    await house.advance(4)
    (message,) = await retained(house)
    assert message.properties == {c.MESSAGE_EXPIRY_INTERVAL: 6}
    await house.advance(7)
    assert await retained(house) == []


async def test_what_the_client_may_not_have_is_not_sent_from_what_is_retained(
    house: House, publisher: Wire
) -> None:
    await publisher.publish("secret/a", retain=True)
    await publisher.publish("free/a", retain=True)
    wire = await house.client("c", username="limited", password=b"secret")
    assert await wire.subscribe("#") == c.NOT_AUTHORIZED
    await wire.subscribe("free/#")
    assert [message.topic_name for message in await wire.messages()] == ["free/a"]
