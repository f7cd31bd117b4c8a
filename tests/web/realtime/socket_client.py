"""A Socket.IO client for tests, as small as it can be: protocol 5 over Engine.IO 4, WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.web.realtime.talk import Refused

WAIT_S = 10.0


class SocketIOClient:
    """One namespace on one connection; what it is told is kept in `told`, in order."""

    def __init__(self, socket: ClientConnection, namespace: str) -> None:
        self._socket = socket
        self._head = "" if namespace == "/" else f"{namespace},"
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self.told: list[tuple[str, Any]] = []
        self.is_closed = False
        self._news = asyncio.Condition()
        self._entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None

    async def enter(self, auth: dict[str, Any] | None) -> None:
        """Connect to the namespace. Raises Refused."""
        self._reading = asyncio.create_task(self._read())
        await self._socket.send(f"40{self._head}{'' if auth is None else json.dumps(auth)}")
        async with asyncio.timeout(WAIT_S):
            await self._entered

    async def say(self, event: str, *said: Any) -> None:
        """Send an event for which no acknowledgement is asked."""
        await self._socket.send(f"42{self._head}{json.dumps([event, *said])}")

    async def ask(self, event: str, *said: Any) -> Any:
        """Send an event; return its acknowledgement."""
        self._last += 1
        number = self._last
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(f"42{self._head}{number}{json.dumps([event, *said])}")
        async with asyncio.timeout(WAIT_S):
            return await answer

    async def next(self, event: str) -> Any:
        """Return the next thing told under this name, which is then no more in `told`."""
        async with asyncio.timeout(WAIT_S), self._news:
            while True:
                for index, (name, content) in enumerate(self.told):
                    if name == event:
                        del self.told[index]
                        return content
                if self.is_closed:
                    raise EOFError(f"closed; {self.told}")
                await self._news.wait()

    async def closed(self) -> None:
        """Return once the server has ended it."""
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(lambda: self.is_closed)

    async def stop_reading(self) -> None:
        """Take nothing from the socket any more, not even its end."""
        assert self._reading is not None
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    @property
    def is_reading(self) -> bool:
        """Say whether what comes is taken from the socket."""
        return self._reading is not None and not self._reading.done()

    async def _read(self) -> None:
        try:
            while True:
                text = await self._socket.recv()
                assert isinstance(text, str)
                if text == "2":
                    await self._socket.send("3")
                    continue
                await self._take(text)
        except ConnectionClosed:
            await self._close()

    async def _take(self, text: str) -> None:
        if not text[2:].startswith(self._head):
            return
        rest = text[2 + len(self._head) :]
        if text.startswith("40"):
            self._entered.set_result(None)
        elif text.startswith("44"):
            told = json.loads(rest)
            self._entered.set_exception(Refused(told["data"]["status"], told["message"]))
        elif text.startswith("43"):
            number, _, content = rest.partition("[")
            answer = json.loads(f"[{content}")
            self._answers.pop(int(number)).set_result(answer[0] if answer else None)
        elif text.startswith("42"):
            event, *content = json.loads(rest)
            async with self._news:
                self.told.append((event, content[0] if content else None))
                self._news.notify_all()
        elif text.startswith("41"):
            await self._close()

    async def _close(self) -> None:
        async with self._news:
            self.is_closed = True
            self._news.notify_all()


@asynccontextmanager
async def entered(
    port: int, namespace: str = "/", auth: dict[str, Any] | None = None
) -> AsyncIterator[SocketIOClient]:
    """Connect to a namespace. Raises Refused."""
    where = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
    async with connect(where, compression=None, proxy=None) as socket:
        assert str(await socket.recv()).startswith("0")
        client = SocketIOClient(socket, namespace)
        try:
            await client.enter(auth)
            yield client
        finally:
            if not client.is_reading:
                socket.transport.abort()
            await client.stop_reading()
