"""A committed reading gets its run, and gets it once, also when the server is killed."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fleetwire.net.client import ClientError, MQTTClient
from tests.house import House, Login

MESSAGES = 400
KILLS = 5
LONGEST_LIFE_S = 0.8
SEED = 6
SETTLED_WITHIN_S = 30.0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    try:
        house.start()
        yield house
    finally:
        house.close()


def make_chain(house: House) -> None:
    leaf = {"sourceType": "sensor", "UUID": "bench-1", "key": "load", "operator": ">", "value": -1}
    body = {
        "app": "medical",
        "id": "each",
        "name": "Each value",
        "nodes": [
            {"id": "f", "type": "filter", "config": leaf, "next": "a"},
            {"id": "a", "type": "action", "config": {"type": "ALARM", "alarm": {"name": "each"}}},
        ],
    }
    assert house.http(house.url).post("/api/v1/rules", json=body).status_code == 201


async def publish_all(house: House, login: Login) -> None:
    """Publish every message until it is acknowledged."""
    left = list(range(MESSAGES))
    while left:
        client = MQTTClient("bench-1", username=login.username, password=login.password)
        try:
            async with asyncio.timeout(5):
                await client.connect("127.0.0.1", house.mqtt_port)
            while left:
                body = {
                    "device_id": "bench-1",
                    "metric_type": "load",
                    "timestamp": 1_700_000_000_000 + left[0],
                    "value": left[0],
                    "unit": "{step}",
                }
                async with asyncio.timeout(5):
                    await client.publish("devices/bench-1/data", msgspec.json.encode(body), qos=1)
                left.pop(0)
                await asyncio.sleep(0.005)  # so that it is spread over the kills
        except (ClientError, OSError, TimeoutError):
            await asyncio.sleep(0.02)
        finally:
            if client.is_connected:
                await client.disconnect()


async def settled(house: House) -> list[int]:
    """Return the readings once each of them has been dealt with."""
    async with asyncio.timeout(SETTLED_WITHIN_S):
        while True:
            ids = [id for (id,) in house.select("SELECT id FROM readings ORDER BY id")]
            position = house.select("SELECT cursor FROM rule_position")
            if position and position[0][0] >= ids[-1]:
                return ids
            await asyncio.sleep(0.2)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_over_five_kills_each_reading_has_one_run_and_one_alarm(house: House) -> None:
    login = house.register_device("bench-1")
    make_chain(house)
    moments = random.Random(SEED)
    publishing = asyncio.create_task(publish_all(house, login))
    for _ in range(KILLS):
        # Not a wait for something: this is the random moment.
        await asyncio.sleep(moments.uniform(0.1, LONGEST_LIFE_S))
        await asyncio.to_thread(house.kill)
        await asyncio.to_thread(house.start)
    await publishing
    ids = await settled(house)
    assert len(ids) == MESSAGES
    triggers = [
        trigger
        for (trigger,) in house.select(
            "SELECT json_extract(detail, '$.trigger') FROM alarms WHERE name = 'each' ORDER BY id"
        )
    ]
    assert triggers == [f"reading:{id}" for id in ids]
    runs = house.select("SELECT trigger, outcome FROM rule_executions ORDER BY key")
    assert runs == [(trigger, "completed") for trigger in triggers]
