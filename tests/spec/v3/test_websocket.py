"""MQTT 3.1.1 §6: MQTT over WebSocket, with a client of another maker and with frames by hand."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from tests.octets import PINGREQ, PINGRESP, connack, connect, publish, suback, subscribe
from tests.spec.wire import Clock, House

WAIT_S = 5.0


@pytest.fixture
async def port(clock: Clock) -> AsyncIterator[int]:
    """Of a listener for WebSocket alone."""
    house = House(clock, "ws")
    yield await house.server.listen_websocket("127.0.0.1", 0, anonymous_allowed=True)
    await house.close()


@asynccontextmanager
async def websocket(port: int, *offered: str) -> AsyncIterator[ClientConnection]:
    names: Any = offered or None  # the library's own type is a str
    uri = f"ws://127.0.0.1:{port}/mqtt"
    async with open_websocket(uri, subprotocols=names, proxy=None) as opened:
        yield opened


async def hears(opened: ClientConnection, expected: bytes) -> None:
    """Pass if exactly these bytes come next, in binary frames of whatever size."""
    heard = b""
    async with asyncio.timeout(WAIT_S):
        while len(heard) < len(expected):
            data = await opened.recv()
            assert isinstance(data, bytes)
            heard += data
    assert heard == expected


@pytest.mark.spec311("MQTT-6.0.0-1")
async def test_the_server_sends_binary_frames(port: int) -> None:
    async with websocket(port, "mqtt") as opened:
        await opened.send(connect())
        async with asyncio.timeout(WAIT_S):
            assert await opened.recv() == connack()  # text would be a str


@pytest.mark.spec311("MQTT-6.0.0-1")
async def test_a_text_frame_ends_the_connection(port: int) -> None:
    async with websocket(port, "mqtt") as opened:
        await opened.send(connect())
        await hears(opened, connack())
        await opened.send("text")
        with pytest.raises(ConnectionClosed) as closed:
            async with asyncio.timeout(WAIT_S):
                await opened.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003  # unsupported data (RFC 6455 §7.4.1)


@pytest.mark.spec311("MQTT-6.0.0-1")
async def test_nothing_behind_a_text_frame_is_carried_out(port: int, clock: Clock) -> None:
    async with websocket(port, "mqtt") as watcher:
        await watcher.send(connect("watcher") + subscribe(1, ("a", 0)))
        await hears(watcher, connack() + suback(1, 0))
        reader, writer = await handshake(port)
        writer.write(frame(connect()))
        await reader.readexactly(2 + len(connack()))
        # All in one write, and so in one read of the server.
        writer.write(
            frame(publish("a", b"before"))
            + frame(b"text", Opcode.TEXT)
            + frame(publish("a", b"behind"))
        )
        async with asyncio.timeout(WAIT_S):
            await reader.read()  # to the end
        writer.close()
        await hears(watcher, publish("a", b"before"))
        await watcher.send(PINGREQ)
        await hears(watcher, PINGRESP)


@pytest.mark.spec311("MQTT-6.0.0-2")
async def test_packets_may_begin_and_end_anywhere_in_frames(port: int) -> None:
    async with websocket(port, "mqtt") as opened:
        for byte in connect() + subscribe(1, ("a", 0)):
            await opened.send(bytes([byte]))
        await hears(opened, connack() + suback(1, 0))
        stream = publish("a", b"1") + publish("a", b"2") + PINGREQ
        await opened.send(stream[:9])
        await opened.send(b"")
        await opened.send(stream[9:])
        await hears(opened, publish("a", b"1") + publish("a", b"2") + PINGRESP)


@pytest.mark.spec311("MQTT-6.0.0-2")
async def test_a_packet_may_come_in_fragments_of_one_message(port: int) -> None:
    async with websocket(port, "mqtt") as opened:
        request = connect()
        await opened.send([request[:5], request[5:6], request[6:]])
        await hears(opened, connack())


@pytest.mark.spec311("MQTT-6.0.0-4")
@pytest.mark.parametrize("offered", [("mqtt",), ("chat", "mqtt"), ("mqttv3.1", "mqtt")])
async def test_the_server_chooses_mqtt(port: int, offered: tuple[str, ...]) -> None:
    async with websocket(port, *offered) as opened:
        assert opened.subprotocol == "mqtt"


async def test_a_client_of_3_1_may_offer_the_name_of_that_time(port: int) -> None:
    async with websocket(port, "mqttv3.1") as opened:
        assert opened.subprotocol == "mqttv3.1"
        await opened.send(connect(name="MQIsdp", level=3))
        await hears(opened, connack())


@pytest.mark.parametrize("offered", [(), ("chat",), ("mqttx",)])
async def test_without_the_sub_protocol_there_is_no_websocket(
    port: int, offered: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with websocket(port, *offered):
            pass
    assert refused.value.response.status_code == 400


async def handshake(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that has become a WebSocket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        "\r\n".join(
            [
                "GET /mqtt HTTP/1.1", "Host: localhost", "Upgrade: websocket",
                "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Protocol: mqtt", "", "",
            ]
        ).encode()
    )  # fmt: skip
    async with asyncio.timeout(WAIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return reader, writer


def frame(data: bytes, opcode: Opcode = Opcode.BINARY) -> bytes:
    """Return one frame of a client."""
    return Frame(opcode, data).serialize(mask=True)
