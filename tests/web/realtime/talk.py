"""Clients of the three channels, as small as they can be, with one interface."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

WAIT_S = 10.0
CHANNELS = ("websocket", "sse", "socket.io")


class Refused(Exception):  # noqa: N818  # what happened, not a fault of the test
    """The server said no: the status as HTTP has it, and why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        self.detail = detail


class Follower(ABC):
    """One subscription on one channel; what it is told comes as dicts with their `type`."""

    @abstractmethod
    async def next(self) -> dict[str, Any]:
        """Return the next thing told. Raises Refused when the server ends it with a reason."""

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the next thing of this type; what comes before is passed over."""
        async with asyncio.timeout(WAIT_S):
            while True:
                told = await self.next()
                if told["type"] == kind:
                    return told

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next `count` events."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += (await self.until("events"))["events"]
        assert len(found) == count
        return found


@asynccontextmanager
async def following(channel: str, url: str, token: str, **wish: Any) -> AsyncIterator[Follower]:
    """Follow on a channel. Raises Refused."""
    opened = {"websocket": _websocket, "sse": _sse, "socket.io": _socket_io}[channel]
    async with opened(url, token, wish) as follower:
        yield follower


# --- WebSocket ---


class _WebSocket(Follower):
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def next(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(await self.socket.recv())
        except ConnectionClosed as closed:
            raise refusal_of(closed) from None
        if told["type"] == "refused":
            raise Refused(told["status"], told["detail"])
        return told


@asynccontextmanager
async def _websocket(url: str, token: str, wish: dict[str, Any]) -> AsyncIterator[Follower]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    where = url.replace("http", "ws", 1) + "/api/v1/realtime/ws"
    async with connect(where, additional_headers=headers, compression=None, proxy=None) as socket:
        follower = _WebSocket(socket)
        if not token:
            await socket.send('{"type":"subscribe"}')
        await follower.until("welcome")
        await socket.send(json.dumps({"type": "subscribe", "id": "one", **wish}))
        yield follower


def refusal_of(closed: ConnectionClosed) -> Exception:
    """Return what a WebSocket's end says: the server's refusal, or how it was closed."""
    if closed.rcvd is None or closed.rcvd.code < 4000:
        return closed
    return Refused(closed.rcvd.code - 4000, closed.rcvd.reason)


# --- Server-Sent Events ---


class _Sse(Follower):
    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> dict[str, Any]:
        kind = ""
        async for line in self._lines:
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
                if kind == "refused":
                    raise Refused(data["status"], data["detail"])
                return {"type": kind, **data} if kind else {"type": "events", "events": [data]}
        raise EOFError


@asynccontextmanager
async def _sse(url: str, token: str, wish: dict[str, Any]) -> AsyncIterator[Follower]:
    lists = ("organizations", "apps", "devices", "groups", "events", "topics")
    query = {name[:-1] if name in lists else name: value for name, value in wish.items()}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    where = f"{url}/api/v1/realtime/events?{urlencode(query, doseq=True)}"
    async with (
        httpx.AsyncClient(timeout=WAIT_S) as http,
        http.stream("GET", where, headers=headers) as answer,
    ):
        if answer.status_code != 200:
            await answer.aread()
            said = answer.json()  # a problem, or as an app says its errors
            raise Refused(answer.status_code, said.get("detail") or said["error"])
        yield _Sse(answer.aiter_lines())


# --- Socket.IO, protocol 5 over Engine.IO 4 ---


class _SocketIO(Follower):
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def packet(self) -> str:
        """Return the next packet that is no ping."""
        while True:
            try:
                text = await self.socket.recv()
            except ConnectionClosed as closed:
                raise EOFError from closed
            assert isinstance(text, str)
            if text != "2":
                return text
            await self.socket.send("3")

    async def next(self) -> dict[str, Any]:
        while True:
            text = await self.packet()
            if text.startswith("44"):
                told = json.loads(text[2:])
                raise Refused(told["data"]["status"], told["message"])
            if text.startswith("43"):  # the answer to subscribe
                (answer,) = json.loads(text[text.index("[") :])
                if answer["status"] != 200:
                    raise Refused(answer["status"], answer["detail"])
            elif text.startswith("42"):
                kind, content = json.loads(text[2:])
                if kind == "refused":
                    raise Refused(content["status"], content["detail"])
                return {"type": kind, **content}
            elif text.startswith(("41", "1")):
                raise EOFError


@asynccontextmanager
async def _socket_io(url: str, token: str, wish: dict[str, Any]) -> AsyncIterator[Follower]:
    where = url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    async with connect(where, compression=None, proxy=None) as socket:
        follower = _SocketIO(socket)
        assert (await follower.packet()).startswith("0")
        await socket.send("40" + json.dumps({"token": token}))
        await follower.until("welcome")
        await socket.send("421" + json.dumps(["subscribe", {"id": "one", **wish}]))
        yield follower
