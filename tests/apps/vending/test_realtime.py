"""Kiosks are told by push of what becomes of their order."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.apps.vending.field import Field

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 5.0


class Socket:
    """A WebSocket of the app's listener, without a socket."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def frame(self) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            message = await self.sent.get()
        assert message["type"] == "websocket.send", message
        told: dict[str, Any] = json.loads(message["text"])
        return told


@asynccontextmanager
async def following(field: Field, path: str) -> AsyncIterator[Socket]:
    socket = Socket()
    await socket.received.put({"type": "websocket.connect"})
    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "subprotocols": [],
        "scheme": "ws",
        "client": ("127.0.0.1", 1),
        "server": ("hub", 80),
    }
    application = field.hub.house.listeners.application("vending")
    task = asyncio.create_task(application(scope, socket.received.get, socket.sent.put))  # type: ignore[arg-type]  # dicts of ASGI
    try:
        async with asyncio.timeout(WAIT_S):
            assert (await socket.sent.get())["type"] == "websocket.accept"
        yield socket
    finally:
        await socket.received.put({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(WAIT_S):
            await task


async def test_a_kiosk_is_told_every_change_failure_included(field: Field) -> None:
    """«Kiosks are told by push: Socket.IO/WebSocket room `order:{order_id}` with every state
    change, failure included.»
    """
    order_id = await field.order(2)
    other = await field.order(2)
    async with following(field, f"/ws/order:{order_id}") as socket:
        frame = await socket.frame()
        assert (frame["room"], frame["data"]["status"]) == (f"order:{order_id}", "PENDING")
        await field.notify(other)
        await field.notify(order_id)
        await field.answer(order_id, success=False, error="JAM")
        frames = [await socket.frame() for _ in range(3)]
    assert {frame["data"]["order_id"] for frame in frames} == {order_id}
    assert [frame["data"]["status"] for frame in frames] == ["PAID", "DISPENSING", "FAILED"]
    assert frames[-1]["data"]["failure_reason"] == "JAM"
    assert frames[-1]["data"]["refund_required"] is True


async def test_a_room_of_no_order_is_closed_with_the_reason(field: Field) -> None:
    async with following(field, "/ws/order:ORD-20260101-AAAAAAAA") as socket:
        async with asyncio.timeout(WAIT_S):
            message = await socket.sent.get()
    assert (message["type"], message["code"]) == ("websocket.close", 4404)
