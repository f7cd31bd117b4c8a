"""From CONNECT to CONNACK on real sockets: what the server says of itself, and why it refuses."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.grants import Grant
from fleetwire.errors import FleetwireError
from fleetwire.net.authenticator import Authenticator, Offer, RefusedError
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Disconnect,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from tests.net.test_server import Peer


class Door(Authenticator):
    """Refuses a user name that names a reason; `subscribe` is what the others are granted."""

    def __init__(self) -> None:
        self.subscribe = ["d/#"]

    async def authenticate(self, offer: Offer) -> Grant:
        match offer.username:
            case "wrong":
                raise RefusedError("wrong user name or password", c.BAD_USER_NAME_OR_PASSWORD)
            case "revoked":
                raise RefusedError("credential revoked", c.NOT_AUTHORIZED)
            case "away":
                raise FleetwireError("the database is away")
            case "broken":
                raise ZeroDivisionError
        return Grant(f"device:demo/{offer.username}", ["d/#"], self.subscribe)


class World:
    def __init__(self, limits: Limits, connection_limits: ConnectionLimits) -> None:
        self.door = Door()
        self.server = Server(Broker(limits), self.door, connection_limits)
        self.port = 0
        self.peers: list[Peer] = []

    async def peer(self, version: int = 5) -> Peer:
        peer = await Peer(self.port, version).open()
        self.peers.append(peer)
        return peer

    async def connack(self, version: int = 5, **more: object) -> Connack:
        return await (await self.peer(version)).connect(**more)  # type: ignore[arg-type]  # Peer's


async def serve(world: World) -> AsyncIterator[World]:
    world.port = await world.server.listen_tcp("127.0.0.1", 0, anonymous_allowed=True)
    yield world
    for peer in world.peers:
        peer.writer.close()
    await world.server.close(1.0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    limits = ConnectionLimits(maximum_packet_size=100_000, receive_maximum=10, keep_alive_s=90)
    async for world in serve(World(Limits(session_expiry_s=1000), limits)):
        yield world


@pytest.fixture
async def small() -> AsyncIterator[World]:
    """A server that keeps no retained messages."""
    async for world in serve(World(Limits(retained_messages=0), ConnectionLimits())):
        yield world


# --- what it says of itself ---


async def test_connack_tells_the_limits_and_leaves_out_what_is_so_by_default(
    world: World,
) -> None:
    said = (await world.connack()).properties or {}
    assert said == {
        c.RECEIVE_MAXIMUM: 10,
        c.MAXIMUM_PACKET_SIZE: 100_000,
        c.TOPIC_ALIAS_MAXIMUM: 16,
    }


async def test_connack_tells_what_the_client_gets_instead_of_what_it_asked_for(
    world: World,
) -> None:
    asked: Properties = {c.SESSION_EXPIRY_INTERVAL: 5000}
    said = (await world.connack(client_id="", keep_alive=0, properties=asked)).properties or {}
    assert said[c.SESSION_EXPIRY_INTERVAL] == 1000
    assert said[c.SERVER_KEEP_ALIVE] == 90
    assert said[c.ASSIGNED_CLIENT_IDENTIFIER] in world.server.broker.sessions
    granted: Properties = {c.SESSION_EXPIRY_INTERVAL: 1000}
    said = (await world.connack(client_id="x", properties=granted)).properties or {}
    assert c.SESSION_EXPIRY_INTERVAL not in said


async def test_wildcards_identifiers_and_shared_subscriptions_are_there_as_told(
    world: World,
) -> None:
    peer = await world.peer()
    await peer.connect()
    filters = ["d/+/x", "d/#", "$share/group/d/x"]
    peer.send(Subscribe(1, [Subscription(f, 2) for f in filters], {c.SUBSCRIPTION_IDENTIFIER: [7]}))
    suback = await peer.read()
    assert isinstance(suback, Suback)
    assert suback.reason_codes == [2, 2, 2]


async def test_without_retained_messages_connack_says_so_and_a_retained_will_is_refused(
    small: World,
) -> None:
    said = (await small.connack()).properties or {}
    assert said[c.RETAIN_AVAILABLE] == 0
    will = Publish("d/will", b"x", retain=True)
    assert (await small.connack(will=will)).reason_code == c.RETAIN_NOT_SUPPORTED
    assert (await small.connack(will=Publish("d/will", b"x"))).reason_code == 0
    assert (await small.connack(4, client_id="old", will=will)).reason_code == 0


@pytest.mark.parametrize(
    ("subscribe", "prefix"),
    [
        (["d/x", "d/+/#", "d/mine/#"], "d/mine"),
        (["#"], "responses/c"),
        (["d/x", "d/+/#", "$SYS/#"], None),
        ([], None),
    ],
)
async def test_response_information_is_a_place_where_the_client_may_listen(
    world: World, subscribe: list[str], prefix: str | None
) -> None:
    world.door.subscribe = subscribe
    asked: Properties = {c.REQUEST_RESPONSE_INFORMATION: 1}
    peer = await world.peer()
    said = (await peer.connect(properties=asked)).properties or {}
    assert said.get(c.RESPONSE_INFORMATION) == prefix
    if prefix is not None:
        peer.send(Subscribe(1, [Subscription(f"{prefix}/#"), Subscription(f"{prefix}/7")]))
        suback = await peer.read()
        assert isinstance(suback, Suback)
        assert suback.reason_codes == [0, 0]


@pytest.mark.parametrize("asked", [None, {c.REQUEST_RESPONSE_INFORMATION: 0}])
async def test_response_information_is_not_sent_to_who_did_not_ask(
    world: World, asked: Properties | None
) -> None:
    said = (await world.connack(properties=asked)).properties or {}
    assert c.RESPONSE_INFORMATION not in said  # [MQTT-3.1.2-28]


async def test_without_problem_information_only_three_packets_have_reasons(world: World) -> None:
    peer = await world.peer()
    await peer.connect(properties={c.REQUEST_PROBLEM_INFORMATION: 0})
    peer.send(
        Subscribe(1, [Subscription("forbidden"), Subscription("d/x", 1)]),
        Unsubscribe(2, ["nothing"]),
        Publish("forbidden", b"x", 1, packet_id=3),
        Publish("forbidden", b"x", 2, packet_id=4),
    )
    for kind in (Suback, Unsuback, Ack, Ack):
        packet = await peer.read()
        assert isinstance(packet, kind)
        assert not packet.properties  # [MQTT-3.1.2-29]
    peer.send(Publish("d/x", b"x", 1, packet_id=5, properties={c.USER_PROPERTY: [("a", "b")]}))
    got = [await peer.read() for _ in range(2)]
    (publish,) = (packet for packet in got if isinstance(packet, Publish))
    assert (publish.properties or {})[c.USER_PROPERTY] == [("a", "b")]


# --- why it refuses ---


@pytest.mark.parametrize(
    ("username", "v5", "older"),
    [
        ("wrong", c.BAD_USER_NAME_OR_PASSWORD, 4),
        ("revoked", c.NOT_AUTHORIZED, 5),
        ("away", c.SERVER_UNAVAILABLE, 3),
        ("broken", c.UNSPECIFIED_ERROR, 3),
    ],
)
async def test_each_version_is_refused_in_its_own_words(
    world: World, username: str, v5: int, older: int
) -> None:
    for version, code in ((5, v5), (4, older), (3, older)):
        peer = await world.peer(version)
        connack = await peer.connect(username=username, password=b"x")
        assert (connack.reason_code, connack.session_present) == (code, False)
        assert await peer.read() is None
    assert not world.server.broker.sessions


async def test_an_unknown_level_of_mqtt_gets_return_code_one(world: World) -> None:
    peer = await world.peer(4)
    peer.writer.write(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x01c")
    connack = await peer.read()
    assert isinstance(connack, Connack)
    assert connack.reason_code == 1


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_a_client_id_may_be_longer_than_23_characters_but_not_endless(
    world: World, version: int
) -> None:
    assert (await world.connack(version, client_id="x" * 256)).reason_code == 0
    assert "x" * 256 in world.server.broker.sessions
    too_long = await world.connack(version, client_id="x" * 257)
    assert too_long.reason_code == (c.CLIENT_IDENTIFIER_NOT_VALID if version == 5 else 2)


@pytest.mark.parametrize(
    ("version", "clean", "code"), [(3, True, 2), (3, False, 2), (4, True, 0), (4, False, 2)]
)
async def test_an_empty_client_id_is_for_clean_sessions_of_3_1_1(
    world: World, version: int, clean: bool, code: int
) -> None:
    assert (await world.connack(version, client_id="", clean=clean)).reason_code == code


async def test_a_will_that_may_not_be_published_is_refused_at_once(world: World) -> None:
    will = Publish("other/will", b"x")
    assert (await world.connack(will=will)).reason_code == c.NOT_AUTHORIZED
    assert (await world.connack(4, will=will)).reason_code == 5


async def test_somebody_who_guesses_writes_one_line_not_a_thousand(world: World) -> None:
    with capture_logs() as lines:
        for _ in range(20):
            await world.connack(username="wrong", password=b"x")
        await world.connack(username="revoked", password=b"x")
    refused = [line["reason"] for line in lines if line["event"] == "client refused"]
    assert refused == ["wrong user name or password", "credential revoked"]


async def test_a_subscription_wider_than_the_grant_is_refused_and_not_narrowed(
    world: World,
) -> None:
    peer = await world.peer()
    await peer.connect()
    peer.send(Subscribe(1, [Subscription(f) for f in ("#", "+/x", "d/x", "$share/g/#")]))
    suback = await peer.read()
    assert isinstance(suback, Suback)
    assert suback.reason_codes == [0x87, 0x87, 0, 0x87]
    assert list(world.server.broker.sessions["c"].subscriptions) == ["d/x"]
    peer.send(Disconnect())
    assert await peer.read() is None
