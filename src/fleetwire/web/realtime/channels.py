"""Channels: Socket.IO, WebSocket and Server-Sent Events on a listener."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount, compile_path

from fleetwire.errors import SettingsError
from fleetwire.kit.http import Gate
from fleetwire.web.realtime import socketio, sse, websocket
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.realtime.space_server import AppSpace
from fleetwire.web.realtime.spaces import Spaces

PATHS = (sse.PATH, websocket.PATH, socketio.PATH)


class Channels:
    """One contract, three channels, on one listener. `origins` are whose pages may use them.

    `only_app` is the app whose listener it is: there is nothing else to be followed on it.
    """

    def __init__(
        self,
        hub: RealtimeHub,
        gate: Gate,
        origins: Sequence[str],
        only_app: str | None = None,
        spaces: Spaces | None = None,
        served: Sequence[AppSpace] = (),
    ) -> None:
        """`served` are the Socket.IO namespaces of apps there, whose rooms are in `spaces`."""
        self._only_app = only_app
        self._routers = (
            sse.sse_router(hub, gate, origins, only_app),
            websocket.websocket_router(hub, gate, origins, only_app),
        )
        self._socket_io = socketio.SocketIO(hub, gate, origins, only_app, spaces, served)

    async def close(self) -> None:
        """End what the routes do not end by themselves."""
        await self._socket_io.close()

    def add_to(self, app: FastAPI, name: str | None = None) -> None:
        """Serve them on the listener. Raises SettingsError if a route there would take their place.

        Routes are tried in the order in which they were added, so those of an app come first.
        """
        for context in iter_route_contexts(app.routes):
            path = context.path
            if path is None:
                continue
            is_mount = isinstance(context.original_route, Mount)
            taken, _, _ = compile_path(f"{path}/{{rest:path}}" if is_mount else path)
            for channel in PATHS:
                if taken.match(channel):
                    raise SettingsError(
                        f"The app {(name or self._only_app)!r} declares the route {path!r}, and "
                        f"{channel!r} is where its listener serves live events. Give the route "
                        "another path."
                    )
        for router in self._routers:
            app.include_router(router)
        self._socket_io.add_to(app)
