"""What an operator sees of a real server."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fleetwire.net.client import ConnectionLostError, MQTTClient
from fleetwire.protocol.packets import Subscription
from tests.house import House

API = "/api/v1/broker"


@pytest.fixture
async def platform(shared_house: House) -> AsyncIterator[httpx.AsyncClient]:
    header = {"Authorization": f"Bearer {shared_house.login()}"}
    async with httpx.AsyncClient(base_url=shared_house.url, headers=header) as client:
        yield client


async def test_a_device_is_seen_and_disconnected(
    shared_house: House, platform: httpx.AsyncClient
) -> None:
    login = shared_house.register_device("seen-1")
    client = MQTTClient("c-1", username=login.username, password=login.password, keep_alive=30)
    await client.connect("127.0.0.1", shared_house.mqtt_port)
    await client.subscribe(Subscription("devices/seen-1/commands", 1))

    connected = {"connected": True, "search": "device:medical/seen-1"}
    (listed,) = (await platform.get(f"{API}/clients", params=connected)).json()["items"]
    assert (listed["client_id"], listed["device"]) == ("c-1", "medical/seen-1")
    assert (listed["protocol"], listed["keep_alive_s"], listed["listener"]) == ("5.0", 30, "tcp")
    shown = (await platform.get(f"{API}/clients/c-1")).json()
    (subscription,) = shown["subscriptions"]
    assert (subscription["topic_filter"], subscription["qos"]) == ("devices/seen-1/commands", 1)

    assert (await platform.delete(f"{API}/clients/c-1")).status_code == 204
    with pytest.raises(ConnectionLostError, match="Administrative action"):
        async for _ in client.messages():
            pass
    asked = {"action": "broker.client_disconnected"}
    (deed,) = (await platform.get("/api/v1/audit", params=asked)).json()["items"]
    assert deed["subject"] == "client:c-1"


async def test_the_metrics_count_by_reason(
    shared_house: House, platform: httpx.AsyncClient
) -> None:
    client = MQTTClient("metrics")
    await client.connect("127.0.0.1", shared_house.mqtt_port)
    await client.disconnect()
    text = (await platform.get("/metrics")).text
    for name in (
        *("mqtt_clients", "mqtt_sessions", "mqtt_inflight_messages", "mqtt_queued_messages"),
        *("mqtt_retained_messages", "mqtt_messages_dropped_total", "mqtt_traces"),
    ):
        assert re.search(rf"^fleetwire_{name} \d", text, re.MULTILINE), name
    ended = r'^fleetwire_mqtt_reasons_total\{reason="disconnect",what="connection ended"\} [1-9]'
    assert re.search(ended, text, re.MULTILINE)


def test_what_the_broker_says_of_itself_is_retained_and_not_stored(house: House) -> None:
    platform = house.http(house.url)
    items = platform.get(f"{API}/retained", params={"filter": "$SYS/broker/+"}).json()["items"]
    topics = {each["topic"] for each in items}
    assert topics == {"$SYS/broker/version", "$SYS/broker/uptime"}
    house.stop()
    for (table,) in house.select("SELECT name FROM sqlite_master WHERE type = 'table'"):
        for row in house.select(f'SELECT * FROM "{table}"'):
            assert "$SYS" not in repr(row), table


def test_a_broker_that_shall_say_nothing_says_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, environment={"FLEETWIRE_BROKER_SYS_INTERVAL_S": "0"})
    try:
        house.start()
        platform = house.http(house.url)
        asked = {"filter": "$SYS/#"}
        assert platform.get(f"{API}/retained", params=asked).json()["items"] == []
    finally:
        house.close()


def test_a_server_that_stops_ends_its_traces(house: House) -> None:
    platform = house.http(house.url)
    began = threading.Event()
    lines: list[str] = []

    def read() -> None:
        with platform.stream("GET", f"{API}/trace", params={"client": "x"}) as answer:
            for line in answer.iter_lines():
                lines.append(line)
                began.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert began.wait(10)
    house.stop()
    reader.join(10)
    assert lines[0] == ": trace is on"
    assert [line for line in lines if line.startswith("event")] == ["event: end"]
    assert "error" not in house.log().lower()


async def test_a_trace_ends_with_its_reader(
    shared_house: House, platform: httpx.AsyncClient
) -> None:
    async def traces() -> str:
        found = re.search(
            r"^fleetwire_mqtt_traces (\d)", (await platform.get("/metrics")).text, re.M
        )
        assert found is not None
        return found[1]

    async with platform.stream("GET", f"{API}/trace", params={"client": "x"}) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == ": trace is on"
        assert await traces() == "1"
    async with asyncio.timeout(10):
        while await traces() != "0":
            pass
