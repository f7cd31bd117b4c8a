"""Publisher: a device that numbers its messages and remembers which were acknowledged.

It speaks just enough MQTT 3.1.1 over a plain socket, apart from our own protocol code, so that the
two cannot be wrong together. When the connection breaks it connects again and sends what was not
acknowledged once more, the same bytes.
"""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.house import Login

WINDOW = 20  # messages under way
ANSWER_TIMEOUT_S = 10.0
RETRY_S = 0.02
CONNACK = 0x20
PUBACK = 0x40
PUBLISH_QOS1 = 0x32


class RefusedError(AssertionError):
    """The server answered, and not with what a QoS 1 publisher may expect."""


class Publisher:
    """One device in a thread of its own. `acknowledged` are the numbers whose PUBACK it saw.

    `on_acknowledged` is called in its thread after each PUBACK.
    """

    def __init__(self, port: int, login: Login, on_acknowledged: Callable[[], None]) -> None:
        self.device_id = login.username
        self.acknowledged: set[int] = set()
        self.sent = 0
        self.connections = 0
        self.error: Exception | None = None
        self._port = port
        self._login = login
        self._on_acknowledged = on_acknowledged
        self._started_at_ms = time.time_ns() // 1_000_000
        self._unacknowledged: list[int] = []  # in order of first sending
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.device_id, daemon=True)

    def start(self) -> None:
        """Connect and publish from now on."""
        self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Send nothing new, wait for what is under way. Raises what went wrong in the thread."""
        self._finishing.set()
        self._thread.join(timeout_s)
        if self.error is not None:
            raise self.error
        assert not self._thread.is_alive(), (
            f"{self.device_id}: {len(self._unacknowledged)} messages were never acknowledged"
        )

    def _run(self) -> None:
        try:
            while self._unacknowledged or not self._finishing.is_set():
                try:
                    with self._connected() as (connection, packets):
                        self._publish(connection, packets)
                except OSError:
                    # The server is gone or not there yet; that it never comes back, finish() tells.
                    time.sleep(RETRY_S)
        except Exception as error:
            self.error = error

    @contextmanager
    def _connected(self) -> Iterator[tuple[socket.socket, Iterator[tuple[int, bytes]]]]:
        address = ("127.0.0.1", self._port)
        with socket.create_connection(address, ANSWER_TIMEOUT_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(_connect(self._login))
            packets = _packets(connection)
            kind, body = next(packets)
            if kind != CONNACK or body[1] != 0:
                raise RefusedError(f"{self.device_id}: CONNECT was answered {kind:#x} {body!r}")
            self.connections += 1
            yield connection, packets

    def _publish(self, connection: socket.socket, packets: Iterator[tuple[int, bytes]]) -> None:
        under_way: dict[int, int] = {}  # Packet Identifier → number
        next_id = 0
        again = list(self._unacknowledged)
        while True:
            output = b""
            while len(under_way) < WINDOW:
                if again:
                    number = again.pop(0)
                elif not self._finishing.is_set():
                    number, self.sent = self.sent, self.sent + 1
                    self._unacknowledged.append(number)
                else:
                    break
                next_id = next_id % 65535 + 1
                under_way[next_id] = number
                output += self._packet(number, next_id)
            connection.sendall(output)
            if not under_way:
                return
            kind, body = next(packets)
            packet_id = int.from_bytes(body[:2], "big")
            if kind != PUBACK or packet_id not in under_way:
                raise RefusedError(f"{self.device_id}: unexpected packet {kind:#x} {body!r}")
            number = under_way.pop(packet_id)
            self._unacknowledged.remove(number)
            self.acknowledged.add(number)
            self._on_acknowledged()

    def _packet(self, number: int, packet_id: int) -> bytes:
        # The same bytes each time it is sent: a redelivery must be recognised by its content.
        payload = json.dumps(
            {
                "device_id": self.device_id,
                "metric_type": "count",
                "timestamp": self._started_at_ms + number,
                "value": number,
            }
        ).encode()
        topic = _text(f"devices/{self.device_id}/data")
        return _framed(PUBLISH_QOS1, topic + packet_id.to_bytes(2, "big") + payload)


def _connect(login: Login) -> bytes:
    flags = 0x80 | 0x40 | 0x02  # user name, password, clean session
    head = _text("MQTT") + bytes([4, flags, 0, 60])
    return _framed(0x10, head + _text(login.username) + _text(login.username) + _text(login[1]))


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _framed(first: int, body: bytes) -> bytes:
    length, left = b"", len(body)
    while left > 127:
        length += bytes([left & 127 | 128])
        left >>= 7
    return bytes([first]) + length + bytes([left]) + body


def _packets(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yield (type bits, body) of what the server sends; all of it is shorter than 128 bytes."""
    data = b""
    while True:
        while len(data) >= 2 and len(data) >= 2 + data[1]:
            yield data[0] & 0xF0, data[2 : 2 + data[1]]
            data = data[2 + data[1] :]
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        data += chunk
