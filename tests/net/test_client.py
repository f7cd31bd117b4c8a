"""The client against a server that follows a script, packet by packet, on a real socket."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from fleetwire.net.client import (
    ConnectionLostError,
    ConnectionRefusedByServerError,
    MessageRefusedError,
    MQTTClient,
    SubscriptionRefusedError,
    UnreachableError,
)
from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.errors import InvalidTopicError, PacketTooLargeError
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)

HOST = "127.0.0.1"
PATIENCE_S = 5.0


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(1_000_000)
        self._packets: list[Packet] = []

    async def next(self) -> Packet:
        """Return the next packet of the client. Raises EOFError when there is none."""
        while not self._packets:
            async with asyncio.timeout(PATIENCE_S):
                chunk = await self._reader.read(65_536)
            if not chunk:
                raise EOFError
            self._packets = self._decoder.feed(chunk)
            assert self._decoder.error is None
        return self._packets.pop(0)

    def send(self, *packets: Packet) -> None:
        """Send packets, in one write."""
        version = self._decoder.version or c.V5
        self._writer.write(b"".join(encode(packet, version) for packet in packets))

    async def drain(self, patience_s: float) -> None:
        """Wait until the client has taken nearly all of it. Raises TimeoutError."""
        async with asyncio.timeout(patience_s):
            await self._writer.drain()

    def send_raw(self, data: bytes) -> None:
        """Send bytes that need not be MQTT."""
        self._writer.write(data)

    async def accept(self, properties: Properties | None = None) -> Connect:
        """Answer the CONNECT, and return it."""
        connect = await self.next()
        assert isinstance(connect, Connect)
        self.send(Connack(False, c.SUCCESS, properties))
        return connect

    async def until_closed(self) -> list[Packet]:
        """Return all that comes before the client closes."""
        packets: list[Packet] = []
        try:
            while True:
                packets.append(await self.next())
        except EOFError:
            return packets


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def server(script: Script) -> AsyncIterator[int]:
    """Run the script for one connection; yield the port. What the script finds wrong, fails."""
    outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Peer(reader, writer))
        except BaseException as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, HOST, 0)
    try:
        yield listener.sockets[0].getsockname()[1]
        async with asyncio.timeout(PATIENCE_S):
            await outcome
    finally:
        listener.close()


async def test_connect_says_who_we_are() -> None:
    seen: list[Connect] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.accept())
        await peer.until_closed()

    async with server(script) as port:
        will = Publish("t/will", b"gone", 1)
        client = MQTTClient("me", username="u", password="p", keep_alive=7, will=will)
        await client.connect(HOST, port)
        assert client.is_connected
        await client.disconnect()
    [connect] = seen
    assert (connect.client_id, connect.username, connect.password) == ("me", "u", b"p")
    assert connect.keep_alive == 7
    assert connect.will is not None
    assert connect.will.topic_name == "t/will"


async def test_the_server_may_name_us() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept({c.ASSIGNED_CLIENT_IDENTIFIER: "auto-1"})
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        assert client.client_id == "auto-1"
        await client.disconnect()


@pytest.mark.parametrize(
    ("version", "sent", "meant"),
    [
        (c.V5, c.BAD_USER_NAME_OR_PASSWORD, c.BAD_USER_NAME_OR_PASSWORD),
        (c.V311, c.REFUSED_BAD_USER_NAME_OR_PASSWORD, c.BAD_USER_NAME_OR_PASSWORD),
        (c.V311, c.REFUSED_NOT_AUTHORIZED, c.NOT_AUTHORIZED),
    ],
)
async def test_a_refusal_names_its_reason(version: int, sent: int, meant: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.next()
        peer.send(Connack(False, sent))

    async with server(script) as port:
        with pytest.raises(ConnectionRefusedByServerError) as caught:
            await MQTTClient("me", version=version).connect(HOST, port)
    assert caught.value.reason_code == meant
    assert c.reason_name(meant) in str(caught.value)


async def test_a_refusal_shows_the_servers_own_words() -> None:
    async def script(peer: Peer) -> None:
        await peer.next()
        peer.send(Connack(False, c.NOT_AUTHORIZED, {c.REASON_STRING: "credential expired"}))

    async with server(script) as port:
        with pytest.raises(ConnectionRefusedByServerError, match="credential expired"):
            await MQTTClient().connect(HOST, port)


async def test_nothing_listens(free_port: int) -> None:
    with pytest.raises(UnreachableError, match="Nothing listens") as caught:
        await MQTTClient().connect(HOST, free_port)
    assert caught.value.cause == "refused"


async def test_a_name_nobody_knows() -> None:
    with pytest.raises(UnreachableError) as caught:
        await MQTTClient().connect("no-such-host.invalid", 1883)
    assert caught.value.cause == "name"


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.until_closed()

    async with server(script) as port:
        with pytest.raises(UnreachableError) as caught:
            await MQTTClient().connect(HOST, port, timeout_s=0.05)
    assert caught.value.cause == "timeout"


async def test_a_server_that_closes_at_once() -> None:
    async def script(peer: Peer) -> None:
        await peer.next()

    async with server(script) as port:
        with pytest.raises(UnreachableError) as caught:
            await MQTTClient().connect(HOST, port)
    assert caught.value.cause == "closed"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_server_without_tls(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(serve, HOST, 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(UnreachableError) as caught:
            await MQTTClient().connect(HOST, port, tls=ssl.create_default_context())
    assert caught.value.cause == "tls"


async def test_publish_with_qos_1_ends_with_the_puback() -> None:
    may_acknowledge = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        publish = await peer.next()
        assert isinstance(publish, Publish)
        assert (publish.topic_name, publish.payload, publish.qos) == ("t", b"x", 1)
        await may_acknowledge.wait()
        peer.send(Ack(c.PUBACK, publish.packet_id, c.NO_MATCHING_SUBSCRIBERS))
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        publishing = asyncio.create_task(client.publish("t", b"x"))
        await asyncio.sleep(0)
        assert not publishing.done()
        may_acknowledge.set()
        assert await publishing == c.NO_MATCHING_SUBSCRIBERS
        await client.disconnect()


async def test_publish_with_qos_2_ends_with_the_pubcomp() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        publish = await peer.next()
        assert isinstance(publish, Publish)
        peer.send(Ack(c.PUBREC, publish.packet_id))
        assert await peer.next() == Ack(c.PUBREL, publish.packet_id)
        peer.send(Ack(c.PUBCOMP, publish.packet_id))
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        assert await client.publish("t", b"x", 2) == c.SUCCESS
        await client.disconnect()


async def test_a_message_may_be_refused() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        publish = await peer.next()
        assert isinstance(publish, Publish)
        properties: Properties = {c.REASON_STRING: "not your topic"}
        peer.send(Ack(c.PUBACK, publish.packet_id, c.NOT_AUTHORIZED, properties))
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        with pytest.raises(MessageRefusedError, match="not your topic") as caught:
            await client.publish("t", b"x")
        assert caught.value.reason_code == c.NOT_AUTHORIZED
        assert client.is_connected
        await client.disconnect()


async def test_what_cannot_be_sent_is_refused_before_it_leaves() -> None:
    left: list[Packet] = []

    async def script(peer: Peer) -> None:
        await peer.accept({c.MAXIMUM_PACKET_SIZE: 100})
        left.extend(await peer.until_closed())

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        with pytest.raises(InvalidTopicError):
            await client.publish("a/#", b"")
        with pytest.raises(PacketTooLargeError):
            await client.publish("a", b"x" * 100)
        await client.disconnect()
    assert [packet.type for packet in left] == [c.DISCONNECT]


async def test_publish_waits_for_the_servers_receive_maximum() -> None:
    order: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.accept({c.RECEIVE_MAXIMUM: 1})
        for _ in range(3):
            publish = await peer.next()
            assert isinstance(publish, Publish)
            order.append(publish.payload)
            peer.send(Ack(c.PUBACK, publish.packet_id))
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(client.publish("t", b"%d" % n) for n in range(3)))
        await client.disconnect()
    assert sorted(order) == [b"0", b"1", b"2"]


async def test_losing_the_connection_fails_what_waits() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept({c.RECEIVE_MAXIMUM: 1})
        await peer.next()
        peer.send(Disconnect(c.SERVER_SHUTTING_DOWN, {c.REASON_STRING: "update"}))

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        waiting = [asyncio.create_task(client.publish("t", b"x")) for _ in range(2)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(ConnectionLostError):
            await client.publish("t", b"x")
    for result in results:  # the one on its way, and the one waiting for room
        assert isinstance(result, ConnectionLostError)
        assert "Server shutting down: update" in str(result)


async def test_messages_come_in_order_and_are_acknowledged_when_taken() -> None:
    acknowledged: list[Packet] = []
    is_subscribed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        subscribe = await peer.next()
        assert isinstance(subscribe, Subscribe)
        assert subscribe.subscriptions == [Subscription("t/#", 1)]
        peer.send(
            Suback(subscribe.packet_id, [1]),
            Publish("t/1", b"a", 1, packet_id=1),
            Publish("t/2", b"b", 0),
        )
        acknowledged.append(await peer.next())
        is_subscribed.set()
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        assert await client.subscribe(Subscription("t/#", 1)) == [1]
        assert not acknowledged
        messages = client.messages()
        assert (await anext(messages)).topic_name == "t/1"
        assert (await anext(messages)).topic_name == "t/2"
        await is_subscribed.wait()
        assert acknowledged == [Ack(c.PUBACK, 1)]
        await client.disconnect()
        assert [message async for message in messages] == []


async def test_messages_end_with_the_reason_when_the_connection_is_lost() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(Publish("t", b"last"), Disconnect(c.SESSION_TAKEN_OVER))

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        messages = client.messages()
        assert (await anext(messages)).payload == b"last"
        with pytest.raises(ConnectionLostError, match="Session taken over"):
            await anext(messages)


async def test_a_full_queue_stops_reading_from_the_network() -> None:
    payload = bytes(64 * 1024)
    count = 400  # 25 MB: more than both sockets' buffers hold
    is_stalled = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        for _ in range(count):
            peer.send(Publish("t", payload))
            try:
                await peer.drain(0.2)
            except TimeoutError:
                is_stalled.set()
                await peer.drain(PATIENCE_S)
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient(queue_messages=4)
        await client.connect(HOST, port)
        async with asyncio.timeout(PATIENCE_S):
            await is_stalled.wait()
        messages = client.messages()
        for _ in range(count):
            assert (await anext(messages)).payload == payload
        await client.disconnect()


async def test_a_callback_takes_messages_as_they_come() -> None:
    taken: list[bytes] = []
    is_done = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send(Publish("t", b"x", 1, packet_id=9))
        assert await peer.next() == Ack(c.PUBACK, 9)
        is_done.set()
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient(on_message=lambda publish: taken.append(publish.payload))
        await client.connect(HOST, port)
        async with asyncio.timeout(PATIENCE_S):
            await is_done.wait()
        assert taken == [b"x"]
        await client.disconnect()


async def test_a_subscription_may_be_refused() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        subscribe = await peer.next()
        assert isinstance(subscribe, Subscribe)
        peer.send(Suback(subscribe.packet_id, [0, c.NOT_AUTHORIZED]))
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        with pytest.raises(SubscriptionRefusedError, match="other/#") as caught:
            await client.subscribe(Subscription("mine"), Subscription("other/#"))
        assert caught.value.reason_code == c.NOT_AUTHORIZED
        await client.disconnect()


async def test_silence_is_broken_by_a_ping_and_an_unanswered_ping_ends_it() -> None:
    pings: list[Packet] = []

    async def script(peer: Peer) -> None:
        await peer.accept()
        pings.extend(await peer.until_closed())

    async with server(script) as port:
        client = MQTTClient(keep_alive=1)
        await client.connect(HOST, port)
        with pytest.raises(ConnectionLostError, match="did not answer"):
            await anext(client.messages())
    assert [packet.type for packet in pings] == [c.PINGREQ]


async def test_bytes_that_are_no_mqtt_end_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        peer.send_raw(b"\x00\x00\x00")
        await peer.until_closed()

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        with pytest.raises(ConnectionLostError, match="broke the rules"):
            await anext(client.messages())


async def test_what_was_not_acknowledged_is_sent_again_on_the_next_connection() -> None:
    again: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()

    async def first(peer: Peer) -> None:
        await peer.accept()
        await peer.next()

    async def second(peer: Peer) -> None:
        await peer.next()
        peer.send(Connack(True))
        again.set_result(await peer.next())
        await peer.until_closed()

    client = MQTTClient("me", clean_start=False)
    async with server(first) as port:
        await client.connect(HOST, port)
        with pytest.raises(ConnectionLostError):
            await client.publish("t", b"x")
    async with server(second) as port:
        await client.connect(HOST, port)
        async with asyncio.timeout(PATIENCE_S):
            publish = await again
        await client.disconnect()
    assert isinstance(publish, Publish)
    assert (publish.payload, publish.dup) == (b"x", True)


async def test_disconnecting_twice_is_no_error() -> None:
    async def script(peer: Peer) -> None:
        await peer.accept()
        assert [packet.type for packet in await peer.until_closed()] == [c.DISCONNECT]

    async with server(script) as port:
        client = MQTTClient()
        await client.connect(HOST, port)
        await client.disconnect()
        await client.disconnect()
        assert not client.is_connected


async def test_a_password_is_never_shown() -> None:
    assert "hunter2" not in repr(vars(MQTTClient(username="u", password="hunter2")))
