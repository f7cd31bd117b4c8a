"""WebSocketTunnel: a transport for MQTT that puts bytes into the frames of a WebSocket (§6)."""

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.client import ClientProtocol as WebSocketProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

SUBPROTOCOL = Subprotocol("mqtt")
LARGEST_FRAME_BYTES = 16 * 1024 * 1024  # frames need not align with packets; this bounds our memory


class WebSocketTunnel(asyncio.Protocol, asyncio.Transport):
    """The client's end: a protocol to the socket, and the transport of the protocol inside.

    That is connected once the handshake is done. If it fails, `refused` is called with the reason.
    """

    def __init__(
        self,
        inside: asyncio.Protocol,
        host: str,
        port: int,
        path: str,
        is_secure: bool,
        refused: Callable[[str], None],
    ) -> None:
        asyncio.Transport.__init__(self)
        resource, _, query = path.partition("?")
        self._inside = inside
        self._refused = refused
        self._is_open = False
        self._outside: asyncio.Transport | None = None
        self._websocket = WebSocketProtocol(
            WebSocketURI(is_secure, host, port, resource, query),
            subprotocols=[SUBPROTOCOL],  # [MQTT-6.0.0-3]
            max_size=LARGEST_FRAME_BYTES,
        )

    # --- to the socket ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._outside = transport
        self._websocket.send_request(self._websocket.connect())
        self._transmit()

    def data_received(self, data: bytes) -> None:
        websocket = self._websocket
        websocket.receive_data(data)
        received: list[bytes] = []
        for event in websocket.events_received():
            if isinstance(event, Response):
                if websocket.state is State.OPEN:
                    self._opened()
            elif isinstance(event, Frame):
                if event.opcode in (Opcode.BINARY, Opcode.CONT):
                    received.append(bytes(event.data))
                elif event.opcode is Opcode.TEXT:
                    # [MQTT-6.0.0-1] MQTT travels in binary frames; anything else closes.
                    websocket.fail(1003, "MQTT needs binary frames")
        if websocket.handshake_exc is not None and not self._is_open:
            self._refused(str(websocket.handshake_exc))
            self.abort()
        self._transmit()
        if received and self._is_open:
            self._inside.data_received(b"".join(received))
        if self._is_open and websocket.state is not State.OPEN and self._outside is not None:
            self._outside.close()  # it said goodbye, or we did; nobody waits for more

    def _opened(self) -> None:
        if self._websocket.subprotocol is None:
            # [MQTT-6.0.0-4] The server must choose what we offered.
            self._refused("the server did not choose the subprotocol mqtt")
            self.abort()
            return
        self._is_open = True
        self._inside.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_open:
            self._inside.connection_lost(exc)
        else:
            self._refused("the connection was closed before it was open")

    def pause_writing(self) -> None:
        if self._is_open:
            self._inside.pause_writing()

    def resume_writing(self) -> None:
        if self._is_open:
            self._inside.resume_writing()

    def _transmit(self) -> None:
        outside = self._outside
        assert outside is not None
        pieces = self._websocket.data_to_send()
        if not outside.is_closing():
            data = b"".join(pieces)
            if data:
                outside.write(data)
        if not all(pieces):  # an empty piece says: end our side here
            outside.close()

    # --- the transport inside ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._websocket.state is State.OPEN:
            self._websocket.send_binary(bytes(data))
            self._transmit()

    def close(self) -> None:
        if self._websocket.state is State.OPEN:
            self._websocket.send_close(1000)
            self._transmit()
        if self._outside is not None:
            self._outside.close()

    def abort(self) -> None:
        if self._outside is not None:
            self._outside.abort()

    def is_closing(self) -> bool:
        return self._outside is None or self._outside.is_closing()

    def pause_reading(self) -> None:
        if self._outside is not None and not self._outside.is_closing():
            self._outside.pause_reading()

    def resume_reading(self) -> None:
        if self._outside is not None and not self._outside.is_closing():
            self._outside.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._outside is not None:
            self._outside.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default if self._outside is None else self._outside.get_extra_info(name, default)
