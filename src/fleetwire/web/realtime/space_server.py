"""SpaceServer: one app's Socket.IO namespace on a listener's Socket.IO server."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import socketio  # type: ignore[import-untyped]  # it has no types
import structlog
from fastapi.requests import HTTPConnection

from fleetwire.errors import DomainError, StoreUnavailableError, TooManyError
from fleetwire.kit.http import Gate
from fleetwire.kit.people import remote_of
from fleetwire.kit.sockets import SocketSpace
from fleetwire.web.realtime.access import Access
from fleetwire.web.realtime.channel import UnavailableError
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.realtime.outbox import Outbox
from fleetwire.web.realtime.space_calls import SpaceCall
from fleetwire.web.realtime.spaces import SpaceClient, Spaces

log = structlog.get_logger("fleetwire.realtime")

MOST_QUEUED = 64  # events of one client that wait for their turn
FAREWELL_S = 5.0  # for the reason of an end

Come = Callable[[str, bool], None]  # a transport has somebody signed in more, or less


class AppSpace:
    """An app's space with its functions made ready."""

    def __init__(self, app: str, space: SocketSpace, services: Mapping[type, object]) -> None:
        """Raise SettingsError for a function that asks for what nobody has."""
        self.app = app
        self.space = space
        self.handlers = {
            event: SpaceCall(app, function, services, takes_said=True)
            for event, function in space.handlers.items()
        }
        self.connects = [
            SpaceCall(app, each, services, takes_said=False) for each in space.connects
        ]
        self.disconnects = [
            SpaceCall(app, each, services, takes_said=False) for each in space.disconnects
        ]
        self.rights = [SpaceCall(app, each, services, takes_said=False) for each in space.rights]


class SpaceServer:
    """Lets clients in, hands their events to the app's functions, and ends them with a reason."""

    def __init__(
        self,
        server: Any,
        served: AppSpace,
        hub: RealtimeHub,
        gate: Gate,
        spaces: Spaces,
        start: Callable[[Any], None],
        come: Come,
    ) -> None:
        """`start` runs something as a task that ends with the listener."""
        self._server = server
        self._served = served
        self._space = served.space
        self._hub = hub
        self._gate = gate
        self._spaces = spaces
        self._start = start
        self._come = come
        self._clients: dict[str, SpaceClient] = {}
        # What each has shown, for whoever asks beside this space.
        self._shown: dict[str, tuple[HTTPConnection, str]] = {}
        self.greets = False  # says `welcome`, as the root does on every listener
        self.gone: Callable[[str], Awaitable[None]] | None = None
        namespace = self._space.namespace
        server.on("connect", self._connect, namespace=namespace)
        server.on("disconnect", self._disconnect, namespace=namespace)
        for event, call in served.handlers.items():
            server.on(event, self._handler(event, call), namespace=namespace)
        server.on("*", self._unknown, namespace=namespace)

    def has(self, event: str) -> bool:
        """Say whether an event is the app's own."""
        return event in self._served.handlers

    def shown(self, sid: str) -> tuple[SpaceClient, Access] | None:
        """Return a client with his credential, None if he is not in."""
        client = self._clients.get(sid)
        if client is None:
            return None
        return client, Access(self._gate, *self._shown[sid])

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object) -> None:
        connection = HTTPConnection(environ["asgi.scope"])
        said = dict(auth) if isinstance(auth, dict) else {}
        token = said.pop("token", None)
        token = token if isinstance(token, str) else ""
        access = Access(
            self._gate,
            connection,
            token,
            needs=frozenset({self._space.needs} if self._space.needs else ()),
            is_open=self._space.is_open,
        )
        transport = str(self._server.manager.eio_sid_from_sid(sid, self._space.namespace))
        try:
            caller = await access.caller()
            outbox = Outbox(self._sender(sid), self._taker(transport))
            client = SpaceClient(
                self._spaces, self._space, sid, access, caller, said, outbox, remote_of(connection)
            )
            client.rights_changed = self._rights_changed
            await self._hub.enter(client, "socket.io", self._served.app, self._space.namespace)
            try:
                self._spaces.add(client)
                if self.greets:
                    who = {"identity": caller.actor, "organization_id": caller.organization_id}
                    client.emit("welcome", who)
                await self._tell(self._served.connects, client)
                if not self._is_there(transport):  # gone while he was let in: nobody tells us later
                    await self._tell(self._served.disconnects, client)
                    raise UnavailableError("You have gone.")
            except BaseException:
                client.end()
                self._hub.forget(client)
                raise
        except DomainError as error:
            raise socketio.exceptions.ConnectionRefusedError(
                error.message, {"status": error.status, "field": error.field}
            ) from None
        except StoreUnavailableError:
            raise socketio.exceptions.ConnectionRefusedError(
                "The database does not answer. Try again.", {"status": 503}
            ) from None
        self._clients[sid] = client
        self._shown[sid] = (connection, token)
        self._come(transport, True)
        self._start(self._serve(client))

    def _sender(self, sid: str) -> Callable[[str, msgspec.Raw], Awaitable[None]]:
        async def send(event: str, content: msgspec.Raw) -> None:
            await self._server.emit(event, content, to=sid, namespace=self._space.namespace)

        return send

    def _taker(self, transport: str) -> Callable[[], Awaitable[None]]:
        async def taken() -> None:
            if not self._is_there(transport):
                raise ConnectionError("the client has gone")
            # The library's queue has no bound.
            await self._server.eio.sockets[transport].queue.join()

        return taken

    def _is_there(self, transport: str) -> bool:
        socket = self._server.eio.sockets.get(transport)
        return socket is not None and not socket.closed

    async def _serve(self, client: SpaceClient) -> None:
        """Send what is emitted to a client, until one of both ends it."""
        sending = asyncio.create_task(client.outbox.run())
        either: list[asyncio.Future[Any]] = [sending, client.ended]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            (failure,) = await asyncio.gather(sending, return_exceptions=True)
            client.end(failure if isinstance(failure, DomainError) else None)
        error = client.ended.result()
        if error is not None:
            await self._farewell(client, error)
        await self._server.disconnect(client.id, namespace=self._space.namespace)

    async def _farewell(self, client: SpaceClient, error: DomainError) -> None:
        """Say why it ends. What waits is not sent: perhaps he may not have it any more."""
        said = {"status": error.status, "detail": error.message, "field": error.field}
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._sender(client.id)("refused", msgspec.Raw(msgspec.json.encode(said)))
        except (TimeoutError, ConnectionError):
            return

    async def _disconnect(self, sid: str, *_: object) -> None:
        client = self._clients.pop(sid, None)
        if client is None:
            return
        self._come(str(self._server.manager.eio_sid_from_sid(sid, self._space.namespace)), False)
        del self._shown[sid]
        client.end()
        self._hub.forget(client)
        if self.gone is not None:
            await self.gone(sid)
        try:
            await self._tell(self._served.disconnects, client)
        except Exception as error:
            log.error("an app's function fails", app=self._served.app, exc_info=error)

    async def _rights_changed(self, client: SpaceClient) -> None:
        try:
            await self._tell(self._served.rights, client)
        except (DomainError, StoreUnavailableError):
            raise
        except Exception as error:
            log.error("an app's function fails", app=self._served.app, exc_info=error)
            raise UnavailableError("Your access cannot be checked just now.") from None

    @staticmethod
    async def _tell(calls: list[SpaceCall], client: SpaceClient) -> None:
        for call in calls:
            await call(client)

    def _handler(self, event: str, call: SpaceCall) -> Callable[..., Awaitable[Any]]:
        async def handle(sid: str, *said: object) -> Any:
            client = self._clients.get(sid)
            if client is None or client.ended.done():
                return None  # it was ended while this was on its way
            try:
                if client.queued >= MOST_QUEUED:
                    raise TooManyError(f"{MOST_QUEUED} of your events wait already.")
                client.queued += 1
                try:
                    async with client.turn:
                        if client.ended.done():
                            return None
                        return await call(client, said)
                finally:
                    client.queued -= 1
            except DomainError as error:
                return self._refuse(client, event, error.status, error.message, error.field)
            except StoreUnavailableError:
                why = "The database does not answer. Try again."
                return self._refuse(client, event, 503, why, None)
            except Exception as error:
                log.error("an app's function fails", function=call.name, exc_info=error)
                return self._refuse(client, event, 500, "That failed here, not with you.", None)

        return handle

    async def _unknown(self, event: str, sid: str, *_: object) -> Any:
        client = self._clients.get(sid)
        if client is None:
            return None
        known = ", ".join(sorted(self._served.handlers))
        why = f"There is no event {str(event)[:100]!r} here; there are {known}."
        return self._refuse(client, str(event)[:100], 404, why, None)

    @staticmethod
    def _refuse(
        client: SpaceClient, event: str, status: int, detail: str, field: str | None
    ) -> dict[str, Any]:
        said = {"status": status, "detail": detail, "field": field}
        client.emit("error", {"event": event, **said})
        return said
