"""Limits at real sockets: what a client that is too fast, too slow or too many gets, and that
nobody else notices."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.grants import Grant
from fleetwire.net import gatekeeper as g
from fleetwire.net.authenticator import Offer
from fleetwire.net.bans import BanLimits
from fleetwire.net.connection import OPENING_READ_BYTES, MQTTConnection
from fleetwire.net.gatekeeper import GateLimits
from fleetwire.net.meter import FlowLimits
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode, encode_connect
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from tests.net.test_server import Door, Peer

WAIT_S = 5.0


class Place:
    """A server with these limits, and the clients that a test opens."""

    def __init__(self, server: Server, door: Door, port: int) -> None:
        self.server = server
        self.door = door
        self.port = port
        self.peers: list[Peer] = []

    async def peer(self, version: int = 4) -> Peer:
        peer = await Peer(self.port, version).open()
        self.peers.append(peer)
        return peer

    async def client(self, client_id: str, version: int = 4) -> Peer:
        peer = await self.peer(version)
        assert (await peer.connect(client_id)).reason_code == 0
        return peer

    async def subscriber(self, client_id: str, topic_filter: str, qos: int) -> Peer:
        peer = await self.client(client_id)
        peer.send(Subscribe(1, [Subscription(topic_filter, qos)]))
        await peer.read()
        return peer

    def connection(self, client_id: str) -> MQTTConnection:
        """Return the server's side of a client's connection."""
        for one in self.server.connections:
            if one.session is not None and one.session.client_id == client_id:
                return one
        raise AssertionError(f"{client_id} is not connected")


@asynccontextmanager
async def serving(
    gate: GateLimits | None = None,
    flow: FlowLimits | None = None,
    *,
    broker: Broker | None = None,
    door: Door | None = None,
    connect_packet_size: int = 2000,
) -> AsyncIterator[Place]:
    door = door or Door()
    limits = ConnectionLimits(
        connect_packet_size=connect_packet_size,
        connect_timeout_s=0.4,
        write_high_bytes=64 * 1024,
        gate=gate or GateLimits(),
        flow=flow or FlowLimits(),
    )
    server = Server(broker or Broker(Limits()), door, limits)
    port = await server.listen_tcp("127.0.0.1", 0, anonymous_allowed=True)
    place = Place(server, door, port)
    try:
        yield place
    finally:
        for peer in place.peers:
            peer.writer.close()
        await server.close(1.0)


async def pings(peer: Peer) -> bool:
    peer.send(Pingreq())
    return isinstance(await peer.read(), Pingresp)


async def until(is_so: Callable[[], object]) -> None:
    """Wait for something that only the server knows."""
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.005)


# --- at the door ---


async def test_one_connection_too_many_of_an_address_is_closed_before_its_connect() -> None:
    async with serving(GateLimits(per_address=2)) as place:
        first, second = await place.client("a"), await place.peer()
        third = await place.peer()
        assert await third.ended() is None
        assert place.server.gatekeeper.counts == {g.TOO_MANY_OF_ADDRESS: 1}
        second.writer.close()
        await until(lambda: len(place.server.connections) == 1)
        assert await pings(await place.client("b"))
        assert await pings(first)


@pytest.mark.parametrize(("version", "code"), [(5, c.CONNECTION_RATE_EXCEEDED), (4, 3), (3, 3)])
async def test_a_connect_over_the_rate_is_told_so(version: int, code: int) -> None:
    async with serving(GateLimits(connects_per_s_per_address=1, connect_burst_s=1)) as place:
        first = await place.client("a")
        second = await place.peer(version)
        assert (await second.connect("b")).reason_code == code
        assert await second.read() is None
        assert await pings(first)
        assert place.server.gatekeeper.counts == {g.CONNECT_RATE_OF_ADDRESS: 1}
        assert place.server.broker.stats.connections_refused == 1


async def test_of_too_many_that_never_connect_the_oldest_makes_room() -> None:
    async with serving(GateLimits(opening=2)) as place:
        inside = await place.client("a")
        oldest, younger = await place.peer(), await place.peer()
        await until(lambda: place.server.gatekeeper.opening == 2)
        newest = await place.peer()
        assert await oldest.ended() is None
        for name, peer in (("b", younger), ("c", newest)):
            assert (await peer.connect(name)).reason_code == 0
        assert await pings(inside)
        assert place.server.gatekeeper.opening == 0


async def test_one_connection_too_many_of_an_identity_is_told_so() -> None:
    async with serving(GateLimits(per_identity=1)) as place:
        for version, code in ((5, c.QUOTA_EXCEEDED), (4, 3)):
            first, second = await place.peer(4), await place.peer(version)
            await first.connect("a", username="d", password=b"secret")
            answer = await second.connect("b", username="d", password=b"secret")
            assert answer.reason_code == code
            assert await second.read() is None
            again = await place.peer(4)  # takes its own place, so it is not one more
            answer = await again.connect("a", username="d", password=b"secret")
            assert answer.reason_code == 0
            again.writer.close()
            await until(lambda: not place.server.gatekeeper._of_identity)


async def test_who_has_said_goodbye_makes_room_before_its_socket_is_closed() -> None:
    async with serving(GateLimits(per_identity=1)) as place:
        first, second = await place.peer(5), await place.peer(5)
        await first.connect("a", username="d", password=b"secret")
        first.send(Disconnect())
        await until(lambda: place.server.broker.sessions.get("a") is None)
        assert len(place.server.connections) == 2  # it waits for the far side to close
        assert (await second.connect("b", username="d", password=b"secret")).reason_code == 0


async def test_anonymous_clients_are_not_counted_as_one() -> None:
    async with serving(GateLimits(per_identity=1)) as place:
        clients = [await place.client(name) for name in ("a", "b", "c")]
        assert all([await pings(one) for one in clients])


async def test_a_flapping_client_is_told_that_it_is_banned_and_others_go_on() -> None:
    bans = BanLimits(client_connects=3)
    async with serving(GateLimits(bans=bans)) as place:
        for _ in range(4):
            peer = await place.peer(4)
            answer = await peer.connect("a", username="d", password=b"secret")
            assert answer.reason_code == 0
            peer.writer.close()
            await until(lambda: not place.server.connections)
        for version, code in ((5, c.BANNED), (4, c.REFUSED_NOT_AUTHORIZED)):
            peer = await place.peer(version)
            answer = await peer.connect("a", username="d", password=b"secret")
            assert answer.reason_code == code
        other = await place.peer(5)
        assert (await other.connect("b", username="d", password=b"secret")).reason_code == 0
        assert place.server.gatekeeper.lift("client", "a", "device:demo/d")
        peer = await place.peer(5)
        assert (await peer.connect("a", username="d", password=b"secret")).reason_code == 0


# --- before anybody knows who it is ---


async def test_a_connect_that_dribbles_in_is_cut_off_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fleetwire.net.server.TICK_S", 0.05)
    async with serving() as place:
        peer = await place.peer()
        ended = asyncio.create_task(peer.ended())
        loop = asyncio.get_running_loop()
        began = loop.time()
        connect = encode_connect(Connect(4, "c" * 200, True, 60, None, None, None, None))
        for byte in connect:
            if ended.done():
                break
            peer.writer.write(bytes((byte,)))
            await asyncio.wait({ended}, timeout=0.05)
        assert ended.done()
        assert await ended is None
        assert 0.4 <= loop.time() - began < 3
        assert place.server.gatekeeper.counts == {g.NO_CONNECT: 1}


async def test_a_connect_that_never_ends_is_held_up_to_its_bound() -> None:
    async with serving(connect_packet_size=2000) as place:
        peer = await place.peer()
        peer.writer.write(b"\x10\xcd\x0f")  # 2000 bytes in all: just allowed
        [connection] = await _opening(place)
        for _ in range(1990 // 10):
            peer.writer.write(bytes(10))
        await until(lambda: connection.protocol.buffered_bytes == 1993)
        greedy = await place.peer()
        greedy.writer.write(b"\x10\xce\x0f" + bytes(1997))  # one more
        assert await greedy.ended() is None
        assert connection.protocol.buffered_bytes == 1993


async def _opening(place: Place) -> list[MQTTConnection]:
    await until(lambda: place.server.connections)
    return list(place.server.connections)


class SlowDoor(Door):
    """Takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.opens = asyncio.Event()

    async def authenticate(self, offer: Offer) -> Grant:
        await self.opens.wait()
        return await super().authenticate(offer)


async def test_what_comes_behind_a_connect_is_not_piled_up_while_it_waits() -> None:
    door = SlowDoor()
    async with serving(door=door) as place:
        peer = await place.peer()
        connect = encode_connect(Connect(4, "c", True, 60, None, None, None, None))
        peer.writer.write(connect + encode(Pingreq(), 4) * 100_000)
        [connection] = await _opening(place)
        await until(lambda: connection.is_opening)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(connection._waiting) <= OPENING_READ_BYTES // 2
        door.opens.set()
        assert isinstance(await peer.read(), Connack)
        for _ in range(100_000):
            assert isinstance(await peer.read(), Pingresp)


# --- a client that sends too fast ---


async def test_a_client_over_its_rate_is_paused_and_loses_nothing() -> None:
    async with serving(flow=FlowLimits(messages_per_s=200, burst_s=1)) as place:
        taker = await place.subscriber("taker", "a", 1)
        sender = await place.client("sender")
        loop = asyncio.get_running_loop()
        began = loop.time()
        sender.send(*(Publish("a", b"%032d" % n, 1, packet_id=n) for n in range(1, 401)))
        got: list[bytes] = []
        while len(got) < 400:
            packet = await taker.read()
            assert isinstance(packet, Publish)
            got.append(packet.payload)
            taker.send(Ack(c.PUBACK, packet.packet_id))
        took_s = loop.time() - began
        acks = [await sender.read() for _ in range(400)]
        assert got == [b"%032d" % n for n in range(1, 401)]
        assert all(isinstance(ack, Ack) for ack in acks)
        # 200 at once, then 200 a second; the last read (3.2 kB, 84 messages) comes before its rest.
        assert took_s > (400 - 200 - 84) / 200 - 0.05
        assert place.server.gatekeeper.counts[g.PAUSED] >= 1
        assert place.server.broker.stats.messages_dropped == 0


async def test_bytes_have_a_rate_too() -> None:
    async with serving(flow=FlowLimits(bytes_per_s=20_000, burst_s=1)) as place:
        sender = await place.client("sender")
        loop = asyncio.get_running_loop()
        began = loop.time()
        sender.send(*(Publish("a", bytes(2000), 1, packet_id=n) for n in range(1, 31)))
        for _ in range(30):
            assert isinstance(await sender.read(), Ack)
        # 60 kB: 20 at once, 20 in the next second, and one read may run ahead.
        assert loop.time() - began > 0.9


async def test_while_one_client_rests_the_others_are_served() -> None:
    async with serving(flow=FlowLimits(messages_per_s=10, burst_s=1)) as place:
        fast, calm = await place.client("fast"), await place.client("calm")
        fast.send(*(Publish("a", bytes(40)) for _ in range(100)))
        await until(lambda: place.server.gatekeeper.counts.get(g.PAUSED))
        transport = place.connection("fast").transport
        assert transport is not None
        assert not transport.is_reading()
        for _ in range(5):
            assert await pings(calm)
        assert not transport.is_reading()


async def test_a_client_that_we_paused_is_not_silent() -> None:
    async with serving(flow=FlowLimits(messages_per_s=1, burst_s=1)) as place:
        fast, quiet = await place.peer(), await place.peer()
        await fast.connect("fast", keep_alive=1)
        await quiet.connect("quiet", keep_alive=1)
        fast.send(*(Publish("a", b"") for _ in range(50)))
        await until(lambda: place.server.gatekeeper.counts.get(g.PAUSED))
        later = time.monotonic() + 30
        resting, silent = place.connection("fast"), place.connection("quiet")
        resting.check(later)
        silent.check(later)
        assert not resting.closed
        assert silent.closed


async def test_the_end_of_a_hold_does_not_end_a_rest() -> None:
    async with serving(flow=FlowLimits(messages_per_s=100, burst_s=1)) as place:
        fast = await place.client("fast")
        fast.send(*(Publish("a", b"") for _ in range(150)))
        await until(lambda: place.server.gatekeeper.counts.get(g.PAUSED))
        connection = place.connection("fast")
        assert connection.transport is not None
        place.server.hold()
        place.server.resume()
        assert not connection.transport.is_reading()
        place.server.hold()
        await until(lambda: connection._rest is None)
        assert not connection.transport.is_reading()
        place.server.resume()
        assert connection.transport.is_reading()
        assert await pings(fast)


async def test_acknowledging_what_we_send_costs_a_client_nothing() -> None:
    async with serving(flow=FlowLimits(messages_per_s=5, burst_s=1)) as place:
        taker = await place.subscriber("taker", "a", 1)
        for number in range(100):
            place.server.publish("a", b"%d" % number, qos=1)
        for _ in range(100):
            packet = await taker.read()
            assert isinstance(packet, Publish)
            taker.send(Ack(c.PUBACK, packet.packet_id))
        session = place.connection("taker").session
        assert session is not None
        await until(lambda: not session.inflight)
        assert g.PAUSED not in place.server.gatekeeper.counts


# --- what one message or subscription may be ---


@pytest.mark.parametrize(
    ("topic_name", "payload", "code"),
    [
        ("a", bytes(101), c.QUOTA_EXCEEDED),
        ("a/b/c/d", b"", c.TOPIC_NAME_INVALID),
    ],
)
async def test_a_message_over_a_bound_is_refused_and_the_next_one_passes(
    topic_name: str, payload: bytes, code: int
) -> None:
    broker = Broker(Limits(payload_bytes=100, topic_levels=3))
    async with serving(broker=broker) as place:
        taker = await place.subscriber("taker", "#", 0)
        sender = await place.client("sender", 5)
        sender.send(Publish(topic_name, payload, 1, packet_id=1))
        sender.send(Publish("a/b/c", bytes(100), 1, packet_id=2))
        answers = [await sender.read(), await sender.read()]
        assert [one.reason_code for one in answers if isinstance(one, Ack)] == [code, 0]
        packet = await taker.read()
        assert isinstance(packet, Publish)
        assert packet.topic_name == "a/b/c"


@pytest.mark.parametrize(("version", "code"), [(5, c.QUOTA_EXCEEDED), (4, 0x80)])
async def test_a_subscription_too_many_is_refused_and_the_others_stand(
    version: int, code: int
) -> None:
    async with serving(broker=Broker(Limits(subscriptions=2))) as place:
        taker = await place.client("taker", version)
        taker.send(Subscribe(1, [Subscription(name, 0) for name in ("a", "b", "c")]))
        answer = await taker.read()
        assert isinstance(answer, Suback)
        assert answer.reason_codes == [0, 0, code]
        place.server.publish("c", b"")
        place.server.publish("b", b"")
        packet = await taker.read()
        assert isinstance(packet, Publish)
        assert packet.topic_name == "b"


# --- a client that reads too slowly ---


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_slow_reader_holds_a_bounded_queue_and_slows_nobody(qos: int) -> None:
    limits = Limits(queue_messages=20, window=20)
    async with serving(broker=Broker(limits)) as place:
        slow = await place.subscriber("slow", "a", qos)
        quick = await place.subscriber("quick", "a", qos)
        sender = await place.client("sender")
        connection = place.connection("slow")
        session, transport = connection.session, connection.transport
        assert session is not None
        assert transport is not None
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]  # the socket fills up
        payload = bytes(50_000)
        for number in range(1, 301):
            sender.send(Publish("a", payload, qos, packet_id=number if qos else 0))
            packet = await quick.read()
            assert isinstance(packet, Publish)
            if qos:
                quick.send(Ack(c.PUBACK, packet.packet_id))
                assert isinstance(await sender.read(), Ack)
            assert transport.get_write_buffer_size() <= 64 * 1024 + 2 * len(payload)
            assert len(session.queue) <= 20
            assert len(session.inflight) <= 20
        assert place.server.broker.stats.messages_dropped > 0
        if qos == 0:
            assert connection.congested
            assert not session.queue
        kept = len(session.queue) + len(session.inflight)
        reading = asyncio.create_task(_read_until(slow, b"end"))
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]
        await until(lambda: not connection.congested and not session.inflight)
        place.server.publish("a", b"end", qos=qos)
        # What was in its queue comes now; QoS 0 has none, only what the sockets held.
        assert await reading >= kept


async def _read_until(peer: Peer, payload: bytes) -> int:
    """Read and acknowledge until this payload comes; return how many came before it."""
    count = 0
    while True:
        packet: Packet | None = await peer.read()
        assert isinstance(packet, Publish)
        if packet.qos:
            peer.send(Ack(c.PUBACK, packet.packet_id))
        if packet.payload == payload:
            return count
        count += 1
