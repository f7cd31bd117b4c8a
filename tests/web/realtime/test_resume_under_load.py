"""A reader that loses its connection again and again, and resumes by cursor."""

import asyncio
import json
import random
import time

import paho.mqtt.client as mqtt
import pytest

from tests.house import House, Login
from tests.web.realtime.talk import CHANNELS, following

DISCONNECTS = 50
EVENTS_PER_S = 2_000
EVENTS = 20_000
IN_FLIGHT = 500
WISH = {"devices": ["medical/load"], "events": ["device.data.received"], "snapshot": "false"}


def publish(house: House, login: Login) -> float:
    """Publish EVENTS readings at EVENTS_PER_S, each with QoS 1; return how long it took in s."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="load")
    client.username_pw_set(*login)
    client.max_inflight_messages_set(IN_FLIGHT)
    client.connect("127.0.0.1", house.mqtt_port)
    client.loop_start()
    began = time.monotonic()
    for number in range(EVENTS):
        ahead = number / EVENTS_PER_S - (time.monotonic() - began)
        if ahead > 0.01:
            time.sleep(ahead)
        body = {"device_id": "load", "metric_type": "n", "value": number, "timestamp": number}
        last = client.publish("devices/load/data", json.dumps(body), qos=1)
    last.wait_for_publish(20)
    took = time.monotonic() - began
    client.disconnect()
    client.loop_stop()
    return took


@pytest.mark.slow
async def test_a_reader_that_disconnects_fifty_times_sees_every_event_once_in_order(
    house: House,
) -> None:
    login = house.register_device("load")
    token = house.login()
    turns = random.Random(4)  # the same every time
    publishing = asyncio.create_task(asyncio.to_thread(publish, house, login))
    seen: list[int] = []
    cursors: list[int] = []
    connections = 0
    async with asyncio.timeout(40):
        while len(seen) < EVENTS:
            channel = CHANNELS[connections % len(CHANNELS)]
            connections += 1
            wanted = turns.randint(1, 2 * EVENTS // DISCONNECTS - 100)
            until = len(seen) + wanted if connections <= DISCONNECTS else EVENTS
            wish = dict(WISH, since=cursors[-1] if cursors else 0)
            if channel != "sse":
                wish["snapshot"] = False
            async with following(channel, house.url, token, **wish) as follower:
                while len(seen) < until:
                    told = await follower.next()
                    assert told["type"] in ("subscribed", "live", "events"), told
                    for event in told.get("events", [])[: until - len(seen)]:
                        seen.append(event["data"]["value"])
                        cursors.append(event["cursor"])
    took = await publishing
    assert connections > DISCONNECTS
    assert seen == list(range(EVENTS))
    assert cursors == sorted(set(cursors))
    assert EVENTS / took > EVENTS_PER_S / 2, "the load was not there"
