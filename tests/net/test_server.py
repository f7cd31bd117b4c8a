"""The server on real sockets: what it does with good, bad and hostile bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.journal import NoJournal
from fleetwire.broker.takers import Taker
from fleetwire.net.authenticator import Authenticator, Offer, RefusedError
from fleetwire.net.clients import Client, ClientObserver
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode, encode_connect
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
)

WAIT_S = 5.0


class Door(Authenticator):
    """Knows one device; lets anonymous clients in where the listener allows it."""

    def __init__(self) -> None:
        self.is_revoked = False

    async def authenticate(self, offer: Offer) -> Grant:
        await asyncio.sleep(0)
        if offer.username is None and offer.anonymous_allowed:
            return Grant("anonymous", ["#"], ["#"], anonymous=True)
        if offer.password != b"secret" or self.is_revoked:
            raise RefusedError("wrong user name or password", c.BAD_USER_NAME_OR_PASSWORD)
        topics = [f"d/{offer.username}/#"]
        return Grant(f"device:demo/{offer.username}", topics, topics, device=7, credential=70)


class Notes(ClientObserver):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def connected(self, client: Client) -> None:
        self.lines.append(f"connected {client.client_id} {client.protocol}")

    def disconnected(self, client: Client, reason: str) -> None:
        self.lines.append(f"disconnected {client.client_id} {reason}")

    def listening(self, client: Client, topic_filter: str) -> None:
        self.lines.append(f"listening {client.client_id} {topic_filter}")

    def refused(self, client_id: str, identity: str, remote: str, reason: str) -> None:
        self.lines.append(f"refused {client_id} {reason}")


class Peer:
    """A client made of bytes."""

    def __init__(self, port: int, version: int) -> None:
        self.port = port
        self.version = version
        self._decoder = Decoder(1 << 21, version=version, is_server=False)
        self._packets: list[Packet] = []

    async def open(self) -> "Peer":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    def send(self, *packets: Packet) -> None:
        self.writer.write(b"".join(encode(packet, self.version) for packet in packets))

    async def connect(
        self,
        client_id: str = "c",
        *,
        username: str | None = None,
        password: bytes | None = None,
        clean: bool = True,
        keep_alive: int = 60,
        will: Publish | None = None,
        properties: Properties | None = None,
    ) -> Connack:
        self.writer.write(
            encode_connect(
                Connect(
                    self.version, client_id, clean, keep_alive, username, password, will, properties
                )
            )
        )
        answer = await self.read()
        assert isinstance(answer, Connack)
        return answer

    async def read(self) -> Packet | None:
        """Return the next packet, None at the end of the connection."""
        while not self._packets:
            async with asyncio.timeout(WAIT_S):
                data = await self.reader.read(65536)
            if not data:
                return None
            self._packets += self._decoder.feed(data)
            assert self._decoder.error is None
        return self._packets.pop(0)

    async def ended(self) -> Packet | None:
        """Return the last packet before the end of the connection."""
        last: Packet | None = None
        try:
            while (packet := await self.read()) is not None:
                last = packet
        except ConnectionResetError:
            pass
        return last


class World:
    def __init__(self, server: Server, door: Door, notes: Notes, port: int, guarded: int) -> None:
        self.server = server
        self.door = door
        self.notes = notes
        self.port = port
        self.guarded = guarded
        self.peers: list[Peer] = []

    async def peer(self, version: int = 4, *, guarded: bool = False) -> Peer:
        peer = await Peer(self.guarded if guarded else self.port, version).open()
        self.peers.append(peer)
        return peer

    async def noted(self, line: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while not any(note.startswith(line) for note in self.notes.lines):  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def is_well(self) -> bool:
        """Say whether the server still serves somebody else."""
        peer = await self.peer()
        await peer.connect("well")
        peer.send(Pingreq())
        answer = await peer.read()
        peer.writer.close()
        return isinstance(answer, Pingresp)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    door, notes = Door(), Notes()
    limits = ConnectionLimits(
        maximum_packet_size=100_000, connect_packet_size=1000, connect_timeout_s=0.5,
        receive_maximum=10,
    )  # fmt: skip
    server = Server(Broker(Limits()), door, limits, [notes])
    port = await server.listen_tcp("127.0.0.1", 0, anonymous_allowed=True)
    guarded = await server.listen_tcp("127.0.0.1", 0, anonymous_allowed=False)
    world = World(server, door, notes, port, guarded)
    yield world
    for peer in world.peers:
        peer.writer.close()
    await server.close(1.0)


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_every_version_connects_publishes_and_receives(world: World, version: int) -> None:
    peer = await world.peer(version)
    assert (await peer.connect()).reason_code == 0
    peer.send(Subscribe(1, [Subscription("a/#", 2)]))
    assert isinstance(await peer.read(), Suback)
    peer.send(Publish("a/b", b"0"), Publish("a/b", b"1", 1, packet_id=5))
    got = [await peer.read() for _ in range(3)]
    assert [p.payload for p in got if isinstance(p, Publish)] == [b"0", b"1"]
    assert [p.packet_id for p in got if isinstance(p, Ack)] == [5]


async def test_an_empty_client_id_gets_one(world: World) -> None:
    five = await world.peer(5)
    answer = await five.connect("")
    assert str((answer.properties or {})[c.ASSIGNED_CLIENT_IDENTIFIER]).startswith("auto-")
    four = await world.peer(4)
    assert (await four.connect("", clean=False)).reason_code == 2
    assert await four.read() is None


async def test_wrong_credentials_are_refused_in_each_versions_words(world: World) -> None:
    for version, code in ((5, c.BAD_USER_NAME_OR_PASSWORD), (4, 4), (3, 4)):
        peer = await world.peer(version, guarded=True)
        answer = await peer.connect(username="d", password=b"wrong")
        assert answer.reason_code == code
        assert await peer.read() is None
    assert len([line for line in world.notes.lines if line.startswith("refused c wrong")]) == 3


async def test_without_credentials_only_the_open_listener_lets_in(world: World) -> None:
    guarded = await world.peer(4, guarded=True)
    assert (await guarded.connect()).reason_code == 4


HOSTILE = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "another packet first": b"\xc0\x00",
    "256 MB announced": b"\x10\xff\xff\xff\x7f",
    "an endless length": b"\x10\xff\xff\xff\xff\x01",
    "an unknown protocol": b"\x10\x0c\x00\x04HTTP\x04\x02\x00\x3c\x00\x00",
    "an unknown level": b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x3c\x00\x00",
    "invalid UTF-8": b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xff\xfe",
    "zeros": bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_bytes_that_are_no_connect_close_that_connection_only(
    world: World, name: str
) -> None:
    peer = await world.peer()
    peer.writer.write(HOSTILE[name])
    answer = await peer.ended()
    assert answer is None or isinstance(answer, Connack)
    assert await world.is_well()


async def test_a_connect_must_come_in_time(world: World) -> None:
    peer = await world.peer()
    peer.writer.write(b"\x10")
    assert await peer.ended() is None


BAD_LATER = {
    "a wildcard in the Topic Name": (b"\x30\x05\x00\x03a/#", c.TOPIC_NAME_INVALID),
    "invalid UTF-8 in the Topic Name": (b"\x30\x04\x00\x02\xff\xfe", c.MALFORMED_PACKET),
    "a second CONNECT": (
        b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00",
        c.PROTOCOL_ERROR,
    ),
    "QoS 3": (b"\x36\x05\x00\x01a\x00\x01", c.MALFORMED_PACKET),
    "256 MB announced": (b"\x30\xff\xff\xff\x7f", c.PACKET_TOO_LARGE),
    "a server's packet": (b"\x20\x03\x00\x00\x00", c.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("name", BAD_LATER)
async def test_a_bad_packet_ends_the_connection_with_its_reason(world: World, name: str) -> None:
    data, code = BAD_LATER[name]
    peer = await world.peer(5)
    await peer.connect(will=Publish("gone", b"c"))
    watcher = await world.peer()
    await watcher.connect("watcher")
    watcher.send(Subscribe(1, [Subscription("gone", 0)]))
    await watcher.read()
    peer.writer.write(data)
    last = await peer.ended()
    assert isinstance(last, Disconnect)
    assert last.reason_code == code
    will = await watcher.read()
    assert isinstance(will, Publish)
    assert will.payload == b"c"


async def test_more_than_receive_maximum_ends_the_connection(world: World) -> None:
    peer = await world.peer(5)
    answer = await peer.connect()
    assert (answer.properties or {})[c.RECEIVE_MAXIMUM] == 10
    world.server.broker.tree.add_taker("held", _Holder())
    peer.send(*(Publish("held", b"", 1, packet_id=n) for n in range(1, 12)))
    last = await peer.ended()
    assert isinstance(last, Disconnect)
    assert last.reason_code == c.RECEIVE_MAXIMUM_EXCEEDED


async def test_silence_ends_the_connection_and_sends_the_will(world: World) -> None:
    peer = await world.peer(5)
    await peer.connect("quiet", keep_alive=1, will=Publish("gone", b"quiet"))
    last = await peer.ended()
    assert isinstance(last, Disconnect)
    assert last.reason_code == c.KEEP_ALIVE_TIMEOUT
    await world.noted("disconnected quiet keep_alive")


async def test_a_take_over_tells_the_older_connection(world: World) -> None:
    old = await world.peer(5)
    await old.connect("same")
    new = await world.peer(5)
    await new.connect("same")
    last = await old.ended()
    assert isinstance(last, Disconnect)
    assert last.reason_code == c.SESSION_TAKEN_OVER
    new.send(Pingreq())
    assert isinstance(await new.read(), Pingresp)


async def test_two_that_fight_over_one_id_are_slowed_down_and_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.net.server.FIGHT_PAUSE_S", 0.3)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(8):
        peer = await world.peer()
        await peer.connect("fought over")
    assert loop.time() - began > 4 * 0.3
    began = loop.time()
    assert await world.is_well()
    assert loop.time() - began < 0.3


async def test_revocation_during_the_pause_of_a_fight_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwire.net.server.FIGHT_FREE", 0)
    monkeypatch.setattr("fleetwire.net.server.FIGHT_PAUSE_S", 0.2)
    first = await world.peer(4, guarded=True)
    await first.connect("x", username="d", password=b"secret")
    second = await world.peer(4, guarded=True)
    waiting = asyncio.create_task(second.connect("x", username="d", password=b"secret"))
    await asyncio.sleep(0.05)
    world.door.is_revoked = True
    assert (await waiting).reason_code == 4


async def test_a_revoked_credential_closes_its_connections_at_once(world: World) -> None:
    peer = await world.peer(5, guarded=True)
    await peer.connect(username="d", password=b"secret")
    assert world.server.disconnect_credential(70, "revoked") == 1
    last = await peer.ended()
    assert isinstance(last, Disconnect)
    assert last.reason_code == c.NOT_AUTHORIZED
    await world.noted("disconnected c revoked")


async def test_what_came_with_the_connect_is_carried_out_after_it(world: World) -> None:
    peer = await world.peer()
    connect = encode_connect(Connect(4, "eager", True, 60, None, None, None, None))
    rest = encode(Subscribe(1, [Subscription("a", 0)]), 4) + encode(Publish("a", b"x"), 4)
    peer.writer.write(connect + rest)
    kinds = [type(await peer.read()) for _ in range(3)]
    assert kinds == [Connack, Suback, Publish]
    await world.noted("listening eager a")


async def test_while_the_road_is_held_nothing_is_read_and_nobody_is_thrown_out(
    world: World,
) -> None:
    peer = await world.peer()
    await peer.connect(keep_alive=1)
    world.server.hold()
    peer.send(Publish("a", b"x", 1, packet_id=1))
    late = await world.peer()
    late.writer.write(encode_connect(Connect(4, "late", True, 60, None, None, None, None)))
    await asyncio.sleep(2.6)  # two looks of the clock, past one and a half times Keep Alive
    assert world.server.broker.stats.messages_received == 0
    assert "connected late 3.1.1" not in world.notes.lines
    world.server.resume()
    assert isinstance(await peer.read(), Ack)
    assert isinstance(await late.read(), Connack)


async def test_a_reader_that_does_not_read_costs_no_memory_and_slows_nobody(world: World) -> None:
    slow, quick, sender = await world.peer(), await world.peer(), await world.peer()
    for name, peer in (("slow", slow), ("quick", quick), ("sender", sender)):
        await peer.connect(name)
    for peer in (slow, quick):
        peer.send(Subscribe(1, [Subscription("a", 0)]))
        await peer.read()
    slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(300):
        sender.send(Publish("a", bytes(90_000)))
        await sender.writer.drain()
        assert isinstance(await quick.read(), Publish)
    [held] = [
        one for one in world.server.connections if one.session and one.session.client_id == "slow"
    ]
    assert held.transport is not None
    assert held.transport.get_write_buffer_size() < 3 * world.server.limits.write_high_bytes
    assert world.server.broker.stats.messages_dropped > 0


async def test_closing_tells_mqtt5_clients_and_sends_no_will(world: World) -> None:
    peer = await world.peer(5)
    await peer.connect(will=Publish("gone", b"c"))
    await world.server.close(1.0)
    last = await peer.ended()
    assert isinstance(last, Disconnect)
    assert last.reason_code == c.SERVER_SHUTTING_DOWN
    assert world.server.broker.stats.messages_received == 0


class _Holder(Taker):
    holds_tickets = True

    def take(self, delivery: Delivery) -> None:
        """Keep the sender waiting."""


class SlowJournal(NoJournal):
    """Stores when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.is_asked = asyncio.Event()

    def when_stored(self, action: Callable[[], None]) -> None:
        self.waiting.append(action)
        self.is_asked.set()

    def store(self) -> None:
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action()


async def test_connack_of_a_clean_start_waits_until_the_old_session_is_gone_for_good(
    world: World,
) -> None:
    old = await world.peer(4)
    assert (await old.connect("k", clean=False)).reason_code == 0
    old.send(Disconnect())
    assert await old.read() is None
    journal = SlowJournal()
    world.server.broker.journal = journal
    fresh = await world.peer(4)
    connecting = asyncio.create_task(fresh.connect("k"))
    async with asyncio.timeout(WAIT_S):
        await journal.is_asked.wait()
    fresh.send(Pingreq())
    other = await world.peer(4)
    assert (await other.connect("other")).reason_code == 0  # so the server has had its turns
    assert not connecting.done()
    journal.store()
    assert not (await connecting).session_present
    assert isinstance(await fresh.read(), Pingresp)
