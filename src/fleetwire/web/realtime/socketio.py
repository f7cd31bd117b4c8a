"""Socket.IO at `/socket.io/`: the same words as events, over WebSocket or long polling.

A client says `subscribe`, `unsubscribe`; it is told `welcome`, `snapshot`, `events`, `lagged`, …
Its credential is `auth: {token}`, a Bearer header or `?token=`.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import msgspec
import socketio  # type: ignore[import-untyped]  # it has no types
import structlog
from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from starlette.routing import Route, WebSocketRoute

from fleetwire.errors import (
    DomainError,
    InvalidValueError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from fleetwire.kit.http import Gate
from fleetwire.web.realtime.access import Access, is_origin_allowed
from fleetwire.web.realtime.channel import Channel
from fleetwire.web.realtime.chunk import Part
from fleetwire.web.realtime.connection import Connection
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.realtime.messages import (
    MAX_MESSAGE_CHARS,
    name_of,
    refusal,
    subscribe,
    welcome,
)
from fleetwire.web.realtime.space_server import AppSpace, SpaceServer
from fleetwire.web.realtime.spaces import SpaceClient, Spaces

log = structlog.get_logger("fleetwire.realtime")

PATH = "/socket.io/"
ROOT = "/"
PING_S = 20
BAD_PACKET = 4400  # as 400 in HTTP
SIGN_IN_S = 10.0  # from the transport's opening to a credential


class _Json:
    """JSON for the library, in which what is encoded already stays as it is."""

    @staticmethod
    def dumps(content: Any, **_: Any) -> str:
        return msgspec.json.encode(content).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        return msgspec.json.decode(text)


class SocketIO:
    """The channel, for the listeners it is added to."""

    def __init__(
        self,
        hub: RealtimeHub,
        gate: Gate,
        origins: Sequence[str],
        only_app: str | None,
        spaces: Spaces | None = None,
        served: Sequence[AppSpace] = (),
    ) -> None:
        """`served` are the namespaces of apps there. One of them may be the root.

        That app lets clients in then; whoever is in may follow events beside it.
        """
        self._hub = hub
        self._only_app = only_app
        self._gate = gate
        self._connections: dict[str, Connection] = {}
        self._signed_in: Counter[str] = Counter()  # how many of those are on each transport
        self._watches: set[asyncio.Task[None]] = set()
        self._server = socketio.AsyncServer(
            async_mode="asgi",
            json=_Json,
            max_http_buffer_size=MAX_MESSAGE_CHARS,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            http_compression=False,
            # A traceback for each malformed packet is what a hostile client would like to see.
            engineio_logger=logging.Logger("engineio", logging.CRITICAL),
            cors_allowed_origins=lambda origin, environ: is_origin_allowed(
                origin, environ.get("HTTP_HOST"), origins
            ),
            cors_credentials=False,
        )
        self._server.eio.on("connect", self._opened)
        self._server.eio.on("message", self._heard)
        self._root: SpaceServer | None = None
        for each in served:
            assert spaces is not None, "the apps' namespaces need their rooms"
            server = SpaceServer(self._server, each, hub, gate, spaces, self._start, self._come)
            if each.space.namespace == ROOT:
                self._root = server
        if self._root is None:
            self._server.on("connect", self._connect)
            self._server.on("disconnect", self._disconnect)
        else:
            self._root.greets = True
            self._root.gone = self._leave
        for event, work in (("subscribe", self._subscribe), ("unsubscribe", self._unsubscribe)):
            if self._root is None or not self._root.has(event):
                self._server.on(event, work)

    def add_to(self, app: FastAPI) -> None:
        """Serve on this listener."""
        serve = socketio.ASGIApp(self._server, socketio_path=PATH)
        app.router.routes.append(Route(PATH, _Endpoint(serve), include_in_schema=False))
        app.router.routes.append(WebSocketRoute(PATH, _Endpoint(serve)))

    async def close(self) -> None:
        """End every connection and the library's own task."""
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for transport in list(self._server.eio.sockets):
            await self._server.eio.disconnect(transport)
        await self._server.shutdown()

    async def _opened(self, transport: str, environ: dict[str, Any]) -> object:
        """Let a transport in; the library would keep one for ever that nobody signs in on."""
        self._start(self._expect(transport))
        return await self._server._handle_eio_connect(transport, environ)

    async def _heard(self, transport: str, packet: object) -> None:
        """Take a packet; whoever sends what is none is disconnected, as in MQTT."""
        try:
            await self._server._handle_eio_message(transport, packet)
        except Exception as error:  # the library reads packets without checking them
            log.warning("a Socket.IO client was disconnected", error=repr(error)[:200])
            self._start(self._server.eio.disconnect(transport))

    async def _expect(self, transport: str) -> None:
        await asyncio.sleep(SIGN_IN_S)
        if transport not in self._signed_in:
            await self._server.eio.disconnect(transport)

    def _come(self, transport: str, is_in: bool) -> None:
        """Count who is signed in on a transport; one that is left may be used again for a while."""
        if is_in:
            self._signed_in[transport] += 1
            return
        self._signed_in[transport] -= 1
        if not self._signed_in[transport]:
            del self._signed_in[transport]
            if transport in self._server.eio.sockets:
                self._start(self._expect(transport))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object) -> None:
        scope = environ["asgi.scope"]
        token = auth.get("token") if isinstance(auth, dict) else None
        access = Access(self._gate, HTTPConnection(scope), token if isinstance(token, str) else "")
        try:
            channel = _Emits(self._server, sid)
            connection = await self._hub.connect(access, channel, "socket.io", self._only_app)
        except DomainError as error:
            raise socketio.exceptions.ConnectionRefusedError(
                error.message, {"status": error.status}
            ) from None
        except StoreUnavailableError:
            raise socketio.exceptions.ConnectionRefusedError(
                "The database does not answer. Try again.", {"status": 503}
            ) from None
        socket = self._server.eio.sockets.get(self._transport(sid))
        if socket is None or socket.closed:  # gone while it was let in: nobody tells us later
            await connection.close()
            return
        self._connections[sid] = connection
        self._come(self._transport(sid), True)
        self._start(self._greet(sid, connection))

    def _transport(self, sid: str) -> str:
        return str(self._server.manager.eio_sid_from_sid(sid, "/"))

    async def _greet(self, sid: str, connection: Connection) -> None:
        await _Emits(self._server, sid).emit(None, welcome(connection))
        await self._watch(sid, connection)

    async def _watch(self, sid: str, connection: Connection) -> None:
        """Close the connection once it may not go on."""
        channel = _Emits(self._server, sid)
        error = await connection.ended
        if error is not None:
            await channel.emit(None, refusal(error))
        await self._server.disconnect(sid)

    async def _disconnect(self, sid: str, *_: object) -> None:
        if sid in self._connections:
            self._come(self._transport(sid), False)
            await self._leave(sid)

    async def _leave(self, sid: str) -> None:
        connection = self._connections.pop(sid, None)
        if connection is not None:
            await connection.close()

    async def _follow(self, client: SpaceClient, access: Access) -> None:
        """Let somebody who is in an app's root namespace follow events as well."""
        async with client.turn:
            if client.id in self._connections or client.ended.done():
                return
            channel = _Emits(self._server, client.id)
            connection = await self._hub.connect(access, channel, "socket.io", self._only_app)
            if client.ended.done():
                await connection.close()
                return
            self._connections[client.id] = connection
            self._start(self._watch(client.id, connection))

    async def _subscribe(self, sid: str, *said: object) -> dict[str, Any]:
        return await self._answer(subscribe, sid, said)

    async def _unsubscribe(self, sid: str, *said: object) -> dict[str, Any]:
        async def unsubscribe(connection: Connection, message: dict[str, Any]) -> None:
            await connection.unsubscribe(name_of(message))

        return await self._answer(unsubscribe, sid, said)

    async def _answer(
        self,
        work: Callable[[Connection, dict[str, Any]], Awaitable[None]],
        sid: str,
        said: tuple[object, ...],
    ) -> dict[str, Any]:
        """Carry out what a client said; return what it is answered."""
        try:
            shown = None if self._root is None else self._root.shown(sid)
            if shown is not None:
                await self._follow(*shown)
            connection = self._connections.get(sid)
            if connection is None:
                raise UnauthenticatedError("Connect first.")
            if len(said) != 1 or not isinstance(said[0], dict):
                raise InvalidValueError("Send one object with it.")
            await work(connection, said[0])
        except DomainError as error:
            return {"status": error.status, "detail": error.message, "field": error.field}
        return {"status": 200}


class _Endpoint:
    """An ASGI app as the endpoint of a route; a function would be taken for a handler."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        except ValueError as error:
            if scope["type"] != "websocket":
                raise
            # The library lets through what is wrong with a packet's first character.
            log.warning("a Socket.IO client was disconnected", error=repr(error)[:200])
            await send({"type": "websocket.close", "code": BAD_PACKET})


class _Emits(Channel):
    def __init__(self, server: Any, sid: str) -> None:
        self._server = server
        self._sid = sid

    async def send(self, subscription: str | None, part: Part) -> None:
        await self.emit(subscription, part)
        engine_sid = self._server.manager.eio_sid_from_sid(self._sid, "/")
        socket = self._server.eio.sockets.get(engine_sid)
        if socket is None or socket.closed:
            raise ConnectionError("the client has gone")
        # The library's queue has no bound: wait until the client has taken what is in it.
        await socket.queue.join()

    async def emit(self, subscription: str | None, part: Part) -> None:
        name = "" if subscription is None else f'"id":{msgspec.json.encode(subscription).decode()},'
        content = f"{{{name}{part.members}}}"
        await self._server.emit(part.name, msgspec.Raw(content.encode()), to=self._sid)
