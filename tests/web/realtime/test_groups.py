"""A group, and a query, followed on each channel of a real server while devices come and go."""

import asyncio
import time
from typing import Any

import pytest

from tests.house import House
from tests.web.realtime.talk import CHANNELS, Follower, Refused, following
from tests.web.realtime.test_channels import Device

SOON_S = 1.0

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("channel", CHANNELS)]


def tag(house: House, device_id: str, *tags: str) -> None:
    answer = house.http(house.url).patch(
        f"/api/v1/devices/medical/{device_id}",
        json={"tags": list(tags)},
        headers={"If-Match": "*"},
    )
    assert answer.status_code == 200, answer.text


async def members(follower: Follower) -> tuple[list[str], list[str]]:
    """Return who joined and who left, within the time that is promised."""
    async with asyncio.timeout(SOON_S):
        told = await follower.until("members")
    return tuple([each["device_id"] for each in told[key]] for key in ("joined", "left"))  # type: ignore[return-value]  # two of them


@pytest.mark.parametrize("kind", ["groups", "query"])
async def test_events_begin_and_stop_within_a_second_of_a_change(
    shared_house: House, channel: str, kind: str
) -> None:
    name = f"{kind}-{channel.replace('.', '-')}"
    device = await asyncio.to_thread(Device, shared_house, name)
    wish: dict[str, Any] = {"query": f"tag:{name}", "events": ["device.data.received"]}
    if kind == "groups":
        group = {"name": name, "query": wish.pop("query")}
        made = shared_house.http(shared_house.url).post("/api/v1/groups", json=group)
        assert made.status_code == 201, made.text
        wish["groups"] = [name]
    try:
        token = shared_house.login()
        async with following(channel, shared_house.url, token, **wish) as follower:
            await follower.until("live")
            await asyncio.to_thread(device.measure, 1)
            await asyncio.to_thread(tag, shared_house, name, name)
            assert await members(follower) == ([name], [])
            began = time.monotonic()
            await asyncio.to_thread(device.measure, 2)
            (event,) = await follower.events(1)
            assert event["data"]["value"] == 2
            assert time.monotonic() - began < SOON_S
            await asyncio.to_thread(tag, shared_house, name)
            assert await members(follower) == ([], [name])
            await asyncio.to_thread(device.measure, 3)
            await asyncio.to_thread(tag, shared_house, name, name)
            await follower.until("members")
            await asyncio.to_thread(device.measure, 4)
            (event,) = await follower.events(1)
            assert event["data"]["value"] == 4
    finally:
        await asyncio.to_thread(device.close)


@pytest.mark.parametrize(
    ("wish", "status"),
    [({"groups": ["no"]}, 404), ({"query": "tag:"}, 422), ({"organizations": [999]}, 404)],
)
async def test_what_is_not_there_is_refused(
    shared_house: House, channel: str, wish: dict[str, Any], status: int
) -> None:
    token = shared_house.login()
    with pytest.raises(Refused) as refused:
        async with following(channel, shared_house.url, token, **wish) as follower:
            await follower.until("live")
    assert refused.value.status == status
