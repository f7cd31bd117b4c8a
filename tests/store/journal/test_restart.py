"""A real server, killed or stopped: what it acknowledged, the next one still knows."""

import asyncio
from collections.abc import Callable

import pytest

from fleetwire.net.client import MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription
from tests.house import House

HOST = "127.0.0.1"
LASTING = {c.SESSION_EXPIRY_INTERVAL: 3600}
END = [
    pytest.param(House.kill, id="killed"),
    pytest.param(House.stop, id="stopped", marks=pytest.mark.slow),
]


async def restart(house: House, end: Callable[[House], None]) -> None:
    await asyncio.to_thread(end, house)
    await asyncio.to_thread(house.start)


async def take(client: MQTTClient, count: int) -> list[Publish]:
    taken: list[Publish] = []
    async with asyncio.timeout(10):
        async for publish in client.messages():
            taken.append(publish)
            if len(taken) == count:
                break
    return taken


@pytest.mark.parametrize("end", END)
async def test_a_subscriber_who_is_away_misses_nothing(
    house: House, end: Callable[[House], None]
) -> None:
    subscriber = MQTTClient("subscriber", properties=LASTING)
    await subscriber.connect(HOST, house.mqtt_port)
    await subscriber.subscribe(Subscription("t/#", 2))
    await subscriber.disconnect()
    publisher = MQTTClient("publisher")
    await publisher.connect(HOST, house.mqtt_port)
    sent = [(f"t/ü/{number}", b"%d" % number, 1 + number % 2) for number in range(100)]
    user_property = {c.USER_PROPERTY: [("b", "1"), ("a", "2")]}
    for topic_name, payload, qos in sent:
        await publisher.publish(topic_name, payload, qos, properties=dict(user_property))
    await publisher.disconnect()
    await restart(house, end)
    subscriber = MQTTClient("subscriber", clean_start=False, properties=LASTING)
    connack = await subscriber.connect(HOST, house.mqtt_port)
    assert connack.session_present
    taken = await take(subscriber, len(sent))
    for qos in (1, 2):  # the order is that of each QoS
        assert [(each.topic_name, each.payload, qos) for each in taken if each.qos == qos] == [
            each for each in sent if each[2] == qos
        ]
    assert all((each.properties or {}) == user_property for each in taken)
    await publisher_again(house, "t/later", b"and the subscription is still there")
    assert (await take(subscriber, 1))[0].topic_name == "t/later"
    await subscriber.disconnect()


async def publisher_again(house: House, topic_name: str, payload: bytes) -> None:
    publisher = MQTTClient("publisher")
    await publisher.connect(HOST, house.mqtt_port)
    await publisher.publish(topic_name, payload)
    await publisher.disconnect()


@pytest.mark.parametrize("end", END)
async def test_retained_messages_are_there_again(
    house: House, end: Callable[[House], None]
) -> None:
    client = MQTTClient("client")
    await client.connect(HOST, house.mqtt_port)
    await client.publish("r/1", b"older", 1, True)
    await client.publish("r/1", b"newer", 1, True)
    await client.publish("r/2", b"removed", 1, True)
    await client.publish("r/2", b"", 1, True)
    await client.disconnect()
    await restart(house, end)
    client = MQTTClient("client")
    await client.connect(HOST, house.mqtt_port)
    await client.subscribe(Subscription("r/#", 1))
    await client.publish("r/end", b"")
    taken = await take(client, 2)
    assert [(each.topic_name, each.payload, each.retain) for each in taken] == [
        ("r/1", b"newer", True),
        ("r/end", b"", False),
    ]
    await client.disconnect()


async def test_the_will_of_a_client_that_was_connected_goes_out_after_a_kill(
    house: House,
) -> None:
    watcher = MQTTClient("watcher", properties=LASTING)
    await watcher.connect(HOST, house.mqtt_port)
    await watcher.subscribe(Subscription("gone/#", 1))
    await watcher.disconnect()
    dying = MQTTClient("dying", will=Publish("gone/dying", b"power", 1))
    await dying.connect(HOST, house.mqtt_port)
    await dying.publish("t", b"so that its Will is stored with this", 1, True)
    await restart(house, House.kill)
    watcher = MQTTClient("watcher", clean_start=False, properties=LASTING)
    await watcher.connect(HOST, house.mqtt_port)
    (will,) = await take(watcher, 1)
    assert (will.topic_name, will.payload) == ("gone/dying", b"power")
    await watcher.disconnect()
