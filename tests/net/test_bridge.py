"""Bridges between brokers on real sockets."""

from collections.abc import AsyncIterator

import pytest

from fleetwire.broker.broker import Limits
from fleetwire.broker.delivery import Ticket
from fleetwire.broker.stats import SLOW_READER
from fleetwire.errors import SettingsError
from fleetwire.net.bridge.loops import HOPS
from fleetwire.net.bridge.plan import TopicRule
from fleetwire.net.client import ConnectionRefusedByServerError, MQTTClient
from fleetwire.net.server import ConnectionLimits
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties
from tests.net.bridging import HOST, Place, plan, until


class World:
    """Here is the place with the bridge, there the other broker."""

    def __init__(self) -> None:
        self.here = Place("here")
        self.there = Place("there")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.here.start()
    await world.there.start()
    yield world
    await world.here.close()
    await world.there.close()


VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_message_goes_out_under_its_remote_topic(
    world: World, version: str, qos: int
) -> None:
    ear = await world.there.ear("ward/#")
    rule = TopicRule("+/data", "out", 2, "local/", "ward/")
    world.here.bridge(plan(world.there.port, rule, version=version))
    await world.here.until_connected()
    mouth = await world.here.ear()
    assert await mouth.client.publish("local/bp-1/data", b"1", qos) == c.SUCCESS
    (heard,) = await ear.until(1)
    assert (heard.topic_name, heard.payload, heard.qos) == ("ward/bp-1/data", b"1", qos)


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_message_comes_in_under_its_local_topic(
    world: World, version: str, qos: int
) -> None:
    ear = await world.here.ear("hospital/#")
    rule = TopicRule("ward/#", "in", 2, "hospital/", "")
    world.here.bridge(plan(world.there.port, rule, version=version))
    await world.here.until_connected()
    mouth = await world.there.ear()
    await mouth.client.publish("ward/bp-1", b"1", qos)
    (heard,) = await ear.until(1)
    assert (heard.topic_name, heard.payload, heard.qos) == ("hospital/ward/bp-1", b"1", qos)


@VERSIONS
async def test_both_directions_do_not_echo(world: World, version: str) -> None:
    here, there = await world.here.ear("t/#"), await world.there.ear("t/#")
    world.here.bridge(plan(world.there.port, TopicRule("t/#", "both", 2), version=version))
    await world.here.until_connected()
    await here.client.publish("t/1", b"from here", 1)
    await there.until(1)
    await there.client.publish("t/2", b"from there", 1)
    await here.until(2)
    # What comes behind shows that nothing else has come before.
    await here.client.publish("t/end", b"end", 1)
    await there.until(3)
    await there.client.publish("t/end", b"end of there", 1)
    await here.until(4)
    assert here.texts == ["from here", "from there", "end", "end of there"]
    assert there.texts == ["from here", "from there", "end", "end of there"]
    dropped = world.here.status().counts.dropped
    assert dropped == ({} if version == "5" else {"echo": 2})


async def test_properties_of_mqtt_5_are_passed_on_in_order(world: World) -> None:
    ear = await world.there.ear("t")
    world.here.bridge(plan(world.there.port, TopicRule("t")))
    await world.here.until_connected()
    pairs = [("b", "1"), ("a", "2"), ("b", "3")]
    said: Properties = {
        c.PAYLOAD_FORMAT_INDICATOR: 1,
        c.MESSAGE_EXPIRY_INTERVAL: 100,
        c.CONTENT_TYPE: "text/plain",
        c.RESPONSE_TOPIC: "answers",
        c.CORRELATION_DATA: b"\x01\x02",
    }
    mouth = await world.here.ear()
    await mouth.client.publish("t", b"x", 1, properties={**said, c.USER_PROPERTY: pairs})
    (heard,) = await ear.until(1)
    assert heard.properties is not None
    assert heard.properties.pop(c.USER_PROPERTY) == [*pairs, (HOPS, "here-id")]
    assert 99 <= heard.properties.pop(c.MESSAGE_EXPIRY_INTERVAL) <= 100  # type: ignore[operator]
    del said[c.MESSAGE_EXPIRY_INTERVAL]
    assert heard.properties == said


async def test_retained_messages_stay_retained_both_ways(world: World) -> None:
    world.here.say("here/state", "on", retain=True)
    world.there.say("there/state", "off", retain=True)
    rules = TopicRule("here/#", "out"), TopicRule("there/#", "in")
    world.here.bridge(plan(world.there.port, *rules))
    await world.here.until_connected()
    before = await world.there.ear("here/#")
    assert (await before.until(1))[0].retain
    here = await world.here.ear("there/#")
    assert (await here.until(1))[0].retain
    world.here.say("here/state", "", retain=True)  # clears it
    await before.until(2)
    assert not world.there.broker.retained.find("here/#", 0)


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_is_published_while_the_other_side_is_away_arrives_once_it_is_back(
    world: World, qos: int
) -> None:
    world.here.bridge(plan(world.there.port, TopicRule("t/#", "out", qos)))
    await world.here.until_connected()
    await world.there.stop()
    await world.here.until_away()
    for number in range(50):
        world.here.say(f"t/{number}", str(number), qos)
    assert world.here.status().queued == 50
    await world.there.start()
    ear = await world.there.ear("t/#")
    world.here.say("t/end", "end", qos)
    await ear.until(51)
    assert ear.texts == [*[str(number) for number in range(50)], "end"]
    await until(lambda: world.here.status().queued == 0)
    assert world.here.status().counts.messages_out == 51


async def test_qos_2_crosses_exactly_once_over_cut_connections(world: World) -> None:
    ear = await world.there.ear("out/#")
    back = await world.here.ear("in/#")
    rules = TopicRule("out/#", "out", 2), TopicRule("in/#", "in", 2)
    world.here.bridge(plan(world.there.port, *rules))
    await world.here.until_connected()
    total = 400
    for number in range(total):
        world.here.say("out/x", str(number), 2)
        world.there.say("in/x", str(number), 2)
        if number % 80 == 79:
            await ear.until(number - 60)  # somewhere in the middle of it
            world.there.cut()
            await world.here.until_away()
            await world.here.until_connected()
    await ear.until(total)
    await back.until(total)
    assert ear.texts == back.texts == [str(number) for number in range(total)]


async def test_a_message_from_there_is_acknowledged_when_it_is_stored_here(world: World) -> None:
    held: list[Ticket] = []
    world.here.broker.journal.hold = held.append  # type: ignore[method-assign, assignment]  # a slow disk
    ear = await world.here.ear("t/#", keeps=True)
    world.here.bridge(plan(world.there.port, TopicRule("t/#", "in", 1)))
    await world.here.until_connected()
    world.there.say("t/1", "1")
    await ear.until(1)
    session = world.there.session()
    assert len(session.inflight) == 1
    held.pop().release(0)
    await until(lambda: not session.inflight)


async def test_a_message_is_gone_from_here_when_the_other_side_acknowledges(world: World) -> None:
    held: list[Ticket] = []
    world.there.broker.journal.hold = held.append  # type: ignore[method-assign, assignment]  # a slow disk
    ear = await world.there.ear("t/#", keeps=True)
    world.here.bridge(plan(world.there.port, TopicRule("t/#")))
    await world.here.until_connected()
    world.here.say("t/1", "1")
    await ear.until(1)
    assert world.here.status().queued == 1
    assert world.here.status().counts.messages_out == 0
    held.pop().release(0)
    await until(lambda: world.here.status().queued == 0)
    assert world.here.status().counts.messages_out == 1


async def test_the_queue_is_kept_before_the_first_contact(world: World) -> None:
    port = world.there.port
    await world.there.stop()
    world.here.bridge(plan(port, TopicRule("t/#")))
    await until(lambda: world.here.status().reason == f"Nothing listens at 127.0.0.1:{port}")
    world.here.say("t/1", "early")
    await world.there.start()
    ear = await world.there.ear("t/#")
    await ear.until(1)
    assert ear.texts == ["early"]


async def test_a_full_queue_is_counted() -> None:
    here, there = Place("here", Limits(queue_messages=3)), Place("there")
    await here.start()
    await there.start()
    port = there.port
    await there.stop()
    here.bridge(plan(port, TopicRule("t/#")))
    for number in range(5):
        here.say("t/x", str(number))
    await until(lambda: here.status().counts.dropped == {"queue full": 2})
    assert here.status().queued == 3
    await here.close()


async def test_what_has_qos_0_is_counted_while_the_other_side_is_away(world: World) -> None:
    port = world.there.port
    await world.there.stop()
    world.here.bridge(plan(port, TopicRule("t/#")))
    world.here.say("t/x", "lost", 0)
    assert world.here.broker.stats.dropped == {SLOW_READER: 1}


async def test_another_session_there_gets_the_subscriptions_and_retained_messages_again(
    world: World,
) -> None:
    rules = TopicRule("in/#", "in"), TopicRule("out/#")
    world.here.bridge(plan(world.there.port, *rules))
    world.here.say("out/state", "on", retain=True)
    await world.here.until_connected()
    await world.there.stop()
    await world.here.until_away()
    world.there.forget()
    await world.there.start()
    await world.here.until_connected()
    ear = await world.there.ear("out/#")
    await ear.until(1)
    back = await world.here.ear("in/#")
    world.there.say("in/1", "1")
    await back.until(1)


async def test_three_brokers_in_a_ring_do_not_circle() -> None:
    places = [Place(name) for name in "abc"]
    for place in places:
        await place.start()
    ears = [await place.ear("t/#") for place in places]
    for place, to in zip(places, [*places[1:], places[0]], strict=True):
        place.bridge(plan(to.port, TopicRule("t/#", "both", 1)))
    for place in places:
        await place.until_connected()
    for place in places:
        place.say("t/1", f"of {place.name}")
    # Two ways around lead to each; then it is over. What is counted as a loop ends each way.
    for ear in ears:
        await ear.until(3)
    await until(lambda: sum(p.status().queued for p in places) == 0)
    for place in places:
        place.say("t/2", "end")
    for ear in ears:
        await ear.until(6)
    await until(lambda: sum(p.status().queued for p in places) == 0)
    for place in places:
        assert place.status().counts.dropped.get("loop", 0) > 0
        await place.close()
    for ear in ears:
        assert len(ear.heard) <= 4 * 6
        assert {"of a", "of b", "of c", "end"} == set(ear.texts)


async def test_two_bridges_that_push_to_each_other_do_not_circle(world: World) -> None:
    here, there = await world.here.ear("t/#"), await world.there.ear("t/#")
    world.here.bridge(plan(world.there.port, TopicRule("t/#")))
    world.there.bridge(plan(world.here.port, TopicRule("t/#")))
    await world.here.until_connected()
    await world.there.until_connected()
    world.here.say("t/1", "1")
    await until(lambda: world.here.status().counts.dropped == {"loop": 1})
    await here.until(2)
    assert (here.texts, there.texts) == (["1", "1"], ["1"])


async def test_what_this_server_refuses_is_acknowledged_there_with_the_reason(
    world: World,
) -> None:
    world.here.broker.limits.topic_levels = 3
    world.here.bridge(plan(world.there.port, TopicRule("#", "in", 2, "a/")))
    await world.here.until_connected()
    for qos in (1, 2):
        world.there.say("1/2/3", "deep", qos)
    session = world.there.session()
    await until(lambda: not session.inflight and not session.queue)
    assert world.here.broker.stats.messages_refused == 2


async def test_a_message_too_large_for_the_other_side_is_dropped_and_counted(world: World) -> None:
    assert world.there.server is not None
    world.here.bridge(plan(world.there.port, TopicRule("t/#", "out", 2)))
    await world.here.until_connected()
    ear = await world.there.ear("t/#")
    for qos in (0, 1, 2):
        world.here.say("t/x", "x" * 2_000_000, qos)
    world.here.say("t/x", "small")
    await ear.until(1)
    assert ear.texts == ["small"]
    assert world.here.status().counts.dropped == {"too large": 3}
    await until(lambda: world.here.status().queued == 0)


async def test_more_than_the_receive_maximum_waits_its_turn(world: World) -> None:
    assert world.there.server is not None
    world.there.server.limits = ConnectionLimits(receive_maximum=2)
    ear = await world.there.ear("t/#")
    world.here.bridge(plan(world.there.port, TopicRule("t/#", "out", 2)))
    await world.here.until_connected()
    for number in range(100):
        world.here.say("t/x", str(number), 1 + number % 2)
    await ear.until(100)
    assert sorted(ear.texts, key=int) == [str(number) for number in range(100)]
    assert world.here.status().state == "connected"


async def test_an_ended_session_is_begun_anew(world: World) -> None:
    ear = await world.there.ear("t/#")
    world.here.bridge(plan(world.there.port, TopicRule("t/#")))
    await world.here.until_connected()
    session = world.here.broker.sessions["bridge/hub"]
    world.here.broker.end(session, c.ADMINISTRATIVE_ACTION, "by an administrator", 1)
    await world.here.until_away()
    await world.here.until_connected()
    world.here.say("t/1", "1")
    await ear.until(1)


async def test_nobody_else_can_have_the_session_of_a_bridge(world: World) -> None:
    port = world.there.port
    await world.there.stop()
    world.here.bridge(plan(port, TopicRule("t/#")))
    world.here.say("t/1", "1")
    thief = MQTTClient("bridge/hub", clean_start=True)
    with pytest.raises(ConnectionRefusedByServerError, match="in use by another identity"):
        await thief.connect(HOST, world.here.port)
    assert world.here.status().queued == 1


async def test_while_this_server_is_held_nothing_is_read(world: World) -> None:
    bridges = world.here.bridge(plan(world.there.port, TopicRule("t/#", "in")))
    await world.here.until_connected()
    ear = await world.here.ear("t/#")
    bridges.hold()
    world.there.say("t/1", "1")
    mouth = await world.there.ear("t/#")
    await mouth.client.publish("t/2", b"2", 1)
    assert len(world.there.session().inflight) == 2
    assert ear.heard == []
    bridges.resume()
    await ear.until(2)


async def test_a_bridge_that_is_gone_from_the_settings_leaves_no_session(world: World) -> None:
    bridges = world.here.bridge(plan(world.there.port, TopicRule("t/#")))
    await world.here.until_connected()
    await bridges.close()
    assert "bridge/hub" in world.here.broker.sessions
    world.here.bridge()
    assert "bridge/hub" not in world.here.broker.sessions


async def test_changed_rules_change_the_subscriptions(world: World) -> None:
    bridges = world.here.bridge(plan(world.there.port, TopicRule("old/#"), TopicRule("t/#")))
    await bridges.close()
    world.here.bridge(plan(world.there.port, TopicRule("t/#", "out", 2), TopicRule("new/#")))
    subscriptions = world.here.broker.sessions["bridge/hub"].subscriptions
    assert {each: of[0].qos for each, of in subscriptions.items()} == {"t/#": 2, "new/#": 1}


async def test_a_bridge_needs_sessions_that_last() -> None:
    place = await Place("here", Limits(session_expiry_s=0)).start()
    with pytest.raises(SettingsError, match="session_expiry_s"):
        place.bridge(plan(1, TopicRule("t/#")))
    await place.close()


async def test_a_subscription_that_is_impossible_here_is_told_at_the_start() -> None:
    place = await Place("here", Limits(topic_levels=5)).start()
    with pytest.raises(SettingsError, match=r"Bridge hub: 'a/b/c/d/e/f' cannot be subscribed to"):
        place.bridge(plan(1, TopicRule("a/b/c/d/e/f")))
    await place.close()


async def test_the_password_is_masked_wherever_a_plan_is_shown(world: World) -> None:
    secret = plan(1, username="me", password="hush")
    assert "hush" not in f"{secret} {secret!r} {secret.url}"
    assert secret.url == "mqtt://me:********@127.0.0.1:1"
