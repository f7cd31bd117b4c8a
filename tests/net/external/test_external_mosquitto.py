"""A whole server whose devices are at Debian's mosquitto; both are killed and started again."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetwire.net.client import MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish, Subscription
from tests.house import House
from tests.net.certificates import Authority
from tests.net.external.mosquitto import HOST, Mosquitto

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.slow]

WAIT_S = 15.0  # it is healthy by itself so long after a repair
POLL_S = 0.05


class Site:
    """A mosquitto, and a Fleetwire that takes it as its broker."""

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        (folder / "broker").mkdir()
        (folder / "house").mkdir()
        self.mosquitto = Mosquitto(folder / "broker", port)
        self.house = House(
            folder / "house",
            environment={"MQTT_BROKER_URL": f"mqtt://{HOST}:{port}", **environment},
        )

    def status(self) -> dict[str, Any]:
        answer = self.house.http(self.house.url).get("/api/v1/broker/bridges")
        (found,) = answer.json()["items"]
        assert isinstance(found, dict)
        return found

    def is_connected(self) -> bool:
        return bool(self.status()["state"] == "connected")

    def stored(self) -> list[float]:
        """Return the values that are stored, in the order in which they were."""
        rows = self.house.select("SELECT number FROM readings ORDER BY id")
        return [value for (value,) in rows]

    async def device(self, client_id: str = "bp-1", **more: Any) -> MQTTClient:
        client = MQTTClient(client_id, **more)
        await client.connect(HOST, self.mosquitto.port)
        return client


async def until(is_so: Callable[[], bool], site: Site) -> None:
    """Wait for what only asking tells."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, site.house.log()[-3000:]
        await asyncio.sleep(POLL_S)


def reading(value: int) -> bytes:
    # Its time is the device's own, so that the same message again is the same reading.
    at = f"2026-01-01T00:{value // 60 % 60:02}:{value % 60:02}Z"
    body = {"metric_type": "weight", "value": value, "timestamp": at}
    return json.dumps(body).encode()


@asynccontextmanager
async def running(folder: Path, port: int, **environment: str) -> AsyncIterator[Site]:
    site = Site(folder, port, **environment)
    try:
        site.mosquitto.start()
        site.house.start()
        await until(site.is_connected, site)
        site.house.register_device("bp-1")
        yield site
    finally:
        site.house.close()
        site.mosquitto.stop()


@pytest.mark.parametrize(
    ("version", "share", "shares"),
    [("5", "fleetwire", True), ("5", "off", False), ("3.1.1", "fleetwire", False)],
)
async def test_what_devices_say_while_this_server_is_dead_is_stored_once(
    tmp_path: Path, free_port: int, version: str, share: str, shares: bool
) -> None:
    async with running(
        tmp_path, free_port, MQTT_BROKER_VERSION=version, MQTT_BROKER_SHARE=share
    ) as site:
        device = await site.device()
        for value in range(100):
            await device.publish("devices/bp-1/data", reading(value), 1)
        site.house.kill()  # in the middle of these
        for value in range(100, 200):
            await device.publish("devices/bp-1/data", reading(value), 1)
        site.house.start()
        for value in range(200, 300):
            await device.publish("devices/bp-1/data", reading(value), 2)
        await until(lambda: len(site.stored()) >= 300, site)
        await device.disconnect()
        assert sorted(site.stored()) == list(range(300))
        assert site.status()["protocol"] == ("5.0" if version == "5" else version)
        assert site.status()["dropped"] == {}
        asked = [
            line for line in site.mosquitto.log().splitlines() if "devices/+/data (QoS" in line
        ]
        assert asked
        assert all(("$share/fleetwire/" in line) is shares for line in asked), asked
        site.house.stop()


async def test_the_acknowledgement_waits_for_the_commit(tmp_path: Path, free_port: int) -> None:
    async with running(tmp_path, free_port) as site:
        ours = f"fw-{(site.house.data_dir / 'bridge.id').read_text()[:8]}-source"
        device = await site.device()
        sent, answered = f"Sending PUBLISH to {ours}", f"Received PUBACK from {ours}"
        with closing(sqlite3.connect(site.house.database_path)) as database:
            database.execute("BEGIN IMMEDIATE")  # nobody else can write meanwhile
            await device.publish("devices/bp-1/data", reading(1), 1)
            await until(lambda: sent in site.mosquitto.log(), site)
            await asyncio.sleep(0.3)  # time enough to acknowledge, were it not for the commit
            assert answered not in site.mosquitto.log()
            database.rollback()
        await until(lambda: answered in site.mosquitto.log(), site)
        assert site.stored() == [1]
        await device.disconnect()


async def test_it_finds_back_by_itself_when_mosquitto_was_killed(
    tmp_path: Path, free_port: int
) -> None:
    async with running(tmp_path, free_port) as site:
        device = await site.device()
        await device.publish("devices/bp-1/data", reading(1), 1)
        await until(lambda: site.stored() == [1], site)
        site.mosquitto.kill()
        await until(lambda: not site.is_connected(), site)
        answer = site.house.http(site.house.url).get("/health")
        assert answer.status_code == 503
        assert answer.json()["components"]["broker"] == "down"
        await asyncio.sleep(3)  # long enough for the waiting times to have grown
        site.mosquitto.start()
        await until(site.is_connected, site)  # within 15 s
        device = await site.device()
        await device.publish("devices/bp-1/data", reading(2), 1)
        await until(lambda: site.stored() == [1, 2], site)
        await device.disconnect()
        said = [line for line in site.house.log().splitlines() if "external broker" in line]
        assert len([line for line in said if "external broker connected" in line]) == 2


async def test_a_command_is_delivered_when_somebody_there_listens(
    tmp_path: Path, free_port: int
) -> None:
    async with running(tmp_path, free_port) as site:
        medical = site.house.http(site.house.medical_url)
        sent = medical.post("/devices/bp-1/command", json={"command": "calibrate"}).json()
        await until(lambda: "nobody listens to it" in json.dumps(commands(medical)), site)
        heard: asyncio.Queue[Publish] = asyncio.Queue()
        device = await site.device(on_message=heard.put_nowait)
        await device.subscribe(Subscription("devices/bp-1/commands", 1))
        async with asyncio.timeout(WAIT_S):
            message = await heard.get()
        assert json.loads(message.payload)["command"] == "calibrate"
        await until(lambda: commands(medical)[0]["state"] == "delivered", site)
        (record,) = commands(medical)
        assert record["id"] == sent["id"]
        await device.disconnect()


async def test_a_command_waits_here_while_mosquitto_is_away(tmp_path: Path, free_port: int) -> None:
    async with running(tmp_path, free_port) as site:
        medical = site.house.http(site.house.medical_url)
        keeps: Properties = {c.SESSION_EXPIRY_INTERVAL: 100}
        device = await site.device(clean_start=False, properties=keeps)
        await device.subscribe(Subscription("devices/bp-1/commands", 1))
        await device.disconnect()
        site.mosquitto.stop()
        await until(lambda: not site.is_connected(), site)
        medical.post("/devices/bp-1/command", json={"command": "calibrate"})
        assert commands(medical)[0]["state"] == "queued"
        site.mosquitto.start()
        await until(lambda: commands(medical)[0]["state"] == "delivered", site)
        heard: asyncio.Queue[Publish] = asyncio.Queue()
        device = await site.device(clean_start=False, properties=keeps, on_message=heard.put_nowait)
        async with asyncio.timeout(WAIT_S):
            assert json.loads((await heard.get()).payload)["command"] == "calibrate"
        await device.disconnect()


async def test_a_wrong_password_is_one_line_of_the_log(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "house").mkdir()
    mosquitto = Mosquitto(tmp_path, free_port, login=("fleetwire", "right"))
    house = House(
        tmp_path / "house",
        environment={
            "MQTT_BROKER_URL": f"mqtt://{HOST}:{free_port}",
            "MQTT_USERNAME": "fleetwire",
            "MQTT_PASSWORD": "wr0ng",
        },
    )
    try:
        mosquitto.start()
        house.start()
        await asyncio.sleep(4)  # several attempts
        said = [line for line in house.log().splitlines() if "external broker away" in line]
        assert len(said) == 1, said
        assert "Not authorized" in said[0]
        assert "wr0ng" not in house.log()
        house.stop()
    finally:
        house.close()
        mosquitto.stop()


def commands(medical: httpx.Client) -> list[dict[str, Any]]:
    items = medical.get("/devices/bp-1/commands").json()["items"]
    assert isinstance(items, list)
    return items


async def test_over_tls_with_a_certificate_of_our_own(tmp_path: Path, free_port: int) -> None:
    authority = Authority(tmp_path, "ca")
    server, (certificate, key) = authority.server(), authority.client("fleetwire")
    (tmp_path / "house").mkdir()
    more = (
        f"cafile {authority.path}\ncertfile {server.certificate}\nkeyfile {server.key}\n"
        "require_certificate true"
    )
    mosquitto = Mosquitto(tmp_path, free_port, more=more)
    environment = {
        "MQTT_HOST": "localhost",
        "MQTT_PORT": str(free_port),
        "MQTT_PROTOCOL": "mqtts",
        "MQTT_BROKER_CA": str(authority.path),
        "MQTT_BROKER_CERTIFICATE": str(certificate),
        "MQTT_BROKER_KEY": str(key),
        "MQTT_CLIENT_ID": "ward-7",
    }
    house = House(tmp_path / "house", environment=environment)
    try:
        mosquitto.start()
        house.start()
        async with asyncio.timeout(WAIT_S):
            while "external broker connected" not in house.log():  # noqa: ASYNC110  # a file
                await asyncio.sleep(POLL_S)
        assert "as ward-7 (p5" in mosquitto.log()
        house.stop()
    finally:
        house.close()
        mosquitto.stop()
