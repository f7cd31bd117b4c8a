"""WebListener: one ASGI app on one port, inside our event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from fleetwire.errors import SettingsError

BACKLOG = 2048
DRAIN_S = 3  # for requests under way when we are asked to stop
TICK_S = 1.0


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End `serve`."""
        self.should_exit = True
        self._stop.set()

    async def main_loop(self) -> None:
        """Keep the date of the answers right, and hear at once when to stop."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TICK_S)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: the house decides when all its listeners stop."""
        yield


class WebListener:
    """Serves an ASGI app over HTTP and WebSocket."""

    def __init__(self, name: str, app: ASGIApp, host: str, port: int) -> None:
        self.name = name
        self._socket = _bind(name, host, port)
        self.port = int(self._socket.getsockname()[1])
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=DRAIN_S,
                ws="websockets-sansio",
                ws_max_size=1024 * 1024,
                # An event is encoded once for all; compression would be done for each reader.
                ws_per_message_deflate=False,
                server_header=False,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; return once connections are accepted."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise SettingsError(f"The {self.name} listener did not start.")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Finish the requests under way and close."""
        self._server.stop()
        if self._task is not None:
            await self._task
        self._socket.close()


def _bind(name: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By its protocol asyncio knows that this is TCP, and sets TCP_NODELAY; without it each answer
    # waits some 40 ms for the other side's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Cannot listen on {host}:{port} for {name}: {error.strerror or error}. "
            "Stop the program that uses this port, or choose another one."
        ) from error
    listener.setblocking(False)
    return listener
