"""Following: what an app's own WebSocket is sent, beyond what /ws/mqtt shows."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket

from fleetwire.errors import ForbiddenError, TooManyError
from fleetwire.kit import Device, LiveEvent, follow, refuse
from fleetwire.web.visits import AddressVisits

ORDER = Device(1, "coffee", "m1", 1, "machine", {})


def event(number: int) -> LiveEvent:
    made = LiveEvent(number, "coffee", ORDER, "order.paid", "", {"n": number}, 0)
    made.text = f'{{"n":{number}}}'
    return made


class Stream:
    """Events as a Realtime gives them."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[list[LiveEvent]] = asyncio.Queue()
        self.is_closed = asyncio.Event()

    async def __call__(self) -> AsyncGenerator[list[LiveEvent], None]:
        try:
            yield []
            while True:
                yield await self.waiting.get()
        finally:
            self.is_closed.set()


class Client:
    """A WebSocket driven by hand."""

    def __init__(self, serve: Callable[[WebSocket], Any], visits: Any, host: str) -> None:
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})
        app = FastAPI()
        app.state.visits = visits
        app.websocket("/ws/{order}")(serve)
        scope: Any = {
            "type": "websocket", "path": "/ws/1", "raw_path": b"/ws/1", "root_path": "",
            "query_string": b"", "headers": [], "subprotocols": [], "scheme": "ws",
            "client": (host, 1), "server": ("127.0.0.1", 1), "state": {},
        }  # fmt: skip
        self.served = asyncio.create_task(app(scope, self.inbox.get, self.frames.put))

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return await self.frames.get()

    async def leave(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(5):
            await self.served


@pytest.fixture
def stream() -> Stream:
    return Stream()


async def test_the_greeting_comes_first_and_say_forms_and_leaves_out(stream: Stream) -> None:
    async def greet() -> str:
        stream.waiting.put_nowait([event(1)])  # what happens meanwhile is not missed
        return "welcome"

    async def serve(websocket: WebSocket) -> None:
        await follow(
            websocket,
            stream(),
            greeting=greet,
            say=lambda event: f"n={event.cursor}" if event.cursor % 2 else None,
        )

    client = Client(serve, None, "192.0.2.1")
    assert (await client.next())["type"] == "websocket.accept"
    stream.waiting.put_nowait([event(2), event(3)])
    assert [(await client.next())["text"] for _ in range(3)] == ["welcome", "n=1", "n=3"]
    await client.leave()
    assert stream.is_closed.is_set()


async def test_an_address_may_have_so_many_and_then_again(stream: Stream) -> None:
    visits = AddressVisits()

    async def serve(websocket: WebSocket) -> None:
        await follow(websocket, Stream()(), most_per_address=1)

    first = Client(serve, visits, "192.0.2.1")
    assert (await first.next())["type"] == "websocket.accept"
    second = Client(serve, visits, "192.0.2.1")
    assert (await second.next())["type"] == "websocket.accept"  # so that the reason can be read
    assert (await second.next())["code"] == 4429
    other = Client(serve, visits, "192.0.2.2")
    assert (await other.next())["type"] == "websocket.accept"
    await first.leave()
    third = Client(serve, visits, "192.0.2.1")
    assert (await third.next())["type"] == "websocket.accept"
    for client in (other, third):
        await client.leave()


async def test_a_stream_that_ends_with_an_error_closes_with_its_reason(stream: Stream) -> None:
    async def fails() -> AsyncGenerator[list[LiveEvent], None]:
        yield []
        raise ForbiddenError("no more coffee")

    async def serve(websocket: WebSocket) -> None:
        await follow(websocket, fails())

    client = Client(serve, None, "192.0.2.1")
    await client.next()
    assert await client.next() == {
        "type": "websocket.close", "code": 4403, "reason": "no more coffee"
    }  # fmt: skip


async def test_a_refusal_before_the_start_can_be_read(stream: Stream) -> None:
    async def serve(websocket: WebSocket) -> None:
        await refuse(websocket, TooManyError("é" * 100))

    client = Client(serve, None, "192.0.2.1")
    assert (await client.next())["type"] == "websocket.accept"
    closed = await client.next()
    assert closed["code"] == 4429
    assert closed["reason"] == "é" * 61  # of two bytes each; 123 fit
