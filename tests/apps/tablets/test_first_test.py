"""«First test of every user, word for word»: two lines of the contract, and the dashboard."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.tablets.house import (
    WAIT_S,
    at_port,
    running,
    until_subscribed,
    url_of,
    watching,
)
from tests.house import House

pytestmark = [pytest.mark.slow, pytest.mark.needs_mosquitto]

SUBSCRIBE = "mosquitto_sub -h localhost -t tablet/+/status"
PUBLISH = (
    "mosquitto_pub -h localhost -t tablet/test-device/status"
    """ -m '{"battery":100,"wifiStatus":true}'"""
)


@pytest.fixture
def tablets_house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, apps=("tablets",))
    try:
        house.start()
        yield house
    finally:
        house.close()


def test_the_documentation_tells_the_same_lines() -> None:
    text = (Path(__file__).parents[3] / "docs" / "apps" / "tablets.md").read_text()
    assert f"    {SUBSCRIBE}\n" in text
    assert f"    {PUBLISH}\n" in text


async def test_the_first_test_of_every_user(tablets_house: House) -> None:
    """«The subscriber sees it, and `test-device` appears in the dashboard, ONLINE at 100 %.»"""
    house = tablets_house
    with running(at_port(house, SUBSCRIBE)) as subscriber:
        assert subscriber.stdout is not None
        await until_subscribed(house, "tablet/+/status")
        async with asyncio.timeout(WAIT_S), watching(house) as next_of:
            await asyncio.to_thread(
                subprocess.run, at_port(house, PUBLISH), check=True, timeout=WAIT_S
            )
            frame = await next_of("device_status", "test-device")
            seen = await asyncio.to_thread(subscriber.stdout.readline)
    assert seen == '{"battery":100,"wifiStatus":true}\n'
    assert frame["deviceCode"] == "test-device"
    assert (frame["data"]["status"], frame["data"]["battery"]) == ("ONLINE", 100)
    answer = house.http(url_of(house)).get("/api/device")
    [device] = answer.json()["data"]
    assert (device["deviceCode"], device["status"], device["battery"]) == (
        "test-device",
        "ONLINE",
        100,
    )
    assert device["id"] == frame["deviceId"]
