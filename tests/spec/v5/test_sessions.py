"""MQTT 5.0 §3.1.2.11.2, §4.1: what a session holds, and how long."""

import pytest

from fleetwire.broker.broker import Limits
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Properties, Publish
from tests.spec.wire import House, MakeHouse

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 100}


async def is_kept(house: House, client_id: str = "c") -> bool:
    """Say whether there is a session, by taking it up."""
    wire = await house.wire()
    return (await wire.connect(client_id, clean=False)).session_present


@pytest.mark.spec("MQTT-4.1.0-1")
async def test_a_session_does_not_expire_while_its_client_is_there(house: House) -> None:
    wire = await house.client("c", properties={c.SESSION_EXPIRY_INTERVAL: 1})
    await wire.subscribe("a", 1)
    await house.advance(86_400)
    await wire.publish("a", qos=1)
    assert len(await wire.messages()) == 1
    await wire.cut()
    assert await is_kept(house)


@pytest.mark.spec("MQTT-4.1.0-2")
@pytest.mark.over_the_wire
@pytest.mark.parametrize(("waited", "kept"), [(99, True), (101, False)])
async def test_a_session_ends_with_its_expiry(house: House, waited: int, kept: bool) -> None:
    wire = await house.client("c", properties=KEPT)
    await wire.subscribe("a", 1)
    await wire.cut()
    await house.advance(waited)
    assert await is_kept(house) == kept


@pytest.mark.spec("MQTT-4.1.0-2")
async def test_a_session_that_has_expired_is_gone_also_between_two_ticks(house: House) -> None:
    wire = await house.client("c", properties=KEPT)
    await wire.cut()
    house.clock.seconds += 101  # and nobody has looked since
    assert not await is_kept(house)


@pytest.mark.spec("MQTT-4.1.0-2", "MQTT-3.1.2-23")
@pytest.mark.parametrize("properties", [{}, {c.SESSION_EXPIRY_INTERVAL: 0}])
async def test_without_expiry_nothing_stays(house: House, properties: Properties) -> None:
    wire = await house.client("c", properties=properties)
    await wire.subscribe("a", 1)
    await wire.cut()
    await (await house.client("publisher")).publish("a", qos=1)
    assert not await is_kept(house)
    assert await (await house.client("c", clean=False)).rest() == []


async def test_an_expiry_of_all_ones_never_ends(make_house: MakeHouse) -> None:
    house = await make_house(limits=Limits(session_expiry_s=0xFFFFFFFF))
    wire = await house.client("c", properties={c.SESSION_EXPIRY_INTERVAL: 0xFFFFFFFF})
    await wire.cut()
    await house.advance(200 * 365 * 86_400)
    assert await is_kept(house)


@pytest.mark.spec("MQTT-3.1.2-23")
async def test_a_session_holds_all_that_it_must(house: House) -> None:
    wire, publisher = await house.client("c", properties=KEPT), await house.client("publisher")
    await wire.subscribe("a", 2, identifier=5)
    await publisher.publish("a", b"sent", 1)
    await publisher.publish("a", b"released", 2)
    sent, released = await wire.messages()
    wire.send(Ack(c.PUBREC, released.packet_id))
    await wire.rest()
    wire.send(Publish("b", b"received", 2, packet_id=9))
    assert [packet.type for packet in await wire.rest()] == [c.PUBREC]
    await wire.cut()
    await publisher.publish("a", b"queued", 2)
    await publisher.subscribe("b", 2)
    wire = await house.client("c", clean=False, properties=KEPT)
    packets = await wire.rest()
    (pubrel,) = [packet for packet in packets if not isinstance(packet, Publish)]
    again, queued = [packet for packet in packets if isinstance(packet, Publish)]
    assert (again.payload, again.packet_id, again.dup) == (b"sent", sent.packet_id, True)
    assert isinstance(pubrel, Ack)
    assert (pubrel.type, pubrel.packet_id) == (c.PUBREL, released.packet_id)
    assert (queued.payload, queued.dup) == (b"queued", False)
    assert queued.properties == {c.SUBSCRIPTION_IDENTIFIER: [5]}
    wire.send(Publish("b", b"received", 2, dup=True, packet_id=9), Ack(c.PUBREL, 9))
    assert [packet.type for packet in await wire.rest()] == [c.PUBREC, c.PUBCOMP]
    assert await publisher.messages() == []  # it was delivered the first time


async def test_retained_messages_are_no_part_of_a_session(house: House) -> None:
    wire = await house.client("c")
    await wire.publish("a", retain=True)
    await wire.disconnect()
    other = await house.client("other")
    await other.subscribe("a")
    assert len(await other.messages()) == 1
