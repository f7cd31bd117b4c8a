"""Remote: one connection to the other broker, as packets. It keeps nothing from one to the next."""

import asyncio
from collections.abc import Callable

from fleetwire.net.bridge.plan import BridgePlan
from fleetwire.net.bridge.secure import context_of
from fleetwire.net.dialing import ConnectionLostError, Endpoint, dial, reason_string
from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import PINGREQ_BYTES, encode_connect, encode_disconnect
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.packets import Connack, Connect, Disconnect, Packet

CLOSED = "the other side closed the connection"
WRITE_HIGH_BYTES = 1024 * 1024  # past this the other side counts as slow
CLOSE_TIMEOUT_S = 2.0  # for the last bytes to leave


class Remote(asyncio.Protocol):
    """Speaks as a client: CONNECT, Keep Alive, and whole packets in both directions.

    `ended` holds, at last, why the connection ended.
    """

    def __init__(self, connect: Connect, maximum_packet_size: int) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self.version = connect.protocol_version
        self.ended: asyncio.Future[str] = loop.create_future()
        self.is_congested = False
        self.is_reading = True
        self._connect = connect
        self._hear: Callable[[list[Packet]], None] | None = None
        self._turned: Callable[[bool], None] | None = None
        self._decoder = Decoder(maximum_packet_size, version=self.version, is_server=False)
        self._answer: asyncio.Future[Connack] = loop.create_future()
        self._is_joined = False
        self._early: list[Packet] = []  # came before `begin`
        self._transport: asyncio.Transport | None = None
        self._output: list[bytes] = []
        self._why = CLOSED
        self._keep_alive = connect.keep_alive
        self._ticker: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self._pinged_at = 0.0  # 0 = no PINGREQ is unanswered

    async def open(self, plan: BridgePlan, timeout_s: float) -> Connack:
        """Connect. Raises UnreachableError, ConnectionRefusedByServerError, SettingsError."""
        tls = await asyncio.to_thread(context_of, plan) if plan.is_tls else None
        endpoint = Endpoint(plan.host, plan.port, plan.websocket)
        connack = await dial(
            self, endpoint, self._answer, version=self.version, tls=tls, timeout_s=timeout_s
        )
        asked = (connack.properties or {}).get(c.SERVER_KEEP_ALIVE)
        if isinstance(asked, int):
            self._keep_alive = asked  # [MQTT-3.1.2-21]
        if self._keep_alive:
            self._tick()
        return connack

    def begin(self, hear: Callable[[list[Packet]], None], turned: Callable[[bool], None]) -> None:
        """Let somebody hear the packets of each read, and what has come behind CONNACK.

        `turned` is called when the other side stops, or begins again, to read what we write.
        """
        self._hear = hear
        self._turned = turned
        early, self._early = self._early, []
        self._pass(early)

    def write(self, data: bytes) -> None:
        """Send the bytes of packets, in one piece with what else this loop turn writes."""
        if not self._output:
            self._loop.call_soon(self._flush)
        self._output.append(data)

    def _flush(self) -> None:
        data = b"".join(self._output)
        self._output.clear()
        if self._transport is not None and not self._transport.is_closing() and data:
            self._transport.write(data)
            self._sent_at = self._loop.time()

    def read(self, wanted: bool) -> None:
        """Begin or stop to read."""
        if wanted == self.is_reading or self._transport is None:
            return
        self.is_reading = wanted
        if self._transport.is_closing():
            return
        if wanted:
            self._pinged_at = 0.0  # its PINGRESP may lie there unread
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def end(self, why: str) -> None:
        """Cut the connection."""
        self._why = why
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """Say goodbye and close."""
        if self._transport is None:
            return
        self._why = "closed by us"
        self.write(encode_disconnect(0, None, self.version))
        self._flush()
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.shield(self.ended)
        except TimeoutError:
            if self._transport is not None:
                self._transport.abort()

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        self.write(encode_connect(self._connect))

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            packets = self._decoder.feed(data)
            if self._decoder.error is not None:
                raise self._decoder.error
            self._take(packets)
        except ProtocolError as error:
            self.end(f"the other side broke the rules of MQTT: {error}")

    def _take(self, packets: list[Packet]) -> None:
        if not self._is_joined and packets:
            connack = packets.pop(0)
            if not isinstance(connack, Connack):
                raise ProtocolError("its first packet is not CONNACK")  # [MQTT-3.2.0-1]
            self._is_joined = True
            if not self._answer.done():
                self._answer.set_result(connack)
        self._pass(packets)

    def _pass(self, packets: list[Packet]) -> None:
        if self._hear is None:
            self._early.extend(packets)
            return
        passed = []
        for packet in packets:
            if packet.type == c.PINGRESP:
                self._pinged_at = 0.0
            elif isinstance(packet, Disconnect):
                reason = reason_string(packet.properties)
                name = c.reason_name(packet.reason_code)
                self.end(f"the other side disconnected us: {name}{': ' if reason else ''}{reason}")
            elif packet.type in (c.CONNACK, c.AUTH):
                self.end(f"the other side sent {packet!r} in a connection")
            else:
                passed.append(packet)
        if passed:
            self._hear(passed)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._why == CLOSED:
            self._why = f"the connection was lost: {exc}"
        self._transport = None
        if self._ticker is not None:
            self._ticker.cancel()
        if not self._answer.done():
            self._answer.set_exception(ConnectionLostError(self._why))
            self._answer.exception()  # nobody need be waiting
        if not self.ended.done():
            self.ended.set_result(self._why)

    def pause_writing(self) -> None:
        self.is_congested = True
        if self._turned is not None:
            self._turned(True)

    def resume_writing(self) -> None:
        self.is_congested = False
        if self._turned is not None:
            self._turned(False)

    def _tick(self) -> None:
        """Ping when we were silent for long [MQTT-3.1.2-20]; give up when nobody answers."""
        if self._transport is None:
            return
        now = self._loop.time()
        half = self._keep_alive / 2
        if self._pinged_at and self.is_reading and now - self._pinged_at >= half:
            self.end(f"the other side did not answer for {half:g} s")
            return
        if now - self._sent_at >= half:
            self.write(PINGREQ_BYTES)
            self._pinged_at = self._pinged_at or now
        self._ticker = self._loop.call_later(self._keep_alive / 4, self._tick)
