"""A sender and a receiver for the relay under kills: each in a thread, each with a session that
outlives its connections, each sure of what it was told."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable

from tests.kill import wire

WINDOW = 20  # messages under way
RETRY_S = 0.02
LONGEST_ABSENCE_S = 0.1
MOST_AT_ONCE = 300  # messages that a receiver takes before it goes away for a moment
TOPIC = "relay/kill"  # no app takes it


class RelayClient(ABC):
    """A client in a thread of its own, which connects again whenever the connection breaks."""

    def __init__(self, port: int, client_id: str) -> None:
        self.client_id = client_id
        self.connections = 0
        self._port = port
        self._error: Exception | None = None
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=client_id, daemon=True)

    def start(self) -> None:
        """Connect, and go on."""
        self._thread.start()

    def check(self) -> None:
        """Raise what went wrong in the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def finish(self, timeout_s: float) -> None:
        """Begin nothing new and end when all is done. Raises what went wrong in the thread."""
        self._finishing.set()
        self._thread.join(timeout_s)
        self.check()
        assert not self._thread.is_alive(), f"{self.client_id}: {self._left()}"

    def _run(self) -> None:
        try:
            while not self._is_done():
                try:
                    with wire.connected(self._port, self.client_id) as connection:
                        self.connections += 1
                        self._serve(connection)
                except OSError:
                    # The server is gone or not there yet; that it never comes back, finish() tells.
                    time.sleep(RETRY_S)
        except Exception as error:
            self._error = error

    @abstractmethod
    def _serve(self, connection: wire.Connection) -> None:
        """Do what is to be done on one connection. Raises OSError when it breaks."""

    @abstractmethod
    def _is_done(self) -> bool:
        """Whether this client need not connect any more."""

    @abstractmethod
    def _left(self) -> str:
        """Say what is not done."""


class Sender(RelayClient):
    """Publishes numbers with one QoS. `acknowledged` are those it has PUBACK or PUBREC for.

    `may_send` holds it back; `on_acknowledged` is called in its thread.
    """

    def __init__(
        self,
        port: int,
        client_id: str,
        qos: int,
        may_send: Callable[[], bool],
        on_acknowledged: Callable[[], None],
    ) -> None:
        super().__init__(port, client_id)
        self.acknowledged: set[int] = set()
        self.qos = qos
        self._may_send = may_send
        self._on_acknowledged = on_acknowledged
        self._next = 0
        # By packet id, in the order of the first sending; None = PUBREC came, PUBCOMP did not.
        self._under_way: dict[int, int | None] = {}
        self._last_id = 0

    def _is_done(self) -> bool:
        return self._finishing.is_set() and not self._under_way

    def _left(self) -> str:
        return f"{len(self._under_way)} messages were never acknowledged"

    def _serve(self, connection: wire.Connection) -> None:
        again = b""
        for packet_id, number in self._under_way.items():
            if number is None:
                again += wire.answer(wire.PUBREL, packet_id)
            else:
                again += self._publish(number, packet_id, dup=True)
        connection.send(again)
        while True:
            self._send_new(connection)
            if self._under_way:
                connection.send(self._take(connection.read()))
            elif self._finishing.is_set():
                return
            else:
                time.sleep(RETRY_S)  # the receivers are behind

    def _send_new(self, connection: wire.Connection) -> None:
        output = b""
        while len(self._under_way) < WINDOW and not self._finishing.is_set() and self._may_send():
            self._last_id = self._last_id % 200 + 1  # few, so that they are used again soon
            if self._last_id in self._under_way:
                continue
            self._under_way[self._last_id] = self._next
            output += self._publish(self._next, self._last_id, dup=False)
            self._next += 1
        connection.send(output)

    def _publish(self, number: int, packet_id: int, dup: bool) -> bytes:
        payload = f"{self.client_id} {number}".encode()
        return wire.publish(f"{TOPIC}/{self.client_id}", payload, self.qos, packet_id, dup)

    def _take(self, packet: wire.Packet) -> bytes:
        packet_id = packet.packet_id
        if packet_id not in self._under_way:
            raise wire.RefusedError(f"{self.client_id}: unexpected packet {packet!r}")
        number = self._under_way[packet_id]
        if packet.kind == (wire.PUBACK if self.qos == 1 else wire.PUBCOMP):
            del self._under_way[packet_id]
        elif packet.kind == wire.PUBREC and self.qos == 2:
            self._under_way[packet_id] = None
        else:
            raise wire.RefusedError(f"{self.client_id}: unexpected packet {packet!r}")
        if number is not None:
            self.acknowledged.add(number)
            self._on_acknowledged()
        return wire.answer(wire.PUBREL, packet_id) if packet.kind == wire.PUBREC else b""


class Receiver(RelayClient):
    """Subscribes once with QoS 2, and comes and goes. `got` counts what came, by sender and number.

    `subscribed` is set with the SUBACK; from then on the session must never be gone.
    """

    def __init__(self, port: int, client_id: str, seed: int) -> None:
        super().__init__(port, client_id)
        self.got: Counter[tuple[str, int]] = Counter()
        self.order: dict[str, list[int]] = {}  # as they came first, by sender
        self.subscribed = threading.Event()
        self._random = random.Random(seed)
        self._held: set[int] = set()  # packet ids of QoS 2 messages until their PUBREL
        self._expected: set[tuple[str, int]] = set()

    def expect(self, messages: set[tuple[str, int]]) -> None:
        """Say what must have come before this client is done."""
        self._expected = messages

    def _is_done(self) -> bool:
        return self._finishing.is_set() and self._expected <= self.got.keys()

    def _left(self) -> str:
        missing = sorted(self._expected - self.got.keys())
        return f"{len(missing)} acknowledged messages are lost, such as {missing[:10]}"

    def _serve(self, connection: wire.Connection) -> None:
        if not connection.session_present:
            if self.subscribed.is_set():
                raise wire.RefusedError(f"{self.client_id}: its session is gone")
            self._held.clear()
            connection.send(wire.subscribe(f"{TOPIC}/#", 2))
        left = self._random.randrange(1, MOST_AT_ONCE)
        while not self._is_done():
            packet = connection.read()
            if packet.kind == wire.SUBACK:
                if packet.body[2] != 2:
                    raise wire.RefusedError(f"{self.client_id}: SUBSCRIBE was answered {packet!r}")
                self.subscribed.set()
            elif packet.kind == wire.PUBREL:
                self._held.discard(packet.packet_id)
                connection.send(wire.answer(wire.PUBCOMP, packet.packet_id))
            elif packet.kind == wire.PUBLISH:
                left -= 1
                if left == 0:
                    break  # it has arrived, and was not read
                self._take(connection, packet)
            else:
                raise wire.RefusedError(f"{self.client_id}: unexpected packet {packet!r}")
        if not self._is_done():
            time.sleep(self._random.uniform(0, LONGEST_ABSENCE_S))

    def _take(self, connection: wire.Connection, packet: wire.Packet) -> None:
        body = packet.body
        end = 2 + int.from_bytes(body[:2], "big")
        packet_id = int.from_bytes(body[end : end + 2], "big")
        qos = packet.flags >> 1 & 3
        if qos == 1 or packet_id not in self._held:
            sender, number = body[end + 2 :].decode().split()
            message = (sender, int(number))
            if message not in self.got:
                self.order.setdefault(sender, []).append(int(number))
            self.got[message] += 1
        if qos == 2:
            self._held.add(packet_id)
        connection.send(wire.answer(wire.PUBACK if qos == 1 else wire.PUBREC, packet_id))
