"""MQTT 5.0 §4.8: shared subscriptions."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Properties, Publish
from tests.spec.wire import House, Wire

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 3600}
SHARED = "$share/group/a"


@pytest.fixture
async def publisher(house: House) -> Wire:
    return await house.client("publisher")


async def member(house: House, name: str, qos: int = 2, **more: object) -> Wire:
    wire = await house.client(name, properties=KEPT, **more)
    assert await wire.subscribe(SHARED, qos) == qos
    return wire


@pytest.mark.spec("MQTT-4.8.2-1", "MQTT-4.8.2-2")
@pytest.mark.parametrize(
    "topic_filter",
    ["$share", "$share/", "$share//a", "$share/g", "$share/g/", "$share/g+/a", "$share/#/a",
     "$share/+/a", "$share/g#/a"],
)  # fmt: skip
async def test_a_shared_subscription_of_the_wrong_form_is_refused(
    house: House, topic_filter: str
) -> None:
    wire = await house.client()
    code = await wire.subscribe(topic_filter, 1)
    assert code in (c.TOPIC_FILTER_INVALID, c.NOT_AUTHORIZED)
    assert await wire.is_alive()


@pytest.mark.spec("MQTT-4.8.2-1")
@pytest.mark.parametrize("name", ["g", "\u00e4", "a b", "$", "x" * 1000])
async def test_a_share_name_may_be_any_other_text(house: House, publisher: Wire, name: str) -> None:
    wire = await house.client()
    assert await wire.subscribe(f"$share/{name}/a/+/#", 1) == 1
    await publisher.publish("a/b/c", qos=1)
    assert [message.topic_name for message in await wire.messages()] == ["a/b/c"]


@pytest.mark.over_the_wire
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_each_message_goes_to_one_member_of_a_group(house: House, qos: int) -> None:
    members = [await member(house, f"member {number}") for number in range(3)]
    other = await house.client("other")
    await other.subscribe("$share/other/a", 2)
    plain = await house.client("plain")
    await plain.subscribe("a", 2)
    publisher = await house.client("publisher")
    for number in range(9):
        await publisher.publish("a", str(number).encode(), qos)
    shares = [[message.payload for message in await wire.messages()] for wire in members]
    everything = [str(number).encode() for number in range(9)]
    assert sorted(each for share in shares for each in share) == everything
    assert [message.payload for message in await other.messages()] == everything
    assert [message.payload for message in await plain.messages()] == everything
    assert all(shares), "nobody is left out"


@pytest.mark.spec("MQTT-4.8.2-3")
@pytest.mark.parametrize("granted", [0, 1, 2])
async def test_a_member_gets_the_qos_it_was_granted(
    house: House, publisher: Wire, granted: int
) -> None:
    wire = await member(house, "c", granted)
    for qos in range(3):
        await publisher.publish("a", qos=qos)
        assert [message.qos for message in await wire.messages()] == [min(qos, granted)]


@pytest.mark.spec("MQTT-4.8.2-4")
@pytest.mark.parametrize("received", [False, True])
async def test_a_qos_2_message_under_way_is_finished_with_its_member(
    house: House, publisher: Wire, received: bool
) -> None:
    chosen = await member(house, "chosen")
    await publisher.publish("a", qos=2)
    (message,) = await chosen.messages()
    if received:
        chosen.send(Ack(c.PUBREC, message.packet_id))
        await chosen.rest()
    other = await member(house, "other")
    await chosen.cut()
    assert await other.rest() == []
    chosen = await house.client("chosen", clean=False, properties=KEPT)
    (again,) = await chosen.rest()
    assert again.type == (c.PUBREL if received else c.PUBLISH)
    assert getattr(again, "packet_id", 0) == message.packet_id


@pytest.mark.spec("MQTT-4.8.2-5")
async def test_a_qos_2_message_under_way_is_given_to_nobody_else(
    house: House, publisher: Wire
) -> None:
    chosen = await member(house, "chosen")
    await publisher.publish("a", qos=2)
    assert len(await chosen.messages()) == 1
    other = await member(house, "other")
    await chosen.cut()
    await house.advance(4000)
    assert await other.rest() == []


async def test_a_qos_1_message_under_way_goes_to_another_member(
    house: House, publisher: Wire
) -> None:
    chosen = await member(house, "chosen")
    await publisher.publish("a", b"x", 1)
    assert len(await chosen.messages()) == 1
    other = await member(house, "other")
    await chosen.cut()
    assert [message.payload for message in await other.messages()] == [b"x"]
    assert await (await house.client("chosen", clean=False, properties=KEPT)).rest() == []


@pytest.mark.spec("MQTT-4.8.2-6")
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_that_a_member_refuses_goes_to_nobody_else(
    house: House, publisher: Wire, qos: int
) -> None:
    chosen = await member(house, "chosen")
    await publisher.publish("a", qos=qos)
    (message,) = await chosen.messages()
    other = await member(house, "other")
    chosen.send(Ack(c.PUBACK if qos == 1 else c.PUBREC, message.packet_id, 0x80))
    await chosen.rest()
    await chosen.cut()
    assert await other.rest() == []


async def test_a_message_for_a_group_waits_if_all_its_members_are_away(
    house: House, publisher: Wire
) -> None:
    for name in ("one", "two"):
        await (await member(house, name)).cut()
    assert await publisher.publish("a", b"x", 1) == 0
    found = []
    for name in ("one", "two"):
        wire = await house.client(name, clean=False, properties=KEPT)
        found += [message.payload for message in await wire.messages()]
    assert found == [b"x"]


async def test_connected_members_come_before_those_who_are_away(
    house: House, publisher: Wire
) -> None:
    away, here = await member(house, "away"), await member(house, "here")
    await away.cut()
    for number in range(4):
        await publisher.publish("a", str(number).encode(), 1)
    assert len(await here.messages()) == 4


async def test_no_retained_messages_come_with_a_shared_subscription(
    house: House, publisher: Wire
) -> None:
    await publisher.publish("a", retain=True)
    assert await (await member(house, "c")).rest() == []


async def test_a_member_that_subscribes_plainly_too_gets_both(
    house: House, publisher: Wire
) -> None:
    wire = await member(house, "c")
    await wire.subscribe("a", 1, identifier=3)
    await publisher.publish("a", qos=1)
    assert len(await wire.messages()) == 2


async def test_a_publisher_may_be_a_member(house: House) -> None:
    wire = await member(house, "c")
    wire.send(Publish("a", b"x", 1, packet_id=1))
    assert sorted(packet.type for packet in await wire.rest()) == [c.PUBLISH, c.PUBACK]
