"""The three channels of a real server say the same."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import paho.mqtt.client as mqtt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.house import House, Login
from tests.web.realtime.talk import CHANNELS, Refused, following

every_channel = pytest.mark.parametrize("channel", CHANNELS)


class Device:
    """A device that publishes with QoS 1."""

    def __init__(self, house: House, device_id: str) -> None:
        self.device_id = device_id
        login: Login = house.register_device(device_id)
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=device_id)
        self._client.username_pw_set(*login)
        self._client.connect("127.0.0.1", house.mqtt_port)
        self._client.loop_start()

    def measure(self, value: int) -> None:
        """Publish a reading and wait until it is stored."""
        body = {
            "device_id": self.device_id,
            "metric_type": "pulse",
            "value": value,
            "unit": "/min",
            "timestamp": "2026-01-31T12:00:00Z",
        }
        topic = f"devices/{self.device_id}/data"
        self._client.publish(topic, json.dumps(body), qos=1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def device(shared_house: House, request: pytest.FixtureRequest) -> Iterator[Device]:
    """A device of the test's own, which is connected."""
    name = "".join(c for c in request.node.name if c.isalnum())[-60:]
    device = Device(shared_house, name)
    yield device
    device.close()


def values(events: list[dict[str, Any]]) -> list[int]:
    return [event["data"]["value"] for event in events]


@every_channel
async def test_a_snapshot_comes_first_and_then_each_event(
    shared_house: House, device: Device, channel: str
) -> None:
    await asyncio.to_thread(device.measure, 60)
    wish = {"devices": [f"medical/{device.device_id}"], "events": ["device.data.received"]}
    async with following(channel, shared_house.url, shared_house.login(), **wish) as follower:
        snapshot = await follower.until("snapshot")
        (shown,) = snapshot["devices"]
        assert shown["device_id"] == device.device_id
        assert shown["connected"] is True
        assert [reading["value"] for reading in shown["readings"]] == [60]
        await follower.until("live")
        await asyncio.to_thread(device.measure, 61)
        (event,) = await follower.events(1)
        assert event["event"] == "device.data.received"
        assert (event["app"], event["device_id"]) == ("medical", device.device_id)
        assert event["data"]["value"] == 61


@every_channel
async def test_since_brings_what_was_missed_and_goes_on(
    shared_house: House, device: Device, channel: str
) -> None:
    token = shared_house.login()
    wish: dict[str, Any] = {"topics": ["devices/+/data"], "events": ["device.data.received"]}
    wish["devices"] = [device.device_id]
    async with following(channel, shared_house.url, token, **wish) as follower:
        await follower.until("live")
        await asyncio.to_thread(device.measure, 1)
        (first,) = await follower.events(1)
    for value in (2, 3):
        await asyncio.to_thread(device.measure, value)
    wish["since"] = first["cursor"]
    async with following(channel, shared_house.url, token, **wish) as follower:
        assert values(await follower.events(2)) == [2, 3]
        await asyncio.to_thread(device.measure, 4)
        assert values(await follower.events(1)) == [4]


@every_channel
async def test_only_what_was_asked_for_is_told(
    shared_house: House, device: Device, channel: str
) -> None:
    other = await asyncio.to_thread(Device, shared_house, device.device_id + "x")
    try:
        wish = {"devices": [device.device_id], "events": ["device.data.*"], "snapshot": "false"}
        if channel != "sse":
            wish["snapshot"] = False  # type: ignore[assignment]  # a query has text only
        async with following(channel, shared_house.url, shared_house.login(), **wish) as follower:
            await follower.until("live")
            await asyncio.to_thread(other.measure, 1)
            await asyncio.to_thread(device.measure, 2)
            assert values(await follower.events(1)) == [2]
    finally:
        other.close()


@every_channel
async def test_without_a_credential_nothing_is_told(shared_house: House, channel: str) -> None:
    with pytest.raises(Refused) as refused:
        async with following(channel, shared_house.url, "") as follower:
            await follower.until("live")
    assert refused.value.status == 401


@every_channel
async def test_a_device_that_is_not_there_is_not_found(shared_house: House, channel: str) -> None:
    token = shared_house.login()
    with pytest.raises(Refused) as refused:
        async with following(channel, shared_house.url, token, devices=["no"]) as follower:
            await follower.until("live")
    assert refused.value.status == 404


@every_channel
async def test_a_bad_wish_is_refused_with_its_reason(shared_house: House, channel: str) -> None:
    token = shared_house.login()
    with pytest.raises(Refused, match="Topic Filter") as refused:
        async with following(channel, shared_house.url, token, topics=["a/#/b"]) as follower:
            await follower.until("live")
    assert refused.value.status == 422


async def test_a_misspelt_name_is_refused_and_not_passed_over(shared_house: House) -> None:
    token = shared_house.login()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as http:
        answer = await http.get(f"{shared_house.url}/api/v1/realtime/events?groups=cold")
    assert (answer.status_code, answer.json()["field"]) == (422, "groups")


async def test_an_event_source_resumes_after_its_last_event_id(
    shared_house: House, device: Device
) -> None:
    await asyncio.to_thread(device.measure, 7)
    headers = {"Authorization": f"Bearer {shared_house.login()}", "Last-Event-ID": "0"}
    url = f"{shared_house.url}/api/v1/realtime/events?topic=devices/{device.device_id}/data"
    async with (
        httpx.AsyncClient(timeout=10) as http,
        http.stream("GET", url, headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if '"value":7' in line:
                return
    pytest.fail("the stream ended")


async def test_a_first_message_or_the_query_can_carry_the_token(shared_house: House) -> None:
    token = shared_house.login()
    url = shared_house.url.replace("http", "ws", 1) + "/api/v1/realtime/ws"
    async with connect(url, proxy=None) as socket:
        await socket.send(json.dumps({"type": "authenticate", "token": token}))
        assert json.loads(await socket.recv())["type"] == "welcome"
    async with connect(f"{url}?token={token}", proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
    wanted = f"{shared_house.url}/api/v1/realtime/events?token={token}"
    async with httpx.AsyncClient(timeout=10) as http, http.stream("GET", wanted) as answer:
        assert answer.status_code == 200


async def test_a_page_of_another_host_is_refused_on_every_channel(shared_house: House) -> None:
    url, foreign = shared_house.url, {"Origin": "https://elsewhere.example"}
    bearer = {"Authorization": f"Bearer {shared_house.login()}"}
    async with httpx.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{url}/api/v1/realtime/events", headers=foreign | bearer)
        assert answer.status_code == 403
        polling = f"{url}/socket.io/?EIO=4&transport=polling"
        assert (await http.get(polling, headers=foreign)).status_code == 400
        assert (await http.get(polling, headers={"Origin": "http://127.0.0.1"})).status_code == 200
    where = url.replace("http", "ws", 1) + "/api/v1/realtime/ws"
    async with connect(where, additional_headers=foreign | bearer, proxy=None) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4403


async def test_a_connection_has_several_subscriptions_and_can_end_them(
    shared_house: House, device: Device
) -> None:
    url = shared_house.url.replace("http", "ws", 1) + "/api/v1/realtime/ws"
    headers = {"Authorization": f"Bearer {shared_house.login()}"}
    topics = [f"devices/{device.device_id}/data"]

    async with connect(url, additional_headers=headers, proxy=None) as socket:

        async def told(kind: str) -> dict[str, Any]:
            async with asyncio.timeout(10):
                while True:
                    message: dict[str, Any] = json.loads(await socket.recv())
                    if message["type"] == kind:
                        return message

        for name in ("a", "b"):
            wish = {"type": "subscribe", "id": name, "topics": topics, "snapshot": False}
            await socket.send(json.dumps(wish))
            await told("live")
        await asyncio.to_thread(device.measure, 1)
        assert {(await told("events"))["id"], (await told("events"))["id"]} == {"a", "b"}
        await socket.send('{"type":"unsubscribe","id":"a"}')
        await told("unsubscribed")
        await asyncio.to_thread(device.measure, 2)
        await asyncio.to_thread(device.measure, 3)
        assert (await told("events"))["id"] == (await told("events"))["id"] == "b"
        await socket.send('{"type":"subscribe","id":"b"}')
        assert (await told("refused"))["status"] == 409
        await socket.send("no json")
        assert (await told("refused"))["status"] == 422
        await socket.send('{"type":"ping"}')
        await told("pong")


@pytest.mark.parametrize(
    "packet",
    ["42[", "42{}", "42[1]", '42["subscribe"]', '42["subscribe",1,2]', "99", "4", "45-[]", "x"],
)
async def test_noise_on_socket_io_harms_nobody(shared_house: House, packet: str) -> None:
    token = shared_house.login()
    async with following("socket.io", shared_house.url, token) as noisy:
        await noisy.until("live")
        await noisy.socket.send(packet)  # type: ignore[attr-defined]  # of this channel
        async with following("socket.io", shared_house.url, token) as other:
            await other.until("live")
    assert "Traceback" not in shared_house.log()


async def test_the_server_stops_at_once_although_some_follow(house: House) -> None:
    token = house.login()
    async with contextlib.AsyncExitStack() as stack:
        followers = [
            await stack.enter_async_context(following(channel, house.url, token))
            for channel in CHANNELS
        ]
        for follower in followers:
            await follower.until("live")
        began = time.monotonic()
        await asyncio.to_thread(house.stop)
        assert time.monotonic() - began < 2
        for follower in followers:
            with pytest.raises((Refused, EOFError)) as ended:
                await follower.until("never")
            if isinstance(ended.value, Refused):
                assert ended.value.status == 503
    assert "Traceback" not in house.log()
