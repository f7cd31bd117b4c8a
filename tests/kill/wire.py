"""Just enough MQTT 3.1.1 over a plain socket, apart from our own protocol code, so that the two
cannot be wrong together."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

ANSWER_TIMEOUT_S = 10.0
# Ports of clients must not be ones that the server, killed a moment ago, is about to take again.
OWN_ADDRESS = ("127.0.0.2", 0)
CONNECT, CONNACK, PUBLISH = 0x10, 0x20, 0x30
PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x60, 0x70
SUBSCRIBE, SUBACK = 0x80, 0x90
DUP = 0x08


class RefusedError(AssertionError):
    """The server answered, and not with what a client may expect."""


class Packet(NamedTuple):
    """A packet from the server: its type, the other bits of its first byte, and the rest."""

    kind: int
    flags: int
    body: bytes

    @property
    def packet_id(self) -> int:
        """The Packet Identifier of an acknowledgement."""
        return int.from_bytes(self.body[:2], "big")


class Connection:
    """A connection of a client whose session outlives it. `session_present` is CONNACK's."""

    def __init__(self, connection: socket.socket, client_id: str) -> None:
        self._connection = connection
        self._packets = _packets(connection)
        head = _text("MQTT") + bytes([4, 0, 0, 60])  # clean session 0, 60 s
        self.send(_framed(CONNECT, head + _text(client_id)))
        connack = self.read()
        if connack.kind != CONNACK or connack.body[1] != 0:
            raise RefusedError(f"{client_id}: CONNECT was answered {connack!r}")
        self.session_present = connack.body[0] == 1

    def send(self, data: bytes) -> None:
        """Write bytes. Raises OSError."""
        self._connection.sendall(data)

    def read(self) -> Packet:
        """Return the next packet. Raises OSError, TimeoutError among them."""
        return next(self._packets)


@contextmanager
def connected(port: int, client_id: str) -> Iterator[Connection]:
    """Connect without a name; leave without a DISCONNECT. Raises OSError."""
    address = ("127.0.0.1", port)
    with socket.create_connection(address, ANSWER_TIMEOUT_S, OWN_ADDRESS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Connection(connection, client_id)


def publish(topic: str, payload: bytes, qos: int, packet_id: int, dup: bool) -> bytes:
    """Return a PUBLISH with QoS 1 or 2."""
    first = PUBLISH | qos << 1 | (DUP if dup else 0)
    return _framed(first, _text(topic) + packet_id.to_bytes(2, "big") + payload)


def answer(kind: int, packet_id: int) -> bytes:
    """Return an acknowledgement."""
    return bytes([kind | (2 if kind == PUBREL else 0), 2]) + packet_id.to_bytes(2, "big")


def subscribe(topic_filter: str, qos: int) -> bytes:
    """Return a SUBSCRIBE."""
    return _framed(SUBSCRIBE | 2, b"\0\1" + _text(topic_filter) + bytes([qos]))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _framed(first: int, body: bytes) -> bytes:
    assert len(body) < 128, "one byte of length is enough here"
    return bytes([first, len(body)]) + body


def _packets(connection: socket.socket) -> Iterator[Packet]:
    data = b""
    while True:
        begin = 0
        while len(data) - begin >= 2 and len(data) - begin >= 2 + data[begin + 1]:
            end = begin + 2 + data[begin + 1]
            yield Packet(data[begin] & 0xF0, data[begin] & 0x0F, data[begin + 2 : end])
            begin = end
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        data = data[begin:] + chunk
