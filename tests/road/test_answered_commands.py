"""Commands that devices answer, on a real server: there, back, and to whoever waits."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetwire.net.client import MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Subscription
from tests.house import House, Login
from tests.kill.command_app import installed
from tests.kill.command_devices import DEAF, PROMPT, TWICE, CommandedDevice

TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def answering_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("answering")
    environment = installed(folder / "app") | {"FLEETWIRE_PRESENCE_EXPECTED": "killed=1s"}
    house = House(folder, environment=environment)
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.fixture
async def http(answering_house: House) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {answering_house.login()}"}
    async with httpx.AsyncClient(
        base_url=f"{answering_house.url}/api/v1", headers=headers, timeout=TIMEOUT_S
    ) as client:
        yield client


async def register(http: httpx.AsyncClient, device_id: str) -> Login:
    body = {"app": "killed", "device_id": device_id, "type": "thing"}
    given = (await http.post("/devices", json=body)).json()["credential"]
    return Login(given["username"], given["password"])


async def send(http: httpx.AsyncClient, device_id: str, wait: str, **more: object) -> Any:
    body = {"name": "act", "parameters": {"n": 1}, "expires_in": "10s"} | more
    path = f"/devices/killed/{device_id}/commands"
    answer = await http.post(path, params={"wait": wait}, json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def presence_when(http: httpx.AsyncClient, device_id: str, aspect: str, holds: bool) -> Any:
    """Return a device's presence once an aspect of it holds, or does not."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            shown = (await http.get(f"/devices/killed/{device_id}/presence")).json()
            if shown[aspect]["holds"] is holds:
                return shown
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("character", "version", "states"),
    [
        (PROMPT, c.V5, ["succeeded"]),
        (PROMPT, c.V311, ["succeeded"]),
        (TWICE, c.V5, ["accepted", "succeeded"]),
    ],
)
async def test_whoever_waits_gets_what_the_device_answered(
    answering_house: House,
    http: httpx.AsyncClient,
    character: str,
    version: int,
    states: list[str],
) -> None:
    device_id = f"{character}-{version}"
    login = await register(http, device_id)
    device = CommandedDevice(device_id, login, character, version=version, remembers=False)
    running = asyncio.create_task(device.run(answering_house.mqtt_port))
    try:
        await presence_when(http, device_id, "connected", True)
        command = await send(http, device_id, "10s")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert not device.failure
    assert command["state"] == "succeeded"
    told = [line["state"] for line in command["timeline"] if line["state"] in states]
    assert told[: len(states)] == states
    assert device.effects[1] == 1


async def test_a_sleeping_device_gets_its_commands_in_order(
    answering_house: House, http: httpx.AsyncClient
) -> None:
    login = await register(http, "sleeper")
    ids = [(await send(http, "sleeper", "0s", parameters={"n": n}))["id"] for n in range(3)]
    client = MQTTClient("sleeper", username=login.username, password=login.password)
    await client.connect("127.0.0.1", answering_house.mqtt_port)
    await client.subscribe(Subscription("killed/sleeper/commands", 1))
    received = []
    async with asyncio.timeout(TIMEOUT_S):
        async for message in client.messages():
            assert message.properties is not None
            assert message.properties[c.RESPONSE_TOPIC] == "killed/sleeper/answers"
            received.append(message.properties[c.CORRELATION_DATA])
            if len(received) == 3:
                break
    assert received == [command_id.encode() for command_id in ids]
    await client.disconnect()
    shown = await presence_when(http, "sleeper", "connected", False)
    assert shown["connected"]["reason"] == "disconnect"


async def test_a_device_that_does_not_answer_ends_as_expired(
    answering_house: House, http: httpx.AsyncClient
) -> None:
    login = await register(http, "deaf")
    device = CommandedDevice("deaf", login, DEAF, version=c.V5, remembers=False)
    running = asyncio.create_task(device.run(answering_house.mqtt_port))
    try:
        await presence_when(http, "deaf", "connected", True)
        command = await send(http, "deaf", "5s", expires_in="1s")
        assert command["state"] == "expired"
        assert command["reason"] == "the device did not answer in time"
        assert (await presence_when(http, "deaf", "connected", True))["fresh"]["holds"] is None
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_who_answered_reports_and_then_falls_silent(
    answering_house: House, http: httpx.AsyncClient
) -> None:
    login = await register(http, "once")
    device = CommandedDevice("once", login, PROMPT, version=c.V5, remembers=False)
    running = asyncio.create_task(device.run(answering_house.mqtt_port))
    try:
        await presence_when(http, "once", "connected", True)
        assert (await send(http, "once", "10s"))["state"] == "succeeded"
        await presence_when(http, "once", "reporting", True)
        shown = await presence_when(http, "once", "reporting", False)
        assert shown["reporting"]["reason"] == "silent too long"
        assert shown["connected"]["holds"]
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
