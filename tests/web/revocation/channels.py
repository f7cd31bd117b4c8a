"""Channels as the tests of revocation see them: one live connection, and whether it goes on.

The live ones are those of the table of `tests.routes`, which names every channel of every listener.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fleetwire.net.client import MQTTClient
from fleetwire.net.dialing import ClientError
from fleetwire.protocol.packets import Subscription
from tests.house import House
from tests.routes.table import CHANNELS as TABLE, LISTENERS, Channel
from tests.web.realtime.talk import CHANNELS as SHARED, Follower, Refused, following, refusal_of
from tests.web.revocation.accesses import Access
from tests.web.revocation.senders import SAYINGS, Sender

WAIT_S = 10.0
SOON_S = 1.0  # in which what was taken away must have stopped working


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


Open = Callable[[House, Access, Sender], AbstractAsyncContextManager[Live]]


@asynccontextmanager
async def opened(channel: str, house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
    """Connect on a channel, to hear what this device of its app says. Raises Refused."""
    async with _WAYS[channel].open(house, access, sender) as live:
        yield live


def app_of(channel: str) -> str:
    """Return the app whose devices are heard on a channel; the platform tells of all of them."""
    listener = _WAYS[channel].listener
    return "medical" if listener == "platform" else listener


def url_of(house: House, listener: str) -> str:
    """Return the root of a listener."""
    port = house.http_port if listener == "platform" else house.app_ports[listener]
    return f"http://127.0.0.1:{port}"


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


# --- the three live channels that all listeners have ---


class _Followed(Live):
    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    async def hear(self) -> None:
        await self._follower.until("events")


def _shared(channel: Channel) -> Open:
    @asynccontextmanager
    async def open(house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
        url = url_of(house, channel.listener)
        wish = {"devices": [sender.device_id]}
        async with following(channel.speaks, url, access.token, **wish) as follower:
            await follower.until("live")
            yield _Followed(follower)

    return open


# --- an app's own channel ---


GREETING = ("tablets",)  # their first frame says that one is connected
REFUSED_WITHIN_S = 0.2


class _Own(Live):
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def hear(self) -> None:
        try:
            await self._socket.recv()
        except ConnectionClosed as closed:
            raise refusal_of(closed) from None


def _own(channel: Channel) -> Open:
    @asynccontextmanager
    async def open(house: House, access: Access, sender: Sender) -> AsyncIterator[Live]:
        url = url_of(house, channel.listener).replace("http", "ws", 1) + channel.path
        headers = {"Authorization": f"Bearer {access.token}"}
        where = f"{url}?device_id={sender.device_id}"
        async with connect(where, additional_headers=headers, proxy=None) as socket:
            live = _Own(socket)
            # Who is refused is let in first, so that a browser can read why.
            if channel.speaks in GREETING:
                await live.hear()
            else:
                closing = asyncio.ensure_future(socket.wait_closed())
                done, _ = await asyncio.wait({closing}, timeout=REFUSED_WITHIN_S)
                closing.cancel()
                if done:
                    await live.hear()
            yield live

    return open


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


# --- all of them ---


class _Way(NamedTuple):
    listener: str
    open: Open


def _way_of(channel: Channel) -> _Way:
    return _Way(channel.listener, (_shared if channel.speaks in SHARED else _own)(channel))


# Apps whose Socket.IO has a root namespace of their own in the place of what others have there:
# see test_kiosks.py and test_spaces.py.
OWN_ROOT = ("farm", "vending")
# Apps that have no devices which could be heard.
SILENT = ("messaging",)
APPS = tuple(listener for listener in LISTENERS if listener in SAYINGS)
FOLLOWED = tuple(
    channel
    for channel in TABLE
    if channel.listener in ("platform", *APPS)
    and not (channel.listener in OWN_ROOT and channel.speaks == "socket.io")
)

_WAYS = {
    "http": _Way("platform", _http),
    "mqtt": _Way("medical", _mqtt),
    "trace": _Way("platform", _trace),
    **{channel.id: _way_of(channel) for channel in FOLLOWED},
}
CHANNELS = tuple(_WAYS)
LIVE = tuple(channel.id for channel in FOLLOWED if channel.speaks in SHARED)
OWN = tuple(channel.id for channel in FOLLOWED if channel.speaks not in SHARED)
# What all apps' listeners share is one piece of code: a few accesses show that others have it too.
AT_OTHER_APPS = tuple(
    channel.id
    for channel in FOLLOWED
    if channel.speaks in SHARED and channel.listener not in ("platform", "medical")
)
