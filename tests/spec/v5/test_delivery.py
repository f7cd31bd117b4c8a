"""MQTT 5.0 §4.3 to §4.6: the three exchanges, sending again, order."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Packet, Properties, Publish
from tests.spec.wire import House, Wire

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 3600}


@pytest.fixture
async def publisher(house: House) -> Wire:
    return await house.client("publisher")


@pytest.fixture
async def wire(house: House) -> Wire:
    """A persistent client that listens to a/# with QoS 2."""
    wire = await house.client("c", properties=KEPT)
    await wire.subscribe("a/#", 2)
    return wire


async def back(house: House) -> Wire:
    return await house.client("c", clean=False, properties=KEPT)


def told(packets: list[Packet]) -> list[tuple[int, int]]:
    """Return type and packet identifier of each."""
    return [(packet.type, getattr(packet, "packet_id", 0)) for packet in packets]


@pytest.mark.spec("MQTT-4.3.1-1")
@pytest.mark.over_the_wire
async def test_qos_0_goes_once_and_unanswered(house: House) -> None:
    wire, publisher = await house.client("c", properties=KEPT), await house.client("publisher")
    await wire.subscribe("a", 0)
    publisher.send(Publish("a", b"x"))
    assert await publisher.rest() == []
    (message,) = await wire.messages()
    assert (message.qos, message.dup, message.packet_id) == (0, False, 0)
    await wire.cut()
    assert await (await back(house)).rest() == []


@pytest.mark.spec("MQTT-4.3.2-3", "MQTT-4.4.0-1")
async def test_a_qos_1_message_is_sent_again_until_its_puback(
    house: House, publisher: Wire, wire: Wire
) -> None:
    await publisher.publish("a/1", qos=1)
    (first,) = await wire.messages()
    for _ in range(3):
        await wire.cut()
        wire = await back(house)
        (again,) = await wire.messages()
        assert (again.packet_id, again.dup) == (first.packet_id, True)
    wire.send(Ack(c.PUBACK, first.packet_id))
    await wire.cut()
    assert await (await back(house)).rest() == []


@pytest.mark.spec("MQTT-4.3.2-5")
@pytest.mark.parametrize("dup", [False, True])
async def test_after_puback_the_same_packet_identifier_is_a_new_message(
    house: House, wire: Wire, dup: bool
) -> None:
    publisher = await house.client("publisher")
    await publisher.publish("a/1", b"one", 1, packet_id=5)
    await publisher.publish("a/1", b"two", 1, packet_id=5, dup=dup)
    assert [message.payload for message in await wire.messages()] == [b"one", b"two"]


@pytest.mark.spec("MQTT-4.3.3-3", "MQTT-4.4.0-1")
async def test_a_qos_2_message_is_sent_again_until_its_pubrec(
    house: House, publisher: Wire, wire: Wire
) -> None:
    await publisher.publish("a/1", qos=2)
    (first,) = await wire.messages()
    await wire.cut()
    (again,) = await (await back(house)).messages()
    assert (again.packet_id, again.dup, again.qos) == (first.packet_id, True, 2)


@pytest.mark.spec("MQTT-4.3.3-4", "MQTT-2.2.1-5")
@pytest.mark.parametrize("reason_code", [0x00, 0x10])
async def test_pubrec_is_answered_with_pubrel(
    house: House, publisher: Wire, wire: Wire, reason_code: int
) -> None:
    await publisher.publish("a/1", qos=2)
    (message,) = await wire.messages()
    wire.send(Ack(c.PUBREC, message.packet_id, reason_code))
    assert told(await wire.rest()) == [(c.PUBREL, message.packet_id)]


@pytest.mark.spec("MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.4.0-1")
@pytest.mark.over_the_wire
async def test_after_pubrec_it_is_pubrel_that_is_sent_again(house: House) -> None:
    wire, publisher = await house.client("c", properties=KEPT), await house.client("publisher")
    await wire.subscribe("a/#", 2)
    await publisher.publish("a/1", qos=2)
    (message,) = await wire.messages()
    wire.send(Ack(c.PUBREC, message.packet_id))
    expected = [(c.PUBREL, message.packet_id)]
    assert told(await wire.rest()) == expected
    for _ in range(2):
        await wire.cut()
        wire = await back(house)
        assert told(await wire.rest()) == expected
    wire.send(Ack(c.PUBCOMP, message.packet_id))
    await wire.barrier()
    await wire.cut()
    assert await (await back(house)).rest() == []


@pytest.mark.spec("MQTT-4.3.3-7")
async def test_what_was_sent_does_not_expire(house: House, publisher: Wire, wire: Wire) -> None:
    await publisher.publish("a/1", qos=2, properties={c.MESSAGE_EXPIRY_INTERVAL: 10})
    (message,) = await wire.messages()
    await house.advance(60)
    await wire.cut()
    wire = await back(house)
    assert told(await wire.rest()) == [(c.PUBLISH, message.packet_id)]
    wire.send(Ack(c.PUBREC, message.packet_id))
    assert told(await wire.rest()) == [(c.PUBREL, message.packet_id)]


@pytest.mark.spec("MQTT-4.3.3-9")
async def test_after_a_pubrec_that_refuses_the_packet_identifier_is_free(house: House) -> None:
    wire = await house.client(username="limited", password=b"secret")
    await wire.subscribe("free/a", 2)
    assert await wire.publish("secret/a", qos=2, packet_id=5) == c.NOT_AUTHORIZED
    assert await wire.publish("free/a", b"new", 2, packet_id=5) == 0
    assert [message.payload for message in await wire.messages()] == [b"new"]


@pytest.mark.spec("MQTT-4.3.3-10")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("again", ["at once", "on a new connection"])
async def test_a_qos_2_message_that_comes_twice_is_delivered_once(house: House, again: str) -> None:
    listener = await house.client("listener")
    await listener.subscribe("b", 2)
    wire = await house.client("c", properties=KEPT)
    wire.send(Publish("b", b"x", 2, packet_id=5))
    assert told(await wire.rest()) == [(c.PUBREC, 5)]
    if again != "at once":
        await wire.cut()
        wire = await back(house)
    for _ in range(3):
        wire.send(Publish("b", b"x", 2, dup=True, packet_id=5))
        assert told(await wire.rest()) == [(c.PUBREC, 5)]
    wire.send(Ack(c.PUBREL, 5))
    assert told(await wire.rest()) == [(c.PUBCOMP, 5)]
    assert len(await listener.messages()) == 1


@pytest.mark.spec("MQTT-4.3.3-12")
@pytest.mark.parametrize("dup", [False, True])
async def test_after_pubcomp_the_same_packet_identifier_is_a_new_message(
    house: House, wire: Wire, dup: bool
) -> None:
    publisher = await house.client("publisher")
    await publisher.publish("a/1", b"one", 2, packet_id=5)
    await publisher.publish("a/1", b"two", 2, packet_id=5, dup=dup)
    assert [message.payload for message in await wire.messages()] == [b"one", b"two"]


@pytest.mark.spec("MQTT-4.3.3-13")
async def test_an_exchange_goes_on_when_its_message_has_expired(house: House) -> None:
    publisher = await house.client("publisher")
    lifetime: Properties = {c.MESSAGE_EXPIRY_INTERVAL: 1}
    publisher.send(Publish("a", b"x", 2, packet_id=5, properties=lifetime))
    assert told(await publisher.rest()) == [(c.PUBREC, 5)]
    await house.advance(60)
    publisher.send(Publish("a", b"x", 2, dup=True, packet_id=5, properties=lifetime))
    publisher.send(Ack(c.PUBREL, 5))
    assert told(await publisher.rest()) == [(c.PUBREC, 5), (c.PUBCOMP, 5)]


@pytest.mark.spec("MQTT-4.4.0-1")
async def test_nothing_is_sent_again_on_the_same_connection(
    house: House, publisher: Wire, wire: Wire
) -> None:
    await publisher.publish("a/1", qos=1)
    await publisher.publish("a/1", qos=2)
    assert len(await wire.messages()) == 2
    await house.advance(86_400)
    assert await wire.rest() == []


@pytest.mark.spec("MQTT-4.4.0-2")
@pytest.mark.parametrize("qos", [1, 2])
async def test_what_was_refused_is_not_sent_again(
    house: House, publisher: Wire, wire: Wire, qos: int
) -> None:
    await publisher.publish("a/1", qos=qos)
    (message,) = await wire.messages()
    wire.send(Ack(c.PUBACK if qos == 1 else c.PUBREC, message.packet_id, c.QUOTA_EXCEEDED))
    assert await wire.rest() == []
    await wire.cut()
    assert await (await back(house)).rest() == []


@pytest.mark.spec("MQTT-4.5.0-1")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("qos", [1, 2])
async def test_an_accepted_message_is_in_each_session_that_matches(house: House, qos: int) -> None:
    names = [f"client {number}" for number in range(4)]
    for number, name in enumerate(names):
        wire = await house.client(name, properties=KEPT)
        await wire.subscribe("a/#" if number % 2 else "+/b", 2)
        if number < 2:
            await wire.cut()
    assert await (await house.client("publisher")).publish("a/b", b"x", qos) == 0
    for name in names:
        wire = await house.client(name, clean=False, properties=KEPT)
        assert [message.payload for message in await wire.messages()] == [b"x"]


@pytest.mark.spec("MQTT-4.6.0-1")
async def test_messages_are_sent_again_in_their_order(
    house: House, publisher: Wire, wire: Wire
) -> None:
    for number in range(20):
        await publisher.publish("a/1", str(number).encode(), 1 + number % 2)
    sent = await wire.messages()
    for message in sent[3:12:4]:  # some are finished, so that packet identifiers are free again
        assert message.qos == 2
        wire.send(Ack(c.PUBREC, message.packet_id), Ack(c.PUBCOMP, message.packet_id))
    await wire.rest()
    for number in range(20, 25):
        await publisher.publish("a/1", str(number).encode(), 1)
    await wire.messages()
    await wire.cut()
    again = [int(message.payload) for message in await (await back(house)).messages()]
    assert again == sorted(again)
    assert len(again) == 22


@pytest.mark.spec("MQTT-4.6.0-2", "MQTT-4.6.0-3")
@pytest.mark.over_the_wire
async def test_messages_are_acknowledged_in_their_order(house: House) -> None:
    publisher = await house.client("publisher")
    ids = [9, 3, 7, 1, 8]
    for qos, kind in ((1, c.PUBACK), (2, c.PUBREC)):
        publisher.send(*(Publish(f"a/{each}", b"x", qos, packet_id=each) for each in ids))
        assert told(await publisher.rest()) == [(kind, each) for each in ids]


@pytest.mark.spec("MQTT-4.6.0-4")
async def test_pubrel_comes_in_the_order_of_pubrec(
    house: House, publisher: Wire, wire: Wire
) -> None:
    for _ in range(4):
        await publisher.publish("a/1", qos=2)
    order = [message.packet_id for message in await wire.messages()][::-1]
    wire.send(*(Ack(c.PUBREC, each) for each in order))
    assert told(await wire.rest()) == [(c.PUBREL, each) for each in order]


@pytest.mark.spec("MQTT-4.6.0-5", "MQTT-4.6.0-6")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_messages_of_a_topic_keep_their_order(house: House, qos: int) -> None:
    wire = await house.client("c", properties={c.RECEIVE_MAXIMUM: 7})
    await wire.subscribe("a/#", qos)
    publisher = await house.client("publisher")
    count = 60
    for number in range(count):
        publisher.send(
            Publish("a/1", str(number).encode(), qos, packet_id=number + 1 if qos else 0)
        )
    await publisher.rest()
    seen: list[int] = []
    while messages := [each for each in await wire.rest() if isinstance(each, Publish)]:
        seen += [int(message.payload) for message in messages]
        for message in messages:
            if qos == 1:
                wire.send(Ack(c.PUBACK, message.packet_id))
            elif qos == 2:
                wire.send(Ack(c.PUBREC, message.packet_id), Ack(c.PUBCOMP, message.packet_id))
    assert seen == list(range(count))
