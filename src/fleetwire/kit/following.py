"""Following: committed events pushed into a WebSocket of an app's own.

    @router.websocket("/ws/orders/{order_id}")
    async def follow_order(websocket: WebSocket, order_id: str, realtime: TheRealtime) -> None:
        try:
            order = await find(order_id)  # raises NotFoundError
        except DomainError as error:
            await refuse(websocket, error)
            return
        caller = Caller.system(order.organization_id)
        events = realtime.stream(caller, app=APP, matches=lambda event: of(event) == order_id)
        await follow(websocket, events, most_per_address=20)

One text frame for each event. A reader that cannot keep up is held at its own socket: the stream
behind it is bounded and catches up from the store, so others do not notice, nothing is skipped.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.websockets import WebSocketState

from fleetwire.errors import DomainError
from fleetwire.kit.http import Visits, route_of, who_asks
from fleetwire.kit.people import remote_of
from fleetwire.kit.realtime import LiveEvent

RECHECK_S = 30.0  # a token may expire, an account be closed, while the socket stays open
MAX_REASON_BYTES = 123  # RFC 6455 §5.5: a close frame holds 125, two of them are the code

Say = Callable[[LiveEvent], str | None]
Greeting = str | Callable[[], Awaitable[str | None]] | None


def in_full(event: LiveEvent) -> str | None:
    """Return the event as the house says it: the message's own fields, then type, topic, cursor."""
    return event.text


async def follow(
    websocket: WebSocket,
    events: AsyncGenerator[list[LiveEvent], None],
    *,
    say: Say = in_full,
    greeting: Greeting = None,
    is_signed_in: bool = False,
    most_per_address: int | None = None,
) -> None:
    """Accept the socket and push events until its client goes.

    `say` returns the frame of an event, None = it is not for this socket. `greeting` is the
    first frame, or makes it, such as how things stand: it is called when the socket listens
    already, so no change falls between. With `is_signed_in` the caller must stay who he is: his
    credential is looked at again every RECHECK_S. `most_per_address` is how many sockets of an open
    route an address may have.
    A refusal closes with 4000 + the HTTP status and the reason, which a browser can read.
    """
    try:
        async with aclosing(events):
            with _staying(websocket, most_per_address):
                await anext(events)  # it listens now, before the client may believe so
                await websocket.accept()
                first = await greeting() if callable(greeting) else greeting
                if first is not None:
                    await websocket.send_text(first)
                await _until_either_ends(websocket, events, say, is_signed_in=is_signed_in)
    except DomainError as error:
        await refuse(websocket, error)
    except WebSocketDisconnect:
        return


def _staying(websocket: WebSocket, most: int | None) -> AbstractContextManager[None]:
    if most is None:
        return nullcontext()
    visits: Visits = websocket.app.state.visits
    return visits.stay(remote_of(websocket), route_of(websocket), most)


async def refuse(websocket: WebSocket, error: DomainError) -> None:
    """Close a socket, accepted or not, with 4000 + the HTTP status and the reason."""
    reason = error.message.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    with suppress(RuntimeError, WebSocketDisconnect):  # the client has gone already
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.accept()
        await websocket.close(4000 + error.status, reason)


async def _until_either_ends(
    websocket: WebSocket,
    events: AsyncGenerator[list[LiveEvent], None],
    say: Say,
    *,
    is_signed_in: bool,
) -> None:
    pushing = asyncio.create_task(_push(websocket, events, say))
    watching = asyncio.create_task(_watch(websocket, is_signed_in=is_signed_in))
    try:
        await asyncio.wait({pushing, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (pushing, watching):
            task.cancel()
        ends = await asyncio.gather(pushing, watching, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end


async def _push(
    websocket: WebSocket, events: AsyncGenerator[list[LiveEvent], None], say: Say
) -> None:
    async for batch in events:
        for event in batch:
            text = say(event)
            if text is not None:
                await websocket.send_text(text)
        # Sending into a socket with room does not pause; a long catch-up must let others in.
        await asyncio.sleep(0)


async def _watch(websocket: WebSocket, *, is_signed_in: bool) -> None:
    """Return when the client has gone. Raises UnauthenticatedError once it may not stay.

    What a client sends has no meaning here and is passed over.
    """
    receiving = asyncio.ensure_future(websocket.receive())
    try:
        while True:
            done, _ = await asyncio.wait({receiving}, timeout=RECHECK_S)
            if not done:
                if is_signed_in:
                    await who_asks(websocket)
                continue
            if receiving.result()["type"] == "websocket.disconnect":
                return
            receiving = asyncio.ensure_future(websocket.receive())
    finally:
        receiving.cancel()
