"""Channels: Socket.IO, WebSocket and Server-Sent Events on a listener."""

from collections.abc import Sequence

from fastapi import FastAPI

from fleetwire.kit.http import Gate
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.realtime.socketio import SocketIO
from fleetwire.web.realtime.sse import sse_router
from fleetwire.web.realtime.websocket import websocket_router


class Channels:
    """One contract, three channels. `origins` are whose pages may use them beside our own."""

    def __init__(self, hub: RealtimeHub, gate: Gate, origins: Sequence[str]) -> None:
        self._routers = (sse_router(hub, gate, origins), websocket_router(hub, gate, origins))
        self._socket_io = SocketIO(hub, gate, origins)

    async def close(self) -> None:
        """End what the routes do not end by themselves."""
        await self._socket_io.close()

    def add_to(self, app: FastAPI) -> None:
        """Serve them on this listener too."""
        for router in self._routers:
            app.include_router(router)
        self._socket_io.add_to(app)
