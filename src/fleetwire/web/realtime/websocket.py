"""WebSocket `/api/v1/realtime/ws`: JSON objects in text frames, both ways."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from fleetwire.errors import DomainError, InvalidValueError, UnauthenticatedError
from fleetwire.kit.http import Gate
from fleetwire.web.realtime.access import Access, check_origin, is_shown
from fleetwire.web.realtime.channel import Channel
from fleetwire.web.realtime.chunk import Part, part
from fleetwire.web.realtime.connection import Connection
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.realtime.messages import (
    framed,
    message_of,
    name_of,
    refusal,
    subscribe,
    welcome,
)

PATH = "/api/v1/realtime/ws"
FIRST_MESSAGE_S = 10.0  # for a client that shows its token in a message
FAULTS_MOST = 100  # messages that could not be carried out; then somebody is only making noise
CLOSE_CODE = 4000  # plus the HTTP status
MAX_REASON_BYTES = 123  # RFC 6455 §5.5: a close frame holds 125, two of them are the code


def websocket_router(
    hub: RealtimeHub, gate: Gate, origins: Sequence[str], only_app: str | None
) -> APIRouter:
    """Return the route. Pings and their time-outs are the listener's."""
    router = APIRouter()

    @router.websocket(PATH)
    async def follow(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            check_origin(websocket, origins)
            access = await _access(websocket, gate)
            connection = await hub.connect(access, _Frames(websocket), "websocket", only_app)
        except DomainError as error:
            await _close(websocket, error)
            return
        except WebSocketDisconnect:
            return
        talking = asyncio.create_task(_talk(websocket, connection))
        try:
            over: set[asyncio.Future[Any]] = {talking, connection.ended}
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        finally:
            talking.cancel()
            await connection.close()
            (said,) = await asyncio.gather(talking, return_exceptions=True)
        why = connection.ended.result() or said
        if isinstance(why, DomainError):
            await _close(websocket, why)
        elif isinstance(why, Exception):
            raise why

    return router


class _Frames(Channel):
    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def send(self, subscription: str | None, part: Part) -> None:
        try:
            await self._websocket.send_text(framed(subscription, part))
        except (WebSocketDisconnect, RuntimeError) as error:
            raise ConnectionError("the client has gone") from error


async def _access(websocket: WebSocket, gate: Gate) -> Access:
    """Return how the client shows who it is; without header or `?token=`, by its first message."""
    if is_shown(websocket):
        return Access(gate, websocket)
    try:
        async with asyncio.timeout(FIRST_MESSAGE_S):
            message = message_of(await _text(websocket))
    except TimeoutError:
        raise UnauthenticatedError("No credential came.") from None
    token = message.get("token")
    if message.get("type") != "authenticate" or not isinstance(token, str) or not token:
        raise UnauthenticatedError(
            'Send {"type": "authenticate", "token": "…"} first, or a Bearer token in the header.'
        )
    return Access(gate, websocket, token)


async def _talk(websocket: WebSocket, connection: Connection) -> None:
    """Carry out what the client says, until it goes. Raises InvalidValueError past the bound."""
    channel = _Frames(websocket)
    faults = 0
    try:
        await channel.send(None, welcome(connection))
        while True:
            text = await _text(websocket)
            name: str | None = None
            try:
                message = message_of(text)
                name = name_of(message)
                await _obey(connection, channel, name, message)
            except DomainError as error:
                await channel.send(name, refusal(error))
                faults += 1
                if faults >= FAULTS_MOST:
                    raise
    except (WebSocketDisconnect, ConnectionError):
        return


async def _obey(
    connection: Connection, channel: Channel, name: str, message: dict[str, object]
) -> None:
    match message.get("type"):
        case "subscribe":
            await subscribe(connection, message)
        case "unsubscribe":
            await connection.unsubscribe(name)
            await channel.send(name, part("unsubscribed"))
        case "ping":
            await channel.send(None, part("pong"))
        case _:
            raise InvalidValueError("type is subscribe, unsubscribe or ping", field="type")


async def _text(websocket: WebSocket) -> str:
    received = await websocket.receive()
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1005))
    text = received.get("text")
    return text if isinstance(text, str) else ""


async def _close(websocket: WebSocket, error: DomainError) -> None:
    reason = error.message.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    with suppress(RuntimeError, WebSocketDisconnect):  # the client has gone already
        await websocket.close(CLOSE_CODE + error.status, reason)
