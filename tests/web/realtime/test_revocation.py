"""A person whose access changes, on each channel of a real server."""

import asyncio
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.house import House
from tests.web.realtime.talk import CHANNELS, Refused, following

PASSWORD = "a long enough password"
SOON_S = 1.0


class Person:
    """An account of the test's own."""

    def __init__(self, house: House, name: str) -> None:
        self.house = house
        made = house.http(house.url).post(
            "/api/v1/accounts",
            json={
                "email": f"{name}@ward.example",
                "username": name,
                "role": "viewer",
                "password": PASSWORD,
            },
        )
        assert made.status_code == 201, made.text
        self.id = made.json()["id"]
        answer = httpx.post(
            f"{house.url}/api/v1/auth/login", json={"username": name, "password": PASSWORD}
        )
        self.token = answer.json()["access_token"]

    def close(self) -> None:
        """Close the account."""
        client = self.house.http(self.house.url)
        answer = client.patch(
            f"/api/v1/accounts/{self.id}",
            json={"is_active": False},
            headers={"If-Match": "*"},
        )
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("channel", CHANNELS)
async def test_a_closed_account_is_ended_in_under_a_second(
    shared_house: House, channel: str
) -> None:
    name = f"viewer-{channel.replace('.', '-')}"
    person = await asyncio.to_thread(Person, shared_house, name)
    async with following(channel, shared_house.url, person.token) as follower:
        await follower.until("live")
        await asyncio.to_thread(person.close)
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            await follower.until("never")
        assert time.monotonic() - began < SOON_S
    assert refused.value.status == 401


async def test_a_closed_account_is_ended_on_the_medical_channel_too(shared_house: House) -> None:
    person = await asyncio.to_thread(Person, shared_house, "nurse")
    url = shared_house.medical_url.replace("http", "ws", 1) + "/ws/mqtt"
    headers = {"Authorization": f"Bearer {person.token}"}
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        await asyncio.to_thread(person.close)
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(10):
                await socket.recv()
        assert time.monotonic() - began < SOON_S
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
