"""`/mqttClient.html` in a real browser, under its own Content Security Policy."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.apps.farm.house import farm_house, url_of
from tests.house import House
from tests.road.test_claim_page import WAIT_S, Browser, told

LOGGED = """new Promise(tell => { const look = () => {
  const found = [...document.querySelectorAll("#log li")].find(
    each => each.textContent.includes(WANTED));
  found ? tell(found.textContent) : setTimeout(look, 20); }; look(); })"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = farm_house(tmp_path)
    try:
        house.start()
        yield house
    finally:
        house.close()


async def filled(tab: Browser, form: str, **values: str) -> None:
    """Fill a form and send it."""
    for name, value in values.items():
        await tab.run(f"document.getElementById({form!r}).{name}.value = {value!r}")
    await tab.run(f"document.getElementById({form!r}).requestSubmit()")


async def logged(tab: Browser, wanted: str) -> str:
    """Return the first line of the log that has these words, once there is one."""
    return str(await tab.run(LOGGED.replace("WANTED", repr(wanted))))


@pytest.mark.slow
@pytest.mark.needs_chromium
async def test_a_page_connects_subscribes_publishes_and_logs(house: House, tmp_path: Path) -> None:
    """«a browser MQTT client (connect over ws 9001 with username and token, subscribe, publish, log)»"""  # noqa: E501 a quotation
    http = house.http(url_of(house))
    made = http.post("/api/v1/sensors", json={"name": "Soil", "uuid": "s-1"}).json()["data"]
    body = {"variableName": "moisture", "sensorId": made["sensor"]["id"]}
    assert http.post("/api/v1/telemetry", json=body).status_code == 201
    folder = tmp_path / "browser"
    browser = await asyncio.create_subprocess_exec(
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
        f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WAIT_S):
            port = await told(folder / "DevToolsActivePort")
            async with httpx.AsyncClient() as client:
                pages = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
            (page,) = [each for each in pages if each["type"] == "page"]
            async with connect(page["webSocketDebuggerUrl"], max_size=None) as channel:
                tab = Browser(channel)
                await tab.open(f"{url_of(house)}/mqttClient.html")
                broker = f"ws://127.0.0.1:{house.mqtt_ws_port}/mqtt"
                who = {"url": broker, "username": "s-1"}
                await filled(tab, "connection", **who, password="wrong")
                await logged(tab, "bad user name or password")
                await filled(tab, "connection", **who, password=made["mqtt"]["password"])
                await logged(tab, "online")
                await filled(tab, "subscription", filter="devices/s-1/datastream")
                await logged(tab, "subscribed")
                sent = {"topic": "devices/s-1/datastream", "payload": '{"value": 41}'}
                await filled(tab, "message", **sent)
                await logged(tab, "acknowledged")
                line = await logged(tab, "received")
                assert line.endswith('devices/s-1/datastream  {"value": 41}')
        found = http.get("/api/v1/datastreams").json()["data"]["dataStreams"]
        assert [each["value"] for each in found] == [41]
    finally:
        browser.kill()
        await browser.wait()
