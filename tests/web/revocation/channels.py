"""Channels as the tests of revocation see them: one live connection, and whether it goes on."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import paho.mqtt.client as mqtt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fleetwire.net.client import MQTTClient
from fleetwire.net.dialing import ClientError
from fleetwire.protocol.packets import Subscription
from tests.house import House
from tests.web.realtime.talk import Follower, Refused, following, refusal_of
from tests.web.revocation.accesses import Access

WAIT_S = 10.0


class Sender:
    """A device whose readings tell whether a connection is alive."""

    def __init__(self, house: House, device_id: str) -> None:
        self.device_id = device_id
        self.topic = f"devices/{device_id}/data"
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=device_id)
        self._client.username_pw_set(*house.register_device(device_id))
        self._client.connect("127.0.0.1", house.mqtt_port)
        self._client.loop_start()
        self._number = 0

    def measure(self) -> None:
        """Publish a reading; return once it is stored."""
        self._number += 1
        body = {"device_id": self.device_id, "metric_type": "n", "value": self._number}
        body["timestamp"] = self._number
        self._client.publish(self.topic, json.dumps(body), qos=1).wait_for_publish(WAIT_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Live(ABC):
    """One connection."""

    @abstractmethod
    async def hear(self) -> None:
        """Return when it has delivered something. Raises Refused once the server has ended it."""

    async def until_ended(self) -> int:
        """Return the status with which the server ends it, as HTTP has it."""
        while True:
            try:
                await self.hear()
            except Refused as refused:
                return refused.status


@asynccontextmanager
async def opened(channel: str, house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
    """Connect on a channel. Raises Refused."""
    async with _WAYS[channel](house, access, sender) as live:
        yield live


# --- one request after the other ---


class _Http(Live):
    def __init__(self, client: httpx.AsyncClient, access: Access) -> None:
        self._client = client
        self._access = access

    async def hear(self) -> None:
        headers = {"Authorization": f"Bearer {self._access.token}"}
        answer = await self._client.get("/api/v1/broker", headers=headers)
        if answer.status_code != 200:
            raise Refused(answer.status_code, answer.text)


@asynccontextmanager
async def _http(house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
    async with httpx.AsyncClient(base_url=house.url, timeout=WAIT_S) as client:
        live = _Http(client, access)
        await live.hear()
        yield live


# --- MQTT ---


class _Mqtt(Live):
    def __init__(self, client: MQTTClient) -> None:
        self._messages = client.messages()

    async def hear(self) -> None:
        try:
            await anext(self._messages)
        except ClientError as error:
            raise Refused(401, str(error)) from None


@asynccontextmanager
async def connected(house: House, access: Access) -> AsyncIterator[MQTTClient]:
    """Connect over MQTT. Raises Refused."""
    username, password = access.login
    client = MQTTClient("" if access.token else username, username=username, password=password)
    try:
        await client.connect("127.0.0.1", house.mqtt_port)
    except ClientError as error:
        raise Refused(401, str(error)) from None
    try:
        yield client
    finally:
        await client.disconnect()


@asynccontextmanager
async def _mqtt(house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
    async with connected(house, access) as client:
        topic = sender.topic if access.token else f"devices/{access.login.username}/commands"
        await client.subscribe(Subscription(topic, 1))
        yield _Mqtt(client)


# --- the three live channels, of the platform and of an app ---


class _Followed(Live):
    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    async def hear(self) -> None:
        await self._follower.until("events")


def _follow(channel: str, *, at_app: bool = False) -> Any:
    @asynccontextmanager
    async def open(house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
        url = house.medical_url if at_app else house.url
        wish = {"devices": [sender.device_id]}
        async with following(channel, url, access.token, **wish) as follower:
            await follower.until("live")
            yield _Followed(follower)

    return open


# --- the medical app's own channel ---


class _Medical(Live):
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def hear(self) -> None:
        try:
            await self._socket.recv()
        except ConnectionClosed as closed:
            raise refusal_of(closed) from None


@asynccontextmanager
async def _medical(house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
    url = house.medical_url.replace("http", "ws", 1) + f"/ws/mqtt?device_id={sender.device_id}"
    headers = {"Authorization": f"Bearer {access.token}"}
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        # Who is refused is let in first, so that a browser can read why.
        with_reason = asyncio.ensure_future(socket.wait_closed())
        done, _ = await asyncio.wait({with_reason}, timeout=0.2)
        with_reason.cancel()
        live = _Medical(socket)
        if done:
            await live.hear()
        yield live


# --- a trace of packets, which is Server-Sent Events too ---


class _Trace(Live):
    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def hear(self) -> None:
        async for line in self._lines:
            if line == "event: packet":
                return
        raise Refused(401, "the stream is over")


@asynccontextmanager
async def _trace(house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
    headers = {"Authorization": f"Bearer {access.token}"}
    path = f"/api/v1/broker/trace?topic={sender.topic}"
    async with (
        httpx.AsyncClient(base_url=house.url, timeout=WAIT_S) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        if answer.status_code != 200:
            raise Refused(answer.status_code, "")
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith(":")  # it is on
        yield _Trace(lines)


_WAYS: dict[str, Any] = {
    "http": _http,
    "mqtt": _mqtt,
    "websocket": _follow("websocket"),
    "sse": _follow("sse"),
    "socket.io": _follow("socket.io"),
    "websocket of an app": _follow("websocket", at_app=True),
    "sse of an app": _follow("sse", at_app=True),
    "socket.io of an app": _follow("socket.io", at_app=True),
    "medical websocket": _medical,
    "trace": _trace,
}
CHANNELS = tuple(_WAYS)
