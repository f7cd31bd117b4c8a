"""The client over a WebSocket, to our own server and to servers that do not know how."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from fleetwire.net.client import ConnectionLostError, MQTTClient, UnreachableError
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_connack
from tests.net.bridging import HOST, WAIT_S, Place


@pytest.fixture
async def there() -> AsyncIterator[Place]:
    place = await Place("there").start()
    yield place
    await place.close()


async def test_messages_larger_than_a_read_go_both_ways(there: Place) -> None:
    assert there.server is not None
    port = await there.server.listen_websocket(HOST, 0, anonymous_allowed=True)
    ear = await there.ear("t")
    client = MQTTClient("c")
    await client.connect(HOST, port, websocket="/mqtt")
    await client.publish("t", b"x" * 500_000, 1)
    (heard,) = await ear.until(1)
    assert len(heard.payload) == 500_000
    await client.disconnect()
    assert not client.is_connected


async def refusal(port: int, timeout_s: float = 5.0) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        await MQTTClient("c").connect(HOST, port, websocket="/mqtt", timeout_s=timeout_s)
    return caught.value


async def test_a_port_that_speaks_mqtt_is_no_websocket(there: Place) -> None:
    error = await refusal(there.port)
    assert error.cause == "websocket"
    assert "opens no WebSocket for MQTT" in str(error)


class WebServer:
    """Opens a WebSocket with a subprotocol or without, and then sends frames."""

    def __init__(self, subprotocol: str | None, frames: list[tuple[Opcode, bytes]]) -> None:
        self.subprotocol = subprotocol
        self.frames = frames
        self._ended = asyncio.Event()

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(WAIT_S):
            await self._ended.wait()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        offered = [] if self.subprotocol is None else [Subprotocol(self.subprotocol)]
        websocket = ServerProtocol(subprotocols=offered or None)
        try:
            while data := await reader.read(65_536):
                websocket.receive_data(data)
                self._answer(websocket)
                writer.writelines(websocket.data_to_send())
        except ConnectionError:
            pass  # the client cut it
        finally:
            writer.close()
            self._ended.set()

    def _answer(self, websocket: ServerProtocol) -> None:
        for event in websocket.events_received():
            if isinstance(event, Request):
                websocket.send_response(websocket.accept(event))
                for opcode, payload in self.frames:
                    if opcode is Opcode.TEXT:
                        websocket.send_text(payload)
                    else:
                        websocket.send_binary(payload)


async def test_a_server_that_chooses_no_subprotocol_is_not_spoken_to() -> None:
    async with WebServer(None, []) as port:
        assert "did not choose the subprotocol mqtt" in str(await refusal(port))


async def test_a_text_frame_ends_the_connection() -> None:
    frames = [(Opcode.BINARY, encode_connack(False, 0, None, c.V5)), (Opcode.TEXT, b"hello")]
    async with WebServer("mqtt", frames) as port:
        client = MQTTClient("c")
        await client.connect(HOST, port, websocket="/mqtt")
        with pytest.raises(ConnectionLostError):
            async for _ in client.messages():
                pass


async def test_a_server_that_never_answers_the_handshake_is_given_up() -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(-1)
        except ConnectionError:
            pass  # it was cut
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(wait, HOST, 0)
    error = await refusal(server.sockets[0].getsockname()[1], 0.05)
    assert error.cause == "timeout"
    await ended.wait()
    server.close()
    await server.wait_closed()
