"""A client of a real server that stops reading its socket."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest

from tests.house import House
from tests.web.realtime.talk import CHANNELS, following

MESSAGES = 2_000
PAD = "x" * 20_000  # together more than sockets on both sides hold
WISH: dict[str, Any] = {"devices": ["slow"], "events": ["device.data.received"]}


@pytest.fixture(scope="module")
def house_with_small_buffers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server on which a reader may be 50 events behind."""
    environment = {"FLEETWIRE_REALTIME_BUFFER_EVENTS": "50"}
    house = House(tmp_path_factory.mktemp("house"), environment=environment)
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.mark.slow
async def test_a_client_that_stops_reading_is_coalesced_and_stalls_nobody(
    house_with_small_buffers: House,
) -> None:
    house = house_with_small_buffers
    login = house.register_device("slow")
    token = house.login()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="slow")
    client.username_pw_set(*login)
    client.connect("127.0.0.1", house.mqtt_port)
    client.loop_start()

    def publish() -> None:
        for number in range(MESSAGES):
            body = {"device_id": "slow", "metric_type": "n", "value": number, "pad": PAD}
            body["timestamp"] = number
            last = client.publish("devices/slow/data", json.dumps(body), qos=1)
        last.wait_for_publish(20)  # which is after the commit, whoever reads

    async def reads_late(channel: str, published: asyncio.Event, ready: asyncio.Barrier) -> None:
        async with following(channel, house.url, token, **WISH) as follower:
            await follower.until("live")
            await ready.wait()
            await published.wait()
            cursors: list[int] = []
            missed = 0
            value = -1
            async with asyncio.timeout(20):
                while value != MESSAGES - 1:
                    told = await follower.next()
                    if told["type"] == "lagged":
                        missed += told["lagged"]
                        assert told["since"] >= (cursors[-1] if cursors else 0)
                    for event in told.get("events", []):
                        cursors.append(event["cursor"])
                        value = event["data"]["value"]
        assert cursors == sorted(set(cursors))
        assert missed > 0, channel
        assert len(cursors) + missed == MESSAGES

    published, ready = asyncio.Event(), asyncio.Barrier(len(CHANNELS) + 1)
    async with asyncio.TaskGroup() as group:
        for channel in CHANNELS:
            group.create_task(reads_late(channel, published, ready))
        await ready.wait()
        await asyncio.to_thread(publish)
        published.set()
    client.disconnect()
    client.loop_stop()
