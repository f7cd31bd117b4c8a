"""A PUBLISH that is not allowed, from a client whose protocol has no reason codes (§3.3.5)."""

from collections.abc import Awaitable, Callable

import pytest

from fleetwire.broker.broker import Limits
from tests.octets import (
    connack,
    connect,
    puback,
    pubcomp,
    publish,
    pubrec,
    pubrel,
    suback,
    subscribe,
)
from tests.spec.v3.rig import Peer, Rig

USERNAME = 0x80


@pytest.fixture
async def strict(make_rig: Callable[..., Awaitable[Rig]]) -> Rig:
    """A house that disconnects for it."""
    return await make_rig(limits=Limits(denied_publish_disconnects=True))


@pytest.mark.spec311("MQTT-3.3.5-2")
@pytest.mark.parametrize("level", [3, 4])
async def test_it_is_recorded_and_then_acknowledged(rig: Rig, level: int) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("#", 0)), suback(1, 0))
    peer = await narrow(rig, level)
    await peer.says(publish("others/a", b"0"))
    await peer.says(publish("others/a", b"1", qos=1, packet_id=1))
    await peer.says(publish("others/a", b"2", qos=2, packet_id=2))
    await peer.hears_nothing()  # not before it is recorded
    assert rig.refusals.payloads == [b"0", b"1", b"2"]
    rig.refusals.release(1)
    await peer.hears(puback(1))
    rig.refusals.release(2)
    await peer.hears(pubrec(2))
    await peer.asks(pubrel(2), pubcomp(2))
    await peer.asks(publish("own/a", qos=1, packet_id=3), puback(3))  # what is allowed, goes on
    await watcher.hears(publish("own/a"))
    await watcher.hears_nothing()


@pytest.mark.spec311("MQTT-3.3.5-2")
async def test_nothing_of_it_is_retained(rig: Rig) -> None:
    peer = await narrow(rig)
    await peer.says(publish("others/a", b"x", retain=True))
    await peer.hears_nothing()
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("#", 0)), suback(1, 0))
    await watcher.hears_nothing()


@pytest.mark.spec311("MQTT-3.3.5-2")
async def test_its_sender_may_read_why_on_a_topic_of_its_own(rig: Rig) -> None:
    peer = await narrow(rig)
    topic = "$SYS/broker/clients/c/errors"
    await peer.asks(subscribe(1, (topic, 0)), suback(1, 0))
    await peer.says(publish("others/a", b"x"))
    reason = b"PUBLISH to 'others/a': narrow may not publish to this topic"
    await peer.hears(publish(topic, reason))


@pytest.mark.spec311("MQTT-3.3.5-2")
@pytest.mark.parametrize("level", [3, 4])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_by_setting_it_is_recorded_and_ends_the_connection(
    strict: Rig, level: int, qos: int
) -> None:
    peer = await narrow(strict, level)
    await peer.asks(publish("own/a", qos=1, packet_id=1), puback(1))
    await peer.says(publish("others/a", b"x", qos=qos, packet_id=2))
    await peer.ends()
    assert strict.refusals.payloads == [b"x"]


@pytest.mark.spec311("MQTT-3.3.5-2")
async def test_a_will_that_is_not_allowed_is_refused_at_the_door(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", "others/gone", "x", "narrow", flags=0x02 | 0x04 | USERNAME))
    await peer.ends(connack(5))


async def narrow(rig: Rig, level: int = 4) -> Peer:
    """Return a client that may publish below `own/` only."""
    peer = await rig.peer()
    name = "MQTT" if level == 4 else "MQIsdp"
    request = connect("c", "narrow", flags=0x02 | USERNAME, name=name, level=level, keep_alive=0)
    await peer.asks(request, connack())
    return peer
