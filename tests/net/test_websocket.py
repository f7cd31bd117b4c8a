"""MQTT over WebSocket, plain and secure: handshake, frames, bounds, closing."""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.typing import Origin, Subprotocol

from fleetwire.net.tls import ServerCertificate
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.packets import Publish, Subscribe, Subscription
from tests.net.listening import HOST, WAIT_S, World, connect_bytes, ended, nothing_unhandled

MQTT = [Subprotocol("mqtt")]
CONNACK = b"\x20\x02\x00\x00"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    world.port = await world.server.listen_websocket(HOST, 0, anonymous_allowed=True)
    yield world
    await world.server.close(1.0)


def request(*headers: str, path: str = "/mqtt") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *headers, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def frame(data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


async def opened(world: World) -> ClientConnection:
    client = await connect(f"ws://{HOST}:{world.port}/mqtt", subprotocols=MQTT, proxy=None)
    await client.send(connect_bytes())
    assert await client.recv() == CONNACK
    return client


async def closed_upon(client: ClientConnection, data: bytes) -> int:
    """Send this, and return the code with which the server closes."""
    with contextlib.suppress(ConnectionClosed):
        await client.send(data)
    await client.wait_closed()
    return client.protocol.close_code


async def test_secure_websocket_serves_with_the_subprotocol_mqtt(world: World) -> None:
    port = await world.server.listen_websocket(
        HOST, 0, anonymous_allowed=True, certificate=ServerCertificate(world.files)
    )
    uri = f"wss://localhost:{port}/mqtt"
    async with connect(uri, ssl=world.context(), subprotocols=MQTT, proxy=None) as client:
        assert client.subprotocol == "mqtt"
        await client.send(connect_bytes())
        assert await client.recv() == CONNACK
        await client.send(encode(Subscribe(1, [Subscription("t", 0)]), 4))
        assert await client.recv() == b"\x90\x03\x00\x01\x00"
        payload = os.urandom(300_000)
        await client.send(encode(Publish("t", payload), 4))
        assert await client.recv() == encode(Publish("t", payload), 4)
    assert world.door.clients[0].listener == "wss"


@pytest.mark.parametrize(
    ("request_bytes", "status", "words"),
    [
        (request(), b"400", b"subprotocol mqtt"),
        (request("Sec-WebSocket-Protocol: chat"), b"400", b"subprotocol"),
        (request("Sec-WebSocket-Protocol: mqtt", path="/other"), b"404", b"/mqtt"),
        (b"GET /mqtt HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", b"4", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", b"", b""),
        (connect_bytes(), b"", b""),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n", b"431", b""),
        (b"GET / HTTP/1.1\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyy\r\n" * 4000, b"431", b""),
    ],
)
async def test_what_is_no_handshake_is_answered_closed_and_logged(
    world: World, request_bytes: bytes, status: bytes, words: bytes
) -> None:
    with capture_logs() as lines, nothing_unhandled():
        reader, writer = await asyncio.open_connection(HOST, world.port)
        # Were the answer ignored, these frames would open a session.
        writer.write(request_bytes + frame(connect_bytes()))
        answer = await ended(reader)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 " + status if status else b"")
    assert words in answer
    assert [(line["event"], line["listener"]) for line in lines] == [("connection refused", "ws")]
    assert world.door.offers == []


async def test_the_subprotocol_may_be_offered_in_several_headers(world: World) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.port)
    offered = request("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: mqttv3.1, mqtt")
    writer.write(offered + frame(connect_bytes()))
    answer = b""
    async with asyncio.timeout(WAIT_S):
        while not answer.endswith(CONNACK):
            answer += await reader.read(1000)
    assert b"Sec-WebSocket-Protocol: mqtt\r\n" in answer
    writer.close()


async def test_a_request_that_never_ends_is_bounded_in_bytes_and_time(world: World) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(b"GET / HTTP/1.1\r\n")
    assert await ended(reader) == b""
    writer.close()
    reader, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 1000 + b"\r\n")
    for _ in range(100):
        writer.write(b"X: " + b"y" * 1000 + b"\r\n")
    assert (await ended(reader)).startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_packets_need_not_align_with_frames(world: World) -> None:
    client = await opened(world)
    publishes = [encode(Publish("t", b"%d" % n, 1, packet_id=n), 4) for n in range(1, 301)]
    stream = encode(Subscribe(1, [Subscription("t", 0)]), 4) + b"".join(publishes)
    at = 0
    for size in (1, 1, 3, 700, 2, 0):
        await client.send(stream[at : at + size])
        at += size
    await client.send([stream[at : at + 5], b"", stream[at + 5 : at + 900], stream[at + 900 :]])
    received = b""
    expected = len(b"\x90\x03\x00\x01\x00") + 300 * 4 + sum(len(p) - 2 for p in publishes)
    async with asyncio.timeout(WAIT_S):
        while len(received) < expected:
            data = await client.recv()
            assert isinstance(data, bytes)
            received += data
    assert len(received) == expected
    await client.close()


async def test_what_one_turn_sends_is_one_frame(world: World) -> None:
    client = await opened(world)
    await client.send(encode(Subscribe(1, [Subscription("t", 0)]), 4))
    await client.recv()
    publishes = b"".join(encode(Publish("t", b"%d" % n), 4) for n in range(100))
    await client.send(publishes)
    assert await client.recv() == publishes
    await client.close()


async def test_a_ping_is_answered(world: World) -> None:
    client = await opened(world)
    async with asyncio.timeout(WAIT_S):
        await (await client.ping(b"are you there"))
    await client.close()


async def test_a_text_frame_closes_with_its_reason(world: World) -> None:
    client = await opened(world)
    with capture_logs() as lines:
        await client.send("text")
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1003, "MQTT needs binary frames")
    assert [line["reason"] for line in lines] == ["WebSocket: MQTT needs binary frames"]


async def test_a_frame_that_is_not_masked_closes_with_its_reason(world: World) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.port)
    with nothing_unhandled():
        data = Frame(Opcode.BINARY, connect_bytes()).serialize(mask=False)
        writer.write(request("Sec-WebSocket-Protocol: mqtt"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        assert (await ended(reader))[2:4] == (1002).to_bytes(2, "big")
    assert world.door.offers == []
    writer.close()


async def test_before_connect_only_a_connects_worth_is_held(world: World) -> None:
    client = await connect(f"ws://{HOST}:{world.port}/", subprotocols=MQTT, proxy=None)
    connection = next(iter(world.server.connections))
    # It would fit into the packet that a client may send later.
    assert await closed_upon(client, bytes(1_000_000)) == 1009
    assert connection.closed
    assert world.door.offers == []
    large = await opened(world)
    await large.send(encode(Publish("t", bytes(900_000), 1, packet_id=1), 4))
    assert await large.recv() == b"\x40\x02\x00\x01"
    await large.close()


async def test_a_message_larger_than_any_packet_closes(world: World) -> None:
    client = await opened(world)
    assert await closed_upon(client, bytes(2_000_000)) == 1009


async def test_what_comes_with_connect_is_carried_out_before_the_close(world: World) -> None:
    seen: list[bytes] = []
    world.server.watch("t", 0, lambda topic, payload, qos: seen.append(payload))
    reader, writer = await asyncio.open_connection(HOST, world.port)
    writer.write(
        request("Sec-WebSocket-Protocol: mqtt")
        + frame(connect_bytes())
        + frame(encode(Publish("t", b"last words"), 4))
        + frame((1000).to_bytes(2, "big"), Opcode.CLOSE)
    )
    await ended(reader)
    writer.close()
    assert seen == [b"last words"]


async def test_who_talks_on_after_our_close_breaks_nothing(world: World) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.port)
    with nothing_unhandled():
        writer.write(request("Sec-WebSocket-Protocol: mqtt") + frame(connect_bytes()))
        await reader.readuntil(CONNACK)
        writer.write(frame(b"\xff\xff"))
        assert await reader.readexactly(2) == b"\x88\x02"  # a close frame
        writer.write(frame(b"ping", Opcode.PING) + frame(b"more"))
        await ended(reader)
        writer.close()
        async with asyncio.timeout(WAIT_S):
            while world.server.connections:  # noqa: ASYNC110 - connections tell nobody here
                await asyncio.sleep(0.01)


async def test_who_closes_but_reads_nothing_is_cut(world: World) -> None:
    reader, writer = await asyncio.open_connection(HOST, world.port, limit=1000)
    writer.write(request("Sec-WebSocket-Protocol: mqtt") + frame(connect_bytes()))
    await reader.readuntil(CONNACK)
    connection = next(iter(world.server.connections))
    connection.send(bytes(8_000_000))  # more than the kernel takes
    writer.write(frame((1000).to_bytes(2, "big"), Opcode.CLOSE))
    async with asyncio.timeout(WAIT_S):
        while world.server.connections:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.01)
    writer.transport.abort()


@pytest.mark.parametrize("origin", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:1"])
async def test_a_page_of_this_machine_may_be_anonymous(world: World, origin: str) -> None:
    uri = f"ws://{HOST}:{world.port}/mqtt"
    async with connect(uri, subprotocols=MQTT, origin=Origin(origin), proxy=None) as client:
        await client.send(connect_bytes())
        assert await client.recv() == CONNACK


@pytest.mark.parametrize("origin", ["https://example.org", "null", "http://[bad"])
async def test_a_page_from_elsewhere_is_not_this_machine(world: World, origin: str) -> None:
    uri = f"ws://{HOST}:{world.port}/mqtt"
    async with connect(uri, subprotocols=MQTT, origin=Origin(origin), proxy=None) as client:
        await client.send(connect_bytes())
        assert await client.recv() == b"\x20\x02\x00\x05"


async def test_a_path_beside_is_not_found(world: World) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"ws://{HOST}:{world.port}/live", subprotocols=MQTT, proxy=None)
    assert caught.value.response.status_code == 404
