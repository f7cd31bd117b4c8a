"""Bridges of a whole server to another whole server, as the settings ask for them."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetwire.net.client import MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Subscription
from tests.house import House, HouseError

HOST = "127.0.0.1"
WAIT_S = 15.0
TOTAL = 300


class Pair:
    """`here` has a bridge to `there`, which is not started yet."""

    def __init__(self, folder: Path, port: int) -> None:
        (folder / "here").mkdir()
        (folder / "there").mkdir()
        bridge = {
            "name": "hub",
            "url": f"mqtt://{HOST}:{port}",
            "topics": [
                {"filter": "up/#", "qos": 2, "remote_prefix": "site/"},
                {"filter": "down/#", "direction": "in", "qos": 2},
            ],
        }
        locked = {
            "name": "locked",
            "url": f"mqtt://user:hush@{HOST}:{port}",
            "topics": [{"filter": "secret/#"}],
        }
        self.here = House(
            folder / "here", environment={"FLEETWIRE_BRIDGES": json.dumps([bridge, locked])}
        )
        self.there = House(folder / "there", environment={"FLEETWIRE_ANONYMOUS": "tcp"})
        self.there.mqtt_port = port

    def status(self, name: str = "hub") -> dict[str, Any]:
        answer = self.here.http(self.here.url).get("/api/v1/broker/bridges")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return next(each for each in found if each["name"] == name)

    async def until(self, is_so: Callable[[dict[str, Any]], bool], name: str = "hub") -> None:
        """Wait for a state of a bridge; only asking tells."""
        async with asyncio.timeout(WAIT_S):
            while not is_so(self.status(name)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.here.url + path)


@pytest.fixture
def pair(tmp_path: Path, free_port: int) -> Iterator[Pair]:
    pair = Pair(tmp_path, free_port)
    try:
        pair.here.start()
        yield pair
    finally:
        pair.here.close()
        pair.there.close()


async def connect(port: int, client_id: str) -> MQTTClient:
    properties: Properties = {c.SESSION_EXPIRY_INTERVAL: 1000}
    client = MQTTClient(client_id, clean_start=False, properties=properties)
    await client.connect(HOST, port)
    return client


async def publish(port: int, topic: str, texts: list[str], qos: int) -> None:
    client = await connect(port, "publisher")
    for text in texts:
        await client.publish(topic, text.encode(), qos)
    await client.disconnect()


async def hear(client: MQTTClient, count: int) -> list[str]:
    heard: list[str] = []
    async with asyncio.timeout(WAIT_S):
        async for message in client.messages():
            heard.append(message.payload.decode())
            if len(heard) == count:
                break
    return heard


@pytest.mark.slow
@pytest.mark.parametrize("qos", [1, 2])
async def test_what_waits_for_the_other_side_survives_a_kill_of_this_server(
    pair: Pair, qos: int
) -> None:
    texts = [str(number) for number in range(TOTAL)]
    await publish(pair.here.mqtt_port, "up/x", texts, qos)
    pair.here.kill()
    pair.here.start()
    pair.there.start()
    ear = await connect(pair.there.mqtt_port, "ear")
    await ear.subscribe(Subscription("site/up/#", 2))
    # The bridge may have been quicker than the subscription: what is due is then kept there only.
    await publish(pair.here.mqtt_port, "up/x", ["end"], qos)
    heard = await hear(ear, 1)
    while heard[-1] != "end":
        heard += await hear(ear, 1)
    await ear.disconnect()
    assert heard == [*texts, "end"][-len(heard) :]
    pair.here.stop()
    pair.there.stop()


@pytest.mark.slow
async def test_qos_2_crosses_exactly_once_while_both_servers_are_killed(pair: Pair) -> None:
    pair.there.start()
    up, down = await connect(pair.there.mqtt_port, "up"), await connect(pair.here.mqtt_port, "down")
    await up.subscribe(Subscription("site/up/#", 2))
    await down.subscribe(Subscription("down/#", 2))
    await up.disconnect()
    await down.disconnect()
    await pair.until(lambda it: it["state"] == "connected")  # and so has its session there
    expected: list[str] = []
    for round_ in range(3):
        texts = [f"{round_}-{number}" for number in range(50)]
        expected += texts
        await publish(pair.here.mqtt_port, "up/x", texts, 2)
        await publish(pair.there.mqtt_port, "down/x", texts, 2)
        victim = (pair.here, pair.there, pair.here)[round_]
        victim.kill()
        victim.start()
    up = await connect(pair.there.mqtt_port, "up")
    assert await hear(up, len(expected)) == expected
    down = await connect(pair.here.mqtt_port, "down")
    assert await hear(down, len(expected)) == expected
    # And nothing comes behind.
    await publish(pair.here.mqtt_port, "up/x", ["end"], 2)
    assert await hear(up, 1) == ["end"]
    await publish(pair.there.mqtt_port, "down/x", ["end"], 2)
    assert await hear(down, 1) == ["end"]
    await up.disconnect()
    await down.disconnect()


async def test_how_a_bridge_is_can_be_seen(pair: Pair) -> None:
    where = f"{HOST}:{pair.there.mqtt_port}"
    away = pair.status()
    assert away["url"] == f"mqtt://{where}"
    assert away["state"] in ("away", "connecting")
    assert away["reason"] in ("not started", f"Nothing listens at {where}")
    assert pair.get("/health").json()["components"]["bridges"] == "degraded"
    await publish(pair.here.mqtt_port, "up/x", ["1", "2"], 1)
    assert pair.status()["queued"] == 2
    watcher = await connect(pair.here.mqtt_port, "watcher")
    await watcher.subscribe(Subscription("$SYS/broker/connection/hub/state"))
    assert await hear(watcher, 1) == ["0"]
    pair.there.start()
    assert await hear(watcher, 1) == ["1"]
    await watcher.disconnect()
    seen = pair.status()
    assert (seen["state"], seen["reason"], seen["protocol"]) == ("connected", "", "5.0")
    # A bridge that is away is no reason for a load balancer to send devices elsewhere.
    assert pair.get("/health").status_code == 200
    assert 'fleetwire_bridge_connected{bridge="hub"} 1.0' in pair.get("/metrics").text
    # Another one is refused; its password is shown nowhere.
    masked = f"mqtt://user:********@{where}"
    await pair.until(lambda it: "Bad User Name or Password" in it["reason"], "locked")
    assert pair.status("locked")["url"] == masked
    pair.here.stop()
    assert f"url={masked}" in pair.here.log()
    assert "hush" not in pair.here.log()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://h", r"FLEETWIRE_BRIDGES .*'hub': url must be an address"),
        ("mqtts://h", r"Bridge hub: ca = none\.pem cannot be used: No such file"),
    ],
)
def test_a_wrong_bridge_is_one_clear_line_at_the_start(
    tmp_path: Path, url: str, words: str
) -> None:
    bridge = {"name": "hub", "url": url, "ca": "none.pem", "topics": [{"filter": "t"}]}
    house = House(tmp_path, environment={"FLEETWIRE_BRIDGES": json.dumps([bridge])})
    with pytest.raises(HouseError, match=words):
        house.start()
    assert "Traceback" not in house.log()
