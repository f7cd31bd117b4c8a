"""Requests are counted by what was answered."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from fleetwire.web.traffic import Traffic


async def ignore(message: Message) -> None:
    """Somebody who is answered."""


async def nothing() -> Message:
    return {"type": "http.request"}


async def test_who_was_not_answered_is_counted_as_closed() -> None:
    async def leave(scope: Scope, receive: Receive, send: Send) -> None:
        raise ConnectionResetError

    traffic = Traffic()
    with pytest.raises(ConnectionResetError):
        await traffic.counted("x", leave)({"type": "http"}, nothing, ignore)
    assert traffic.requests == {("x", "closed"): 1}
    assert traffic.seconds[("x",)] > 0


async def test_an_answer_counts_once_however_long_its_body_is() -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    traffic = Traffic()
    for listener in ("x", "y", "x"):
        await traffic.counted(listener, answer)({"type": "http"}, nothing, ignore)
    assert traffic.requests == {("x", "201"): 2, ("y", "201"): 1}


async def test_a_websocket_is_no_request() -> None:
    async def chat(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    traffic = Traffic()
    await traffic.counted("x", chat)({"type": "websocket"}, nothing, ignore)
    assert not traffic.requests
