"""Pipes: how the bytes of a test reach the server, in memory or over a real socket."""

import asyncio
import contextlib
import ssl
from abc import ABC, abstractmethod
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fleetwire.net.connection import MQTTConnection
from fleetwire.net.server import Server

TURNS = 20  # of the event loop: more than any exchange here takes, and still no time
WAIT_S = 5.0


class Pipe(ABC):
    """The client's end of one connection."""

    is_memory = False

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes."""

    @abstractmethod
    async def read(self) -> bytes | None:
        """Return what has come, at least one byte; b"" at the end; None if nothing will come."""

    @abstractmethod
    def cut(self) -> None:
        """Lose the connection, without a word."""

    async def flush(self) -> None:
        """Return when the bytes have left."""


async def settle() -> None:
    """Let everything happen that needs no waiting."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class MemoryTransport(asyncio.Transport):
    """What asyncio would be to the server: keeps what it writes and what it asks for."""

    def __init__(self, connection: MQTTConnection) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_ended = False  # the server will write nothing more
        self.is_reading_paused = False
        self.max_size = 0
        self._connection = connection
        self._coming: list[bytes] = []
        self._is_lost = False

    # --- the server's side ---

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50_000) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_ended, "the server wrote after its end"
        self.written += data

    def write_eof(self) -> None:
        self.is_ended = True
        # A client that reads the end closes its own side.
        asyncio.get_running_loop().call_soon(self._far_end_closed)

    def _far_end_closed(self) -> None:
        if not self._is_lost:
            self._connection.eof_received()
            self.lose(None)

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._is_lost

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self.is_ended = True
        asyncio.get_running_loop().call_soon(self.lose, None)

    def pause_reading(self) -> None:
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        self.is_reading_paused = False
        asyncio.get_running_loop().call_soon(self._deliver)

    # --- the client's side ---

    def come(self, data: bytes) -> None:
        self._coming.append(data)
        self._deliver()

    def _deliver(self) -> None:
        while self._coming and not self.is_reading_paused and not self._is_lost:
            self._connection.data_received(self._coming.pop(0))

    def lose(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = self.is_ended = True
            self._connection.connection_lost(error)


class MemoryPipe(Pipe):
    """Straight into MQTTConnection."""

    is_memory = True

    def __init__(self, server: Server, *, anonymous_allowed: bool) -> None:
        self.connection = MQTTConnection(server, anonymous_allowed)
        self.transport = MemoryTransport(self.connection)
        self.connection.connection_made(self.transport)

    def write(self, data: bytes) -> None:
        self.transport.come(data)

    async def read(self) -> bytes | None:
        transport = self.transport
        if not transport.written and not transport.is_ended:
            await settle()
        if transport.written:
            data = bytes(transport.written)
            transport.written.clear()
            return data
        return b"" if transport.is_ended else None

    def cut(self) -> None:
        self.transport.lose(ConnectionResetError())


class SocketPipe(Pipe):
    """TCP or TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None) -> "SocketPipe":
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self) -> bytes | None:
        async with asyncio.timeout(WAIT_S):
            try:
                return await self._reader.read(65_536)
            except ConnectionResetError:
                return b""

    def cut(self) -> None:
        self._writer.transport.abort()

    async def flush(self) -> None:
        with contextlib.suppress(ConnectionError):  # what the server said before is read next
            await self._writer.drain()


class WebSocketPipe(Pipe):
    """MQTT in WebSocket, plain or secure."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._coming: list[bytes] = []

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None) -> "WebSocketPipe":
        scheme = "ws" if tls is None else "wss"
        uri = f"{scheme}://127.0.0.1:{port}/mqtt"
        mqtt: Any = ["mqtt"]  # the library's own name for a list of str
        return cls(await connect(uri, subprotocols=mqtt, ssl=tls, proxy=None))

    def write(self, data: bytes) -> None:
        self._coming.append(data)

    async def flush(self) -> None:
        coming, self._coming = self._coming, []
        with contextlib.suppress(ConnectionClosed):  # likewise
            for data in coming:
                await self._socket.send(data)

    async def read(self) -> bytes | None:
        await self.flush()
        async with asyncio.timeout(WAIT_S):
            try:
                data = await self._socket.recv()
            except ConnectionClosed:
                return b""
        assert isinstance(data, bytes), "[MQTT-6.0.0-1]: MQTT is sent in binary frames"
        return data

    def cut(self) -> None:
        self._socket.transport.abort()
