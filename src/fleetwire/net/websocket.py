"""WebSocketConnection: MQTT over WebSocket (MQTT 5.0 §6), on the sans-IO core of `websockets`."""

import ipaddress
from urllib.parse import urlsplit

import structlog
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol as WebSocketProtocol
from websockets.typing import Subprotocol

from fleetwire.broker.session import Session
from fleetwire.net.clients import Client
from fleetwire.net.connection import MQTTConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.net.server import Server

log = structlog.get_logger("fleetwire.net")

PATHS = ("/", "/mqtt")
HANDSHAKE_BYTES = 16 * 1024  # of an HTTP request that somebody unknown may send us
FRAMING_BYTES = 64 * 1024  # a frame may hold the end of one large packet and small ones behind it


class WebSocketConnection(MQTTConnection):
    """An MQTT connection in binary frames, which need not align with packets [MQTT-6.0.0-2].

    The HTTP request may have 16 KiB; until CONNECT has come, little more is held than one may have.
    """

    def __init__(
        self, server: "Server", anonymous_allowed: bool, *, listener: str = "ws", remote: str = ""
    ) -> None:
        MQTTConnection.__init__(self, server, anonymous_allowed, listener=listener, remote=remote)
        self._websocket = WebSocketProtocol(
            # [MQTT-6.0.0-3] The client must offer "mqtt"; 3.1 libraries offer "mqttv3.1".
            subprotocols=[Subprotocol("mqtt"), Subprotocol("mqttv3.1")],
            max_size=server.limits.maximum_packet_size + FRAMING_BYTES,
        )
        self._is_proxied = remote != ""
        self._head = bytearray()  # the request, until it is complete
        self._unknown_bytes = 0  # received since then from somebody of whom we know nothing yet
        self._is_ending = False  # the closing handshake is done, or there is nothing to hand over

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        websocket = self._websocket
        if websocket.state is State.CONNECTING:
            data = self._shake_hands(data)
            if not data or self.closed:
                return
        websocket.receive_data(data)
        received: list[bytes] = []
        for event in websocket.events_received():
            if not isinstance(event, Frame):
                continue  # the request was the last of its kind
            if event.opcode in (Opcode.BINARY, Opcode.CONT):
                received.append(event.data if type(event.data) is bytes else bytes(event.data))
            elif event.opcode is Opcode.TEXT:
                # [MQTT-6.0.0-1] MQTT travels in binary frames; anything else closes.
                websocket.fail(1003, "MQTT needs binary frames")
                break
        self._transmit()
        if received:
            super().data_received(received[0] if len(received) == 1 else b"".join(received))
        if self.is_opening or self.closed:
            return  # what came with CONNECT is carried out before the end
        if self._is_ending:
            self._say_why()
            self.finish()
        elif self.session is None:
            # Somebody unknown may fill only so much memory.
            self._unknown_bytes += len(data)
            if self._unknown_bytes > FRAMING_BYTES + self.server.limits.connect_packet_size:
                websocket.fail(1009, "the CONNECT packet is too large")
                self._transmit()
                self._say_why()
                self.finish()

    def opened(self, session: Session, client: Client, keep_alive: int) -> None:
        super().opened(session, client, keep_alive)
        if self._is_ending and not self.closed:
            self._say_why()
            self.finish()

    def eof_received(self) -> bool:
        if not self.closed:
            self._websocket.receive_eof()
        return super().eof_received()

    # --- the opening handshake ---

    def _shake_hands(self, data: bytes) -> bytes:
        """Take bytes of the request; return what came behind it once it was accepted.

        What comes behind it is not for `websockets` to see before there is an answer.
        """
        head = self._head
        begun = len(head)
        head += data
        if head[:1] != b"G":
            self._refuse("it does not begin with the GET of a WebSocket handshake")
            return b""
        end = head.find(b"\r\n\r\n", max(0, begun - 3)) + 4
        if end < 4 and len(head) <= HANDSHAKE_BYTES:
            return b""
        self._head = bytearray()
        if end < 4 or end > HANDSHAKE_BYTES:
            reason = f"its request is longer than {HANDSHAKE_BYTES} bytes"
            self._websocket.send_response(self._websocket.reject(431, reason + "\n"))
            self._refuse(reason)
            return b""
        self._websocket.receive_data(bytes(head[:end]))
        for event in self._websocket.events_received():
            if isinstance(event, Request):
                self._answer(event)
        if self._websocket.state is not State.OPEN and not self.closed:
            self._refuse(f"no WebSocket handshake: {self._websocket.handshake_exc}")
        self._transmit()
        return bytes(head[end:])

    def _answer(self, request: Request) -> None:
        websocket = self._websocket
        if request.path.partition("?")[0] not in PATHS:
            response = websocket.reject(404, "MQTT is served at / and /mqtt\n")
        elif not request.headers.get_all("Sec-WebSocket-Protocol"):
            response = websocket.reject(
                400, "This is MQTT over WebSocket: offer the subprotocol mqtt\n"
            )
        else:
            response = websocket.accept(request)
        websocket.send_response(response)
        if response.status_code != 101:
            self._refuse(f"{response.status_code}: {response.body.decode().strip()}")
        elif self._is_from_elsewhere(request):
            self.anonymous_allowed = False

    def _refuse(self, reason: str) -> None:
        """Send what there is to say, log the reason, and close."""
        self._transmit()
        self.server.listeners.arrivals.refuse(self.listener, self.remote, reason[:200])
        self.finish()

    def _is_from_elsewhere(self, request: Request) -> bool:
        """Say whether another machine's web page speaks through a browser on this one.

        A listener on loopback serves whoever runs programs here; a page from elsewhere is not that.
        """
        origins = request.headers.get_all("Origin")
        peer = self.remote.rpartition(":")[0].strip("[]")
        if not origins or self._is_proxied or not _is_loopback(peer):
            return False
        return not all(_is_loopback(_host(origin)) for origin in origins)

    # --- output ---

    def _transmit(self) -> None:
        pieces = self._websocket.data_to_send()
        if not all(pieces):  # an empty piece says: end our side here
            self._is_ending = True
        if self.transport is not None and not self.transport.is_closing() and not self.closed:
            data = b"".join(pieces)
            if data:
                self.transport.write(data)

    def _say_why(self) -> None:
        """Log why the closing handshake is ours, if it is."""
        error = self._websocket.parser_exc
        sent = self._websocket.close_sent
        if error is not None:
            reason = f"WebSocket: {error}"
        elif sent is not None and not self._websocket.close_rcvd_then_sent:
            reason = f"WebSocket: {sent.reason}"
        else:
            return
        client_id = self.session.client_id if self.session is not None else ""
        log.warning(
            "connection closed",
            client_id=client_id[:64],
            remote=self.remote,
            reason=reason[:200],
        )
        self.reason = "protocol error"

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


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
