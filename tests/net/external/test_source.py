"""The bridge to the broker where devices are, between two brokers on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleetwire.broker.delivery import Delivery
from fleetwire.broker.takers import Taker
from fleetwire.net.bridge.loops import HOPS
from fleetwire.net.external.plan import NOBODY, SOURCE, SourcePlan, distinct, overlap, rules
from fleetwire.net.external.source import ExternalSource
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish
from tests.net.bridging import HOST, Place, until

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


class Stored(Taker):
    """Takes messages as the road does, and releases their tickets when it is told to."""

    holds_tickets = True

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    @property
    def texts(self) -> list[str]:
        return [each.publish.payload.decode() for each in self.deliveries]

    def take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def commit(self) -> None:
        for each in self.deliveries:
            if each.ticket is not None:
                each.ticket.release(0)


class World:
    """Here is this server; devices are there."""

    def __init__(self) -> None:
        self.here = Place("here")
        self.there = Place("there")
        self.road = Stored()

    async def connect(self, *filters: str, **more: Any) -> ExternalSource:
        self.here.broker.tree.remove_taker("devices/+/data", self.road)
        for each in filters:
            self.here.broker.tree.add_taker(each, self.road)
        plan = SourcePlan(SOURCE, "mqtt", HOST, self.there.port, topics=rules(filters), **more)
        bridges = self.here.bridge(plan)
        await self.here.until_connected(SOURCE)
        assert bridges.source is not None
        return bridges.source

    def subscriptions(self) -> list[str]:
        return sorted(self.there.session().subscriptions)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.here.start()
    await world.there.start()
    yield world
    await world.here.close()
    await world.there.close()


class Told:
    """What became of a command."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def delivered(self) -> None:
        self.words.append("delivered")

    def lost(self, reason: str) -> None:
        self.words.append(reason)


def test_filters_that_others_cover_are_not_asked_for() -> None:
    assert distinct(["a/+/b", "a/#", "c", "c", "+/d"]) == ["+/d", "a/#", "c"]


@pytest.mark.parametrize(
    ("one", "other", "is_so"),
    [
        ("a/+", "+/b", True),
        ("a/+", "b/+", False),
        ("a/#", "a", True),
        ("a/b", "a", False),
        ("#", "x/y", True),
        ("a/+/c", "a/b/#", True),
        ("a/+", "a/b/c", False),
    ],
)
def test_which_filters_have_topics_in_common(one: str, other: str, is_so: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is is_so


@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_message_is_acknowledged_when_its_ticket_is_released(
    world: World, version: str, qos: int
) -> None:
    await world.connect("devices/+/data", version=version)
    ear = await world.there.ear()
    await ear.client.publish("devices/a/data", b"1", qos)
    await until(lambda: world.road.texts == ["1"])
    session = world.there.session()
    await asyncio.sleep(0.05)
    assert len(session.inflight) == 1
    world.road.commit()
    await until(lambda: not session.inflight)


async def test_subscriptions_are_shared_where_the_broker_can(world: World) -> None:
    source = await world.connect("devices/+/data", version="5", share="ward")
    assert world.subscriptions() == ["$share/ward/devices/+/data"]
    assert source.is_shared


async def test_below_mqtt_5_subscriptions_are_plain(world: World) -> None:
    source = await world.connect("devices/+/data", version="3.1.1", share="ward")
    assert world.subscriptions() == ["devices/+/data"]
    assert not source.is_shared


@pytest.mark.parametrize(("first", "then"), [("", "ward"), ("fleetwire", ""), ("fleetwire", "x")])
async def test_a_session_has_its_subscriptions_in_one_form_only(
    world: World, first: str, then: str
) -> None:
    await world.connect("devices/+/data", version="5", share=first)
    assert world.here.bridges is not None
    await world.here.bridges.close()
    await world.connect("devices/+/data", version="5", share=then)
    prefix = f"$share/{then}/" if then else ""
    assert world.subscriptions() == [f"{prefix}devices/+/data"]


@VERSIONS
async def test_what_was_retained_before_says_nothing_of_now(world: World, version: str) -> None:
    ear = await world.there.ear()
    await ear.client.publish("devices/a/data", b"old", 1, retain=True)
    await world.connect("devices/+/data", version=version)
    await ear.client.publish("devices/a/data", b"new", 1, retain=True)
    await until(lambda: world.road.texts == ["new"])
    assert len(world.here.broker.retained) == 1  # the bridge's own state under $SYS


@VERSIONS
@pytest.mark.parametrize("share", ["", "ward"])
async def test_what_the_house_says_goes_out_and_does_not_come_back(
    world: World, version: str, share: str
) -> None:
    ear = await world.there.ear("devices/#")
    await world.connect("devices/+/data", version=version, share=share)
    world.here.say("devices/a/data", "ours")
    world.here.say("devices/a/commands", "restart")
    await ear.until(2)
    assert ear.texts == ["ours", "restart"]
    hops = [HOPS in str(each.properties) for each in ear.heard]
    # Only what could come back carries where it has been.
    assert hops == [version == "5", False]
    await ear.client.publish("devices/a/data", b"theirs", 1)
    await until(lambda: "theirs" in world.road.texts)
    assert world.road.texts == ["theirs"]


async def test_a_command_is_delivered_when_the_broker_has_it_for_somebody(world: World) -> None:
    ear = await world.there.ear("devices/a/commands")
    source = await world.connect("devices/+/data", version="5")
    told = Told()
    command = Publish("devices/a/commands", b"restart", 1)
    assert source.send_to_device(command, 0, told.delivered, told.lost)
    await ear.until(1)
    await until(lambda: told.words == ["delivered"])


async def test_a_command_for_which_nobody_listens_is_lost(world: World) -> None:
    source = await world.connect("devices/+/data", version="5")
    told = Told()
    command = Publish("devices/a/commands", b"restart", 1)
    assert source.send_to_device(command, 0, told.delivered, told.lost)
    await until(lambda: told.words == [NOBODY])


async def test_while_the_way_is_closed_no_command_is_taken(world: World) -> None:
    source = await world.connect("devices/+/data", version="5")
    turns: list[bool] = []
    source.turned = turns.append
    await world.there.stop()
    await world.here.until_away(SOURCE)
    told = Told()
    command = Publish("devices/a/commands", b"restart", 1)
    assert not source.send_to_device(command, 0, told.delivered, told.lost)
    await world.there.start()
    await world.here.until_connected(SOURCE)
    assert turns == [False, True]
    assert source.send_to_device(command, 0, told.delivered, told.lost)


async def test_nothing_is_read_while_the_road_holds(world: World) -> None:
    await world.connect("devices/+/data", version="5")
    assert world.here.bridges is not None
    world.here.bridges.hold()
    ear = await world.there.ear()
    for number in range(3):
        await ear.client.publish("devices/a/data", str(number).encode(), 1)
    await asyncio.sleep(0.05)
    assert world.road.texts == []
    world.here.bridges.resume()
    await until(lambda: world.road.texts == ["0", "1", "2"])


async def test_a_refused_subscription_shows_in_the_status(world: World) -> None:
    world.there.broker.limits.subscriptions = 1
    await world.connect("devices/+/data", "other/+/data", version="5")
    status = world.here.status(SOURCE)
    assert status.state == "connected"
    assert status.reason == "the broker refuses subscriptions: other/+/data (Quota exceeded)"


async def test_what_a_bridge_brought_from_a_third_broker_does_not_go_out(world: World) -> None:
    ear = await world.there.ear("#")
    await world.connect("devices/+/data", version="5")
    brought: Properties = {c.USER_PROPERTY: [(HOPS, "third")]}
    world.here.say("devices/a/data", "brought", properties=brought)
    world.here.say("devices/a/commands", "ours")
    await ear.until(1)
    assert ear.texts == ["ours"]
    await until(lambda: world.here.status(SOURCE).queued == 0)
    assert world.here.status(SOURCE).counts.dropped == {}
