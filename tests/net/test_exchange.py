"""Enhanced authentication on real sockets: whose turn it is, and what happens out of turn."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.grants import Grant
from fleetwire.net.authenticator import (
    Admission,
    Authenticator,
    Challenge,
    Exchange,
    Offer,
    RefusedError,
)
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode, encode_connect
from fleetwire.protocol.packets import (
    Ack,
    Auth,
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
)
from tests.net.test_server import Peer

WAIT_S = 5.0
METHOD = "RIDDLE"


class Riddle(Exchange):
    """Asks twice; the right answers are what was asked."""

    def __init__(self, door: "Door") -> None:
        self.door = door
        self.asked = 0

    async def step(self, data: bytes) -> Challenge | Admission:
        if self.door.is_slow:
            await self.door.go_on.wait()
        if self.asked and data != b"riddle %d" % self.asked:
            raise RefusedError("wrong answer", c.BAD_USER_NAME_OR_PASSWORD)
        if self.asked == 2:
            return Admission(Grant(self.door.identity, ["#"], self.door.subscribe), b"well done")
        self.asked += 1
        return Challenge(b"riddle %d" % self.asked)


class Door(Authenticator):
    def __init__(self) -> None:
        self.identity = "device:demo/d"
        self.subscribe = ["#"]
        self.is_slow = False
        self.has_fallen = False  # the grants it gave would not be given now
        self.go_on = asyncio.Event()

    async def authenticate(self, offer: Offer) -> Grant:
        return Grant("anonymous", ["#"], ["#"], anonymous=True)

    def begin(self, method: str, offer: Offer) -> Exchange:
        return Riddle(self) if method == METHOD else super().begin(method, offer)

    def stands(self, grant: Grant) -> bool:
        return not self.has_fallen


class World:
    def __init__(self, server: Server, door: Door, port: int) -> None:
        self.server = server
        self.door = door
        self.port = port
        self.peers: list[Peer] = []

    async def peer(self, version: int = 5) -> Peer:
        peer = await Peer(self.port, version).open()
        self.peers.append(peer)
        return peer

    async def begun(self, client_id: str = "c", *, method: str = METHOD) -> Peer:
        """A connection whose CONNECT named the method; the first riddle may have come."""
        peer = await self.peer()
        peer.writer.write(connect_bytes(client_id, method))
        return peer

    async def connected(self, client_id: str = "c") -> Peer:
        peer = await self.begun(client_id)
        assert await solve(peer) == Connack(False, 0, peer.said)  # type: ignore[attr-defined]
        return peer


def connect_bytes(client_id: str, method: str = METHOD) -> bytes:
    properties: Properties = {c.AUTHENTICATION_METHOD: method}
    return encode_connect(Connect(5, client_id, True, 60, properties=properties))


def auth(data: bytes | None = None, *, code: int = 0x18, method: str = METHOD) -> Auth:
    properties: Properties = {c.AUTHENTICATION_METHOD: method}
    if data is not None:
        properties[c.AUTHENTICATION_DATA] = data
    return Auth(code, properties)


async def solve(peer: Peer) -> Packet | None:
    """Answer every riddle; return what comes then."""
    while True:
        packet = await peer.read()
        if not isinstance(packet, Auth) or packet.reason_code != 0x18:
            peer.said = getattr(packet, "properties", None)  # type: ignore[attr-defined]
            return packet
        # [MQTT-4.12.0-5]
        assert (packet.properties or {})[c.AUTHENTICATION_METHOD] == METHOD
        data = (packet.properties or {})[c.AUTHENTICATION_DATA]
        assert isinstance(data, bytes)
        peer.send(auth(data))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    door = Door()
    server = Server(Broker(Limits()), door, ConnectionLimits(connect_timeout_s=0.5))
    port = await server.listen_tcp("127.0.0.1", 0, anonymous_allowed=True)
    world = World(server, door, port)
    yield world
    for peer in world.peers:
        peer.writer.close()
    await server.close(1.0)


async def test_the_exchange_ends_in_a_connack_with_its_method_and_the_last_data(
    world: World,
) -> None:
    peer = await world.begun()
    connack = await solve(peer)
    assert isinstance(connack, Connack)
    assert connack.reason_code == 0
    properties = connack.properties or {}
    assert properties[c.AUTHENTICATION_METHOD] == METHOD
    assert properties[c.AUTHENTICATION_DATA] == b"well done"
    peer.send(Subscribe(1, [Subscription("a")]), Publish("a", b"x", 1, packet_id=2))
    got = [await peer.read() for _ in range(3)]
    assert {type(packet) for packet in got} == {Suback, Publish, Ack}


async def test_an_unknown_method_is_refused_as_such(world: World) -> None:
    for method in ("OTHER", ""):
        peer = await world.begun(method=method)
        connack = await peer.read()
        assert isinstance(connack, Connack)
        assert connack.reason_code == c.BAD_AUTHENTICATION_METHOD
        assert await peer.read() is None


async def test_a_wrong_answer_is_refused_and_the_connection_closed(world: World) -> None:
    peer = await world.begun()
    assert isinstance(await peer.read(), Auth)
    peer.send(auth(b"no idea"))
    connack = await peer.read()
    assert isinstance(connack, Connack)
    assert connack.reason_code == c.BAD_USER_NAME_OR_PASSWORD
    assert c.AUTHENTICATION_DATA not in (connack.properties or {})
    assert await peer.read() is None
    assert not world.server.broker.sessions


OUT_OF_TURN: dict[str, list[Packet]] = {
    "another packet": [Pingreq()],
    "a PUBLISH": [Publish("a", b"x")],
    "another method": [auth(b"riddle 1", method="OTHER")],
    "no method": [Auth(0x18, {c.USER_PROPERTY: [("a", "b")]})],
    "no properties": [Auth(0, None)],
    "a re-authentication": [auth(b"riddle 1", code=0x19)],
    "success, which is the server's to say": [auth(b"riddle 1", code=0)],
    "two at once": [auth(b"riddle 1"), auth(b"riddle 2")],
}


@pytest.mark.parametrize("name", OUT_OF_TURN)
async def test_what_does_not_belong_into_an_exchange_ends_it(world: World, name: str) -> None:
    peer = await world.begun()
    assert isinstance(await peer.read(), Auth)
    peer.send(*OUT_OF_TURN[name])
    last = await peer.ended()
    assert isinstance(last, Connack)
    assert last.reason_code in (c.PROTOCOL_ERROR, c.MALFORMED_PACKET)
    assert not world.server.broker.sessions


async def test_what_comes_together_with_the_connect_is_out_of_turn_too(world: World) -> None:
    peer = await world.peer()
    peer.writer.write(connect_bytes("c") + encode(auth(b"riddle 1"), 5))
    last = await peer.ended()
    assert isinstance(last, Connack)
    assert last.reason_code == c.PROTOCOL_ERROR


async def test_bytes_that_are_no_mqtt_end_an_exchange(world: World) -> None:
    peer = await world.begun()
    assert isinstance(await peer.read(), Auth)
    peer.writer.write(b"\xf1\x00")  # [MQTT-3.15.1-1]
    last = await peer.ended()
    assert isinstance(last, Connack)
    assert last.reason_code == c.MALFORMED_PACKET


async def test_an_auth_before_connack_is_no_larger_than_a_connect_may_be(world: World) -> None:
    peer = await world.begun()
    assert isinstance(await peer.read(), Auth)
    peer.writer.write(b"\xf0\xa0\xc2\x1e" + bytes(100_000))  # of half a megabyte
    last = await peer.ended()
    assert isinstance(last, Connack)
    assert last.reason_code == c.PACKET_TOO_LARGE
    (connection,) = world.server.connections
    assert connection.protocol.buffered_bytes < 80_000


async def test_an_exchange_has_a_time_out_and_leaves_nothing(world: World) -> None:
    peer = await world.begun()
    assert isinstance(await peer.read(), Auth)
    last = await peer.ended()
    assert isinstance(last, Connack)
    assert last.reason_code == c.NOT_AUTHORIZED
    assert not world.server.broker.sessions


@pytest.mark.parametrize("how", ["disconnect", "close"])
async def test_a_client_that_leaves_in_the_middle_is_not_answered(world: World, how: str) -> None:
    peer = await world.begun()
    assert isinstance(await peer.read(), Auth)
    if how == "disconnect":
        peer.send(Disconnect())
        assert await peer.read() is None
    peer.writer.close()
    async with asyncio.timeout(WAIT_S):
        while world.server.connections or world.server._tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert world.server.broker.stats.connections_refused == 0


async def test_without_a_method_in_connect_there_is_no_auth(world: World) -> None:
    peer = await world.peer()
    connack = await peer.connect()
    assert c.AUTHENTICATION_METHOD not in (connack.properties or {})  # [MQTT-4.12.0-6]
    peer.send(auth(b"riddle 1", code=0x19))  # [MQTT-4.12.0-7]
    last = await peer.read()
    assert isinstance(last, Disconnect)
    assert last.reason_code == c.PROTOCOL_ERROR


async def test_an_exchange_stands_still_while_the_road_is_held(world: World) -> None:
    peer = await world.begun()
    assert isinstance(await peer.read(), Auth)
    world.server.hold()
    peer.send(auth(b"riddle 1"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await peer.read()
    world.server.resume()
    assert isinstance(await solve(peer), Connack)


async def test_what_was_granted_counts_no_more_if_it_fell_during_a_fight(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.connected("c")
    monkeypatch.setattr(world.server, "takeover_pause_s", lambda client_id: 0.01)
    world.door.has_fallen = True
    connack = await solve(await world.begun("c"))
    assert isinstance(connack, Connack)
    assert connack.reason_code == c.NOT_AUTHORIZED


# --- re-authentication ---


async def test_a_client_shows_anew_who_it_is_and_talks_on_meanwhile(world: World) -> None:
    peer = await world.connected()
    before = world.server.broker.sessions["c"].grant
    peer.send(auth(code=0x19))
    riddle = await peer.read()
    assert isinstance(riddle, Auth)
    peer.send(Pingreq())
    assert isinstance(await peer.read(), Pingresp)
    peer.send(auth(b"riddle 1"))
    assert await solve(peer) == auth(b"well done", code=0)
    assert world.server.broker.sessions["c"].grant is not before
    peer.send(auth(code=0x19))  # and once more
    assert await solve(peer) == auth(b"well done", code=0)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (auth(code=0x19, method="OTHER"), c.PROTOCOL_ERROR),  # [MQTT-4.12.1-1]
        (auth(b"riddle 1", code=0x18), c.PROTOCOL_ERROR),
        (Auth(0, None), c.PROTOCOL_ERROR),
    ],
)
async def test_a_re_authentication_that_begins_wrongly_ends_the_connection(
    world: World, first: Auth, code: int
) -> None:
    peer = await world.connected()
    peer.send(first)
    last = await peer.ended()
    assert isinstance(last, Disconnect)
    assert last.reason_code == code


@pytest.mark.parametrize("fault", ["answer", "identity", "rights", "time", "turn"])
async def test_a_re_authentication_that_fails_closes_the_connection(
    world: World, fault: str
) -> None:
    peer = await world.connected()
    peer.send(Subscribe(1, [Subscription("a/b")]))
    assert isinstance(await peer.read(), Suback)
    if fault == "identity":
        world.door.identity = "device:demo/e"
    if fault == "rights":
        world.door.subscribe = ["a/c"]
    peer.send(auth(code=0x19))
    assert isinstance(await peer.read(), Auth)
    if fault == "answer":
        peer.send(auth(b"no idea"))
    elif fault == "turn":
        peer.send(auth(b"riddle 1"), auth(b"riddle 2"))
    elif fault != "time":
        peer.send(auth(b"riddle 1"))
    last = await solve(peer)
    assert isinstance(last, Disconnect)  # [MQTT-4.12.1-2]
    assert last.reason_code == (c.PROTOCOL_ERROR if fault == "turn" else c.NOT_AUTHORIZED)
    assert await peer.read() is None
