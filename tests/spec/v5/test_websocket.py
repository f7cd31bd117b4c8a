"""MQTT 5.0 §6: MQTT in WebSocket."""

from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.packets import Connack, Connect, Pingreq, Pingresp
from tests.spec.pipes import WebSocketPipe
from tests.spec.wire import House

CONNECT = encode(Connect(c.V5, "c"), c.V5)
PINGREQ = encode(Pingreq(), c.V5)


def address(house: House) -> tuple[str, dict[str, Any]]:
    scheme = "ws" if house.tls is None else "wss"
    return f"{scheme}://127.0.0.1:{house.port}/mqtt", {"ssl": house.tls, "proxy": None}


@pytest.mark.spec("MQTT-6.0.0-1")
@pytest.mark.over_the_wire("ws", "wss")
@pytest.mark.parametrize("is_connected", [False, True])
async def test_a_text_frame_ends_the_connection(house: House, is_connected: bool) -> None:
    wire = await house.wire()
    if is_connected:
        await wire.connect()
    assert isinstance(wire.pipe, WebSocketPipe)
    await wire.pipe._socket.send("text")
    assert not any(isinstance(packet, Pingresp) for packet in await wire.end())
    assert not house.server.connections or not house.broker.sessions


@pytest.mark.spec("MQTT-6.0.0-1", "MQTT-6.0.0-4")
@pytest.mark.over_the_wire("ws", "wss")
@pytest.mark.parametrize("offered", [["mqtt"], ["other", "mqtt"], ["mqttv3.1", "mqtt"]])
async def test_the_subprotocol_is_mqtt_and_frames_are_binary(
    house: House, offered: list[str]
) -> None:
    uri, options = address(house)
    names: Any = offered  # the library's own name for a list of str
    async with connect(uri, subprotocols=names, **options) as socket:
        assert socket.subprotocol == "mqtt"
        await socket.send(CONNECT)
        answer = await socket.recv()
        assert isinstance(answer, bytes)
        assert answer[0] == 0x20


@pytest.mark.spec("MQTT-6.0.0-2")
@pytest.mark.over_the_wire("ws", "wss")
async def test_packets_need_not_fit_frames(house: House) -> None:
    wire = await house.wire()
    data = CONNECT + PINGREQ + PINGREQ
    for begin in range(0, len(data) - 3, 5):  # in pieces ...
        wire.send_bytes(data[begin : begin + 5])
    wire.send_bytes(data[len(range(0, len(data) - 3, 5)) * 5 :] + PINGREQ)  # ... and together
    assert isinstance(await wire.expect(Connack), Connack)
    assert [await wire.read() for _ in range(3)] == [Pingresp()] * 3


@pytest.mark.spec("MQTT-6.0.0-3")
@pytest.mark.over_the_wire("ws", "wss")
@pytest.mark.parametrize("offered", [None, ["other"]])
async def test_a_client_that_does_not_offer_mqtt_is_not_let_in(house: House, offered: Any) -> None:
    with pytest.raises((InvalidHandshake, ConnectionClosed)):
        await answer_to(house, offered)
    assert not house.broker.sessions


async def answer_to(house: House, offered: Any) -> str | bytes:
    """Return what the server says to CONNECT."""
    uri, options = address(house)
    async with connect(uri, subprotocols=offered, **options) as socket:
        await socket.send(CONNECT)
        return await socket.recv()
