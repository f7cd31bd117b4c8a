"""MQTTClient: asyncio around ClientProtocol, one object per connection.

Does not: reconnect (make another client, or call `connect` again: what was not acknowledged is then
sent again), keep anything over the end of the process.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable

from fleetwire.net.dialing import (
    ClientError as ClientError,
    ConnectionLostError as ConnectionLostError,
    ConnectionRefusedByServerError as ConnectionRefusedByServerError,
    Endpoint,
    UnreachableError as UnreachableError,
    dial,
    reason_string,
)
from fleetwire.protocol import constants as c
from fleetwire.protocol.client import CONNECTED, DISCONNECTED, ClientProtocol
from fleetwire.protocol.encoder import PINGREQ_BYTES, encode_disconnect
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Properties,
    Publish,
    Suback,
    Subscription,
    Unsuback,
)

CLOSE_TIMEOUT_S = 2.0  # for the last bytes to leave
QUEUE_MESSAGES = 1_000


class MessageRefusedError(ClientError):
    """The server acknowledged a message with an error. `reason_code` says which."""

    def __init__(self, topic_name: str, reason_code: int, reason: str) -> None:
        words = f"{c.reason_name(reason_code)} (0x{reason_code:02X})"
        said = f"{words}: {reason}" if reason else words
        super().__init__(f"The message to {topic_name} was refused: {said}")
        self.reason_code = reason_code


class SubscriptionRefusedError(ClientError):
    """The server granted none of this Topic Filter."""

    def __init__(self, topic_filter: str, reason_code: int) -> None:
        words = f"{c.reason_name(reason_code)} (0x{reason_code:02X})"
        super().__init__(f"The subscription to {topic_filter} was refused: {words}")
        self.reason_code = reason_code


class MQTTClient(asyncio.Protocol):
    """One client of an MQTT server.

    Received messages go to `on_message`, called as they come, or else into a bounded queue that
    `messages` empties; when it is full, nothing more is read from the network. `keep_alive` is in
    seconds, 0 = none.
    """

    def __init__(
        self,
        client_id: str = "",
        *,
        version: int = c.V5,
        username: str | None = None,
        password: str | None = None,
        keep_alive: int = 60,
        clean_start: bool = True,
        will: Publish | None = None,
        properties: Properties | None = None,
        on_message: Callable[[Publish], None] | None = None,
        queue_messages: int = QUEUE_MESSAGES,
    ) -> None:
        secret = None if password is None else password.encode()
        self._protocol = ClientProtocol(
            Connect(
                version, client_id, clean_start, keep_alive, username, secret, will, properties
            ),
            manual_ack=True,
        )
        self._on_message = on_message
        self._queue: deque[Publish] = deque()
        self._queue_messages = queue_messages
        self._transport: asyncio.Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # One future each for whoever waits: for CONNACK, by packet id for an acknowledgement, for
        # room to send, for a message, for the end of the transport.
        self._connack: asyncio.Future[Connack] | None = None
        self._acks: dict[int, asyncio.Future[Packet]] = {}
        self._room: asyncio.Future[None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._is_congested = False
        self._is_reading_paused = False
        self._why = "The connection was closed by the other side"
        self._ticker: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self._pinged_at = 0.0  # 0 = no PINGREQ is unanswered

    @property
    def client_id(self) -> str:
        """Our Client Identifier; the server's choice if we named none."""
        return self._protocol.connect.client_id

    @property
    def is_connected(self) -> bool:
        """Whether messages can be sent now."""
        return self._protocol.state == CONNECTED

    async def connect(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        websocket: str | None = None,
        timeout_s: float = 10.0,
    ) -> Connack:
        """Connect and return what the server answered; `websocket` is the path of one.

        Raises UnreachableError, or ConnectionRefusedByServerError.
        """
        loop = self._loop = asyncio.get_running_loop()
        self._connack = loop.create_future()
        try:
            connack = await dial(
                self,
                Endpoint(host, port, websocket),
                self._connack,
                version=self._protocol.version,
                tls=tls,
                timeout_s=timeout_s,
            )
        except BaseException:
            self._abort()
            raise
        finally:
            self._connack = None
        if self._protocol.keep_alive:
            self._tick()
        return connack

    async def publish(
        self,
        topic_name: str,
        payload: bytes,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> int:
        """Send a message; return the reason code of its acknowledgement, 0 at once with QoS 0.

        Waits while the network or the server's Receive Maximum has no room. Raises
        MessageRefusedError, ConnectionLostError, and ProtocolError for what cannot be sent.
        """
        while self._is_congested or (qos and self._protocol.window == 0):
            await self._wait_for_room()
        ack = self.publish_soon(topic_name, payload, qos, retain, properties)
        if ack is None:
            return c.SUCCESS
        packet = await ack
        assert isinstance(packet, Ack)
        if packet.reason_code >= c.UNSPECIFIED_ERROR:
            reason = reason_string(packet.properties)
            raise MessageRefusedError(topic_name, packet.reason_code, reason)
        return packet.reason_code

    def publish_soon(
        self,
        topic_name: str,
        payload: bytes,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> "asyncio.Future[Packet] | None":
        """Send a message without waiting; return what its Ack will come to, None with QoS 0.

        Raises ConnectionLostError, ReceiveMaximumExceededError while the server allows no more,
        and other ProtocolErrors for what cannot be sent.
        """
        self._check_connected()
        packet_id, data = self._protocol.publish(topic_name, payload, qos, retain, properties)
        self._write(data)
        return self._expect(packet_id) if packet_id else None

    async def subscribe(self, *subscriptions: Subscription) -> list[int]:
        """Subscribe; return the granted QoS of each.

        Raises SubscriptionRefusedError for the first that was refused; the others hold.
        """
        self._check_connected()
        packet_id, data = self._protocol.subscribe(list(subscriptions))
        self._write(data)
        suback = await self._expect(packet_id)
        assert isinstance(suback, Suback)
        for subscription, code in zip(subscriptions, suback.reason_codes, strict=False):
            if code >= c.UNSPECIFIED_ERROR:
                raise SubscriptionRefusedError(subscription.topic_filter, code)
        return suback.reason_codes

    async def unsubscribe(self, *topic_filters: str) -> None:
        """Unsubscribe from these."""
        self._check_connected()
        packet_id, data = self._protocol.unsubscribe(list(topic_filters))
        self._write(data)
        await self._expect(packet_id)

    async def messages(self) -> AsyncIterator[Publish]:
        """Yield each message, acknowledging it as it is handed over.

        Ends with ConnectionLostError, or quietly after our own `disconnect`.
        """
        while True:
            while not self._queue:
                if self._transport is None:
                    if self._why:
                        raise ConnectionLostError(self._why)
                    return
                self._arrival = asyncio.get_running_loop().create_future()
                await self._arrival
            publish = self._queue.popleft()
            if self._is_reading_paused and len(self._queue) <= self._queue_messages // 2:
                self._is_reading_paused = False
                if self._transport is not None:
                    self._transport.resume_reading()
            self._acknowledge(publish)
            yield publish

    async def disconnect(self) -> None:
        """Say goodbye (no Will is published) and close. Doing so twice is no error."""
        transport, closed = self._transport, self._closed
        if transport is None or closed is None:
            return
        if self._protocol.state == CONNECTED:
            self._write(encode_disconnect(0, None, self._protocol.version))
        self._why = ""
        transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.shield(closed)
        except TimeoutError:
            transport.abort()

    # --- asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        assert self._loop is not None
        self._transport = transport
        self._closed = self._loop.create_future()
        self._why = "The connection was closed by the other side"
        self._is_congested = self._is_reading_paused = False
        self._pinged_at = 0.0
        self._write(self._protocol.connect_bytes())

    def data_received(self, data: bytes) -> None:
        for packet in self._protocol.receive(data):
            self._pass(packet)
        output = self._protocol.take_output()
        if output:
            self._write(output)
        if self._protocol.error is not None:
            self._why = f"The server broke the rules of MQTT: {self._protocol.error}"
        if self._protocol.state == DISCONNECTED and self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._why:
            self._why = f"The connection was lost: {exc}"
        self._protocol.connection_lost()
        self._transport = None
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        error = ConnectionLostError(self._why or "The client was disconnected")
        waiting: list[asyncio.Future[Packet] | asyncio.Future[Connack] | asyncio.Future[None]]
        waiting = list(self._acks.values())
        self._acks.clear()
        waiting += [future for future in (self._connack, self._room) if future is not None]
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # nobody need be waiting
        self._room = None
        self._wake_reader()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._is_congested = True

    def resume_writing(self) -> None:
        self._is_congested = False
        self._make_room()

    # --- inside ---

    def _pass(self, packet: Packet) -> None:
        if isinstance(packet, Publish):
            self._take(packet)
        elif isinstance(packet, (Ack, Suback, Unsuback)):
            waiting = self._acks.pop(packet.packet_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(packet)
            self._make_room()
        elif packet.type == c.PINGRESP:
            self._pinged_at = 0.0
        elif isinstance(packet, Connack):
            if self._connack is not None and not self._connack.done():
                self._connack.set_result(packet)
        elif isinstance(packet, Disconnect):
            reason = reason_string(packet.properties)
            name = c.reason_name(packet.reason_code)
            self._why = f"The server disconnected us: {name}{': ' if reason else ''}{reason}"

    def _take(self, publish: Publish) -> None:
        if self._on_message is not None:
            self._on_message(publish)
            self._protocol.acknowledge(publish)  # leaves with what this read leads to
            return
        self._queue.append(publish)
        if len(self._queue) >= self._queue_messages and not self._is_reading_paused:
            assert self._transport is not None
            self._is_reading_paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def _acknowledge(self, publish: Publish) -> None:
        self._protocol.acknowledge(publish)
        output = self._protocol.take_output()
        if output:
            self._write(output)

    def _expect(self, packet_id: int) -> "asyncio.Future[Packet]":
        assert self._loop is not None
        future: asyncio.Future[Packet] = self._loop.create_future()
        self._acks[packet_id] = future
        return future

    async def _wait_for_room(self) -> None:
        self._check_connected()
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._room)  # others may wait for the same

    def _make_room(self) -> None:
        if self._room is not None and not self._is_congested:
            self._room.set_result(None)
            self._room = None

    def _wake_reader(self) -> None:
        if self._arrival is not None:
            if not self._arrival.done():
                self._arrival.set_result(None)
            self._arrival = None

    def _check_connected(self) -> None:
        if self._protocol.state != CONNECTED:
            raise ConnectionLostError(self._why or "The client is not connected")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and self._loop is not None:
            self._transport.write(data)
            self._sent_at = self._loop.time()

    def _tick(self) -> None:
        """Ping when we were silent for long [MQTT-3.1.2-20]; give up when nobody answers."""
        loop, transport = self._loop, self._transport
        if loop is None or transport is None:
            return
        keep_alive = self._protocol.keep_alive
        now = loop.time()
        if self._pinged_at and now - self._pinged_at >= keep_alive / 2:
            self._why = f"The server did not answer for {keep_alive / 2:g} s"
            transport.abort()
            return
        if not self._pinged_at and now - self._sent_at >= keep_alive / 2:
            self._write(PINGREQ_BYTES)
            self._pinged_at = now
        self._ticker = loop.call_later(keep_alive / 4, self._tick)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
