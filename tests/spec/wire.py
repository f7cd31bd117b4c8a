"""Wire and House: a server and its clients, made of bytes.

    house.wire() -> connect / send / send_bytes -> read, rest, messages, end

A house is the real broker behind the real server. In memory its clock stands still until the test
moves it; a wire's bytes go straight into MQTTConnection and what it writes comes straight back.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.takers import Taker
from fleetwire.net.authenticator import Authenticator
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from tests.spec.door import Door
from tests.spec.pipes import (
    WAIT_S,
    MemoryPipe,
    MemoryTransport,
    Pipe,
    SocketPipe,
    WebSocketPipe,
    settle,
)

P = TypeVar("P", bound=Packet)
MakeHouse = Callable[..., Awaitable["House"]]  # the fixture make_house


class Clock:
    """Stands in for the module `time` in `fleetwire.net`; moves when told to."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def time_ns(self) -> int:
        return round(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def time(self) -> float:
        return self.seconds


class House:
    """One server; `medium` is memory, tcp, tls, ws or wss."""

    def __init__(
        self,
        clock: Clock,
        medium: str,
        *,
        limits: Limits | None = None,
        connection_limits: ConnectionLimits | None = None,
        authenticator: Authenticator | None = None,
        refusals: Taker | None = None,
    ) -> None:
        self.clock = clock
        self.medium = medium
        self.broker = Broker(limits or Limits(), refusals)
        self.server = Server(
            self.broker,
            authenticator or Door(),
            connection_limits or ConnectionLimits(),
        )
        self.port = 0
        self.tls: ssl.SSLContext | None = None  # the client's side
        self._wires: list[Wire] = []

    async def wire(self, version: int = c.V5) -> "Wire":
        """Return a new connection on which nothing was sent."""
        pipe: Pipe
        if self.medium == "memory":
            pipe = MemoryPipe(self.server, anonymous_allowed=True)
        elif self.medium in ("tcp", "tls"):
            pipe = await SocketPipe.open(self.port, self.tls)
        else:
            pipe = await WebSocketPipe.open(self.port, self.tls)
        wire = Wire(self, pipe, version)
        self._wires.append(wire)
        return wire

    async def client(
        self, client_id: str = "client", version: int = c.V5, **more: object
    ) -> "Wire":
        """Return a connected client; `more` as for `Wire.connect`."""
        wire = await self.wire(version)
        connack = await wire.connect(client_id, **more)  # type: ignore[arg-type]  # passed on
        assert connack.reason_code == 0, connack
        return wire

    async def advance(self, seconds: float) -> None:
        """Let time pass: connections are checked, Wills and sessions fall due."""
        self.clock.seconds += seconds
        for connection in list(self.server.connections):
            connection.check(self.clock.monotonic())
        self.broker.tick(self.clock.time_ns() // 1000)
        await settle()

    async def close(self) -> None:
        for wire in self._wires:
            wire.pipe.cut()
        await settle()
        await self.server.close(timeout_s=0.2)


class Wire:
    """A client made of bytes; `said` is all that the server has written to it."""

    def __init__(self, house: House, pipe: Pipe, version: int) -> None:
        self.house = house
        self.pipe = pipe
        self.version = version
        self.said = bytearray()
        self.is_over = False  # the connection has ended
        self.connack: Connack | None = None
        self._decoder = Decoder(1 << 28, version=version, is_server=False)
        self._packets: list[Packet] = []
        self._packet_id = 0

    @property
    def transport(self) -> MemoryTransport:
        """The server's transport (in memory only)."""
        assert isinstance(self.pipe, MemoryPipe)
        return self.pipe.transport

    # --- sending ---

    def send_bytes(self, data: bytes | str) -> None:
        """Send bytes as they are; text is hex, in which spaces are free."""
        self.pipe.write(bytes.fromhex(data) if isinstance(data, str) else data)

    def send(self, *packets: Packet) -> None:
        self.send_bytes(b"".join(encode(packet, self.version) for packet in packets))

    async def connect(
        self,
        client_id: str = "client",
        *,
        clean: bool = True,
        keep_alive: int = 0,
        username: str | None = None,
        password: bytes | None = None,
        will: Publish | None = None,
        properties: Properties | None = None,
    ) -> Connack:
        """Send CONNECT; return CONNACK."""
        self.send(
            Connect(
                self.version, client_id, clean, keep_alive, username, password, will, properties
            )
        )
        self.connack = await self.expect(Connack)
        return self.connack

    async def subscribe(
        self,
        topic_filter: str,
        qos: int = 0,
        *,
        identifier: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
    ) -> int:
        """Subscribe; return the reason code."""
        subscription = Subscription(
            topic_filter, qos, no_local, retain_as_published, retain_handling
        )
        properties: Properties | None = (
            {c.SUBSCRIPTION_IDENTIFIER: [identifier]} if identifier else None
        )
        self.send(Subscribe(self.next_packet_id(), [subscription], properties))
        suback = await self.expect(Suback)
        return suback.reason_codes[0]

    async def unsubscribe(self, *topic_filters: str) -> Unsuback:
        self.send(Unsubscribe(self.next_packet_id(), list(topic_filters)))
        return await self.expect(Unsuback)

    async def publish(
        self,
        topic_name: str,
        payload: bytes = b"x",
        qos: int = 0,
        *,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: Properties | None = None,
    ) -> int:
        """Publish, with QoS 2 to the end of the exchange; return the reason code."""
        if qos and not packet_id:
            packet_id = self.next_packet_id()
        self.send(Publish(topic_name, payload, qos, retain, dup, packet_id, properties))
        if qos == 0:
            await self.barrier()
            return 0
        answer = await self.expect(Ack)
        assert answer.type == (c.PUBACK if qos == 1 else c.PUBREC), answer
        assert answer.packet_id == packet_id
        if qos == 2 and answer.reason_code < 0x80:
            self.send(Ack(c.PUBREL, packet_id))
            completed = await self.expect(Ack)
            assert (completed.type, completed.packet_id) == (c.PUBCOMP, packet_id)
        return answer.reason_code

    def next_packet_id(self) -> int:
        self._packet_id += 1
        return self._packet_id

    async def disconnect(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        """Send DISCONNECT, and wait for the end."""
        self.send(Disconnect(reason_code, properties))
        assert await self.end() == []

    async def cut(self) -> None:
        """Lose the connection without a word."""
        await self.pipe.flush()
        connections = self.house.server.connections
        left = len(connections) - 1
        self.pipe.cut()
        self.is_over = True
        async with asyncio.timeout(WAIT_S):
            # Until the loop has seen the socket, of which nothing else tells.
            while len(connections) > left:  # noqa: ASYNC110 - there is no event to await
                await asyncio.sleep(0)
        await settle()

    # --- receiving ---

    async def read(self) -> Packet | None:
        """Return the next packet; None if nothing comes, or at the end (`is_over`)."""
        while not self._packets:
            if self.is_over:
                return None
            await self.pipe.flush()
            data = await self.pipe.read()
            if data is None:
                return None
            if not data:
                self.is_over = True
                return None
            self.said += data
            self._packets += self._decoder.feed(data)
            if self._decoder.error is not None:
                raise AssertionError(f"the server broke the rules: {self._decoder.error}")
        return self._packets.pop(0)

    async def expect(self, kind: type[P]) -> P:
        """Return the next packet, which must be of this kind; messages before it are kept."""
        earlier: list[Packet] = []
        while True:
            packet = await self.read()
            if isinstance(packet, kind):
                self._packets = earlier + self._packets
                return packet
            if packet is None or not isinstance(packet, Publish):
                raise AssertionError(f"{kind.__name__} should come, but: {packet!r}")
            earlier.append(packet)

    async def barrier(self) -> None:
        """Return when the server has taken everything that was sent."""
        if self.pipe.is_memory:
            await settle()
            return
        self.send(Pingreq())
        seen: list[Packet] = []
        while True:
            packet = await self.read()
            if packet is None or isinstance(packet, Pingresp):
                self._packets = seen + self._packets
                return
            seen.append(packet)

    async def rest(self) -> list[Packet]:
        """Return everything that has come by now, in order."""
        await self.barrier()
        packets: list[Packet] = []
        while self._packets or self.pipe.is_memory:
            packet = await self.read()
            if packet is None:
                break
            packets.append(packet)
        return packets

    async def messages(self) -> list[Publish]:
        """Return the messages that have come by now; nothing else may have."""
        packets = await self.rest()
        messages = [packet for packet in packets if isinstance(packet, Publish)]
        assert messages == packets, packets
        return messages

    async def end(self) -> list[Packet]:
        """Return what still came before the server closed; it must."""
        packets: list[Packet] = []
        while True:
            packet = await self.read()
            if packet is None:
                assert self.is_over, f"the server did not close; it sent {packets}"
                return packets
            packets.append(packet)

    async def closed_with(self) -> int:
        """Return the reason code of the DISCONNECT with which the server closed; it must."""
        packets = [packet for packet in await self.end() if not isinstance(packet, Publish)]
        assert packets, "the server closed without DISCONNECT"
        last = packets[-1]
        assert isinstance(last, Disconnect), packets
        return last.reason_code

    async def is_alive(self) -> bool:
        """Say whether the server still answers."""
        self.send(Pingreq())
        return isinstance(await self.expect(Pingresp), Pingresp)
