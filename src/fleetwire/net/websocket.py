"""WebSocketConnection: MQTT over WebSocket (MQTT 5.0 §6), on the sans-IO core of `websockets`."""

from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol as WebSocketProtocol
from websockets.typing import Subprotocol

from fleetwire.net.connection import MQTTConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.net.server import Server

PATHS = ("/", "/mqtt")


class WebSocketConnection(MQTTConnection):
    """An MQTT connection in binary frames, which need not align with packets [MQTT-6.0.0-2]."""

    def __init__(self, server: "Server", anonymous_allowed: bool) -> None:
        MQTTConnection.__init__(self, server, anonymous_allowed)
        self._websocket = WebSocketProtocol(
            # [MQTT-6.0.0-3] The client must offer "mqtt"; 3.1 libraries offer "mqttv3.1".
            subprotocols=[Subprotocol("mqtt"), Subprotocol("mqttv3.1")],
            max_size=server.limits.maximum_packet_size + 64 * 1024,
        )

    def data_received(self, data: bytes) -> None:
        websocket = self._websocket
        websocket.receive_data(data)
        received: list[bytes] = []
        for event in websocket.events_received():
            if isinstance(event, Request):
                self._answer_handshake(event)
            elif not isinstance(event, Frame):
                continue  # a Response is never what a server receives
            elif event.opcode in (Opcode.BINARY, Opcode.CONT):
                received.append(bytes(event.data))
            elif event.opcode is Opcode.TEXT:
                # [MQTT-6.0.0-1] MQTT travels in binary frames; anything else closes.
                websocket.fail(1003, "MQTT needs binary frames")
        self._transmit()
        if received and not self.closed:
            super().data_received(received[0] if len(received) == 1 else b"".join(received))
        if websocket.close_expected() and self.transport is not None:
            self.finish()

    def eof_received(self) -> bool:
        self._websocket.receive_eof()
        self._transmit()
        return False

    def _answer_handshake(self, request: Request) -> None:
        websocket = self._websocket
        path = request.path.partition("?")[0]
        try:
            if path not in PATHS:
                response = websocket.reject(404, "MQTT is served at / and /mqtt\n")
            elif "mqtt" not in request.headers.get("Sec-WebSocket-Protocol", ""):
                response = websocket.reject(
                    400, "This is MQTT over WebSocket: offer the subprotocol mqtt\n"
                )
            else:
                response = websocket.accept(request)
        except InvalidHandshake as error:  # pragma: no cover - accept() answers most of them itself
            response = websocket.reject(400, f"{error}\n")
        websocket.send_response(response)

    def _transmit(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        for data in self._websocket.data_to_send():
            if data:
                self.transport.write(data)
            else:
                self.transport.close()  # the protocol says: half-close here

    def send(self, data: bytes) -> None:
        if self._websocket.state is State.OPEN:
            self._websocket.send_binary(data)
            self._transmit()

    def finish(self) -> None:
        if not self.closed and self._websocket.state is State.OPEN:
            self.flush()
            self._websocket.send_close(1000)
            self._transmit()
        super().finish()
