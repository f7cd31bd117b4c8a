"""Bridges over TLS and WebSocket, and to brokers that speak an older MQTT or less of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetwire.errors import SettingsError
from fleetwire.net.bridge.plan import BridgePlan, TopicRule
from fleetwire.net.tls import ServerCertificate, TLSFiles
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_connack
from fleetwire.protocol.packets import Ack, Connack, Connect, Publish, Suback, Subscribe
from tests.net.bridging import HOST, Place, plan, until
from tests.net.certificates import Authority
from tests.net.test_client import Peer

BOTH = TopicRule("t/#", "both")


@pytest.fixture
async def here() -> AsyncIterator[Place]:
    place = await Place("here").start()
    yield place
    await place.close()


@pytest.fixture
async def there() -> AsyncIterator[Place]:
    place = await Place("there").start()
    yield place
    await place.close()


async def goes_both_ways(here: Place, there: Place, to: BridgePlan) -> None:
    ears = await here.ear("t/#"), await there.ear("t/#")
    here.bridge(to)
    await here.until_connected()
    here.say("t/1", "from here")
    there.say("t/2", "x" * 200_000)
    for ear in ears:
        await ear.until(2)
        assert {"from here", "x" * 200_000} == set(ear.texts)


async def test_over_tls_with_a_client_certificate(
    here: Place, there: Place, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "fleet")
    files = authority.server()
    certificate = ServerCertificate(TLSFiles(files.certificate, files.key, authority.path))
    assert there.server is not None
    port = await there.server.listen_tcp(HOST, 0, anonymous_allowed=False, certificate=certificate)
    mine, key = authority.client("bridge")
    secure = plan(port, BOTH, scheme="mqtts", ca=authority.path, certificate=mine, key=key)
    await goes_both_ways(here, there, secure)


async def test_a_server_that_nobody_vouches_for_is_not_talked_to(
    here: Place, there: Place, tmp_path: Path
) -> None:
    certificate = ServerCertificate(Authority(tmp_path, "fleet").server())
    assert there.server is not None
    port = await there.server.listen_tcp(HOST, 0, anonymous_allowed=True, certificate=certificate)
    other = Authority(tmp_path, "other")
    here.bridge(plan(port, BOTH, scheme="mqtts", ca=other.path))
    await until(lambda: "agree on no TLS" in here.status().reason)


@pytest.mark.parametrize("path", ["/mqtt", "/"])
async def test_over_websocket(here: Place, there: Place, path: str) -> None:
    assert there.server is not None
    port = await there.server.listen_websocket(HOST, 0, anonymous_allowed=True)
    await goes_both_ways(here, there, plan(port, BOTH, scheme="ws", path=path))


async def test_over_secure_websocket(here: Place, there: Place, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "fleet")
    assert there.server is not None
    port = await there.server.listen_websocket(
        HOST, 0, anonymous_allowed=True, certificate=ServerCertificate(authority.server())
    )
    await goes_both_ways(here, there, plan(port, BOTH, scheme="wss", ca=authority.path))


@pytest.mark.parametrize(
    ("scheme", "path", "reason"),
    [
        ("ws", "/elsewhere", "opens no WebSocket for MQTT: server rejected WebSocket connection"),
        ("mqtt", "", "closed"),
    ],
)
async def test_a_websocket_that_does_not_open_is_told_in_the_status(
    here: Place, there: Place, scheme: str, path: str, reason: str
) -> None:
    assert there.server is not None
    port = await there.server.listen_websocket(HOST, 0, anonymous_allowed=True)
    here.bridge(plan(port, BOTH, scheme=scheme, path=path))
    await until(lambda: reason in here.status().reason)


async def test_files_that_cannot_be_used_are_told_at_the_start(here: Place, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SettingsError, match=r"Bridge hub: ca = .*ca\.pem cannot be used"):
        here.bridge(plan(1, BOTH, scheme="mqtts", ca=tmp_path / "ca.pem"))
    authority = Authority(tmp_path, "fleet")
    with pytest.raises(SettingsError, match=r"Bridge hub: certificate = .* cannot be used"):
        here.bridge(plan(1, BOTH, scheme="mqtts", certificate=authority.path))


class Old:
    """A broker that answers as it is told, one connection after the other."""

    def __init__(self, refusal: bytes = b"", connack: Connack | None = None) -> None:
        self.refusal = refusal  # of MQTT 5: bytes, or nothing and the end of the connection
        self.connack = connack
        self.connects: list[Connect] = []
        self.heard: list[Publish | Ack] = []
        self.peer: Peer | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        assert self._writer is not None
        self._writer.transport.abort()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        try:
            connect = await peer.next()
            assert isinstance(connect, Connect)
            self.connects.append(connect)
            if connect.protocol_version == c.V5 and self.connack is None:
                peer.send_raw(self.refusal)
            else:
                peer.send(self.connack or Connack(False))
                self.peer = peer
                self._writer = writer
                while True:
                    await self._answer(peer)
        except (EOFError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, peer: Peer) -> None:
        packet = await peer.next()
        if isinstance(packet, Subscribe):
            peer.send(Suback(packet.packet_id, [each.qos for each in packet.subscriptions]))
        elif isinstance(packet, Publish):
            self.heard.append(packet)
            if packet.qos == 1:
                peer.send(Ack(c.PUBACK, packet.packet_id))
            elif packet.qos == 2:
                peer.send(Ack(c.PUBREC, packet.packet_id))
        elif isinstance(packet, Ack):
            self.heard.append(packet)
            if packet.type == c.PUBREL:
                peer.send(Ack(c.PUBCOMP, packet.packet_id))


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(b"", id="closes"),
        pytest.param(encode_connack(False, 1, None, c.V311), id="return code 1"),
        pytest.param(
            encode_connack(False, c.UNSUPPORTED_PROTOCOL_VERSION, None, c.V5), id="reason code"
        ),
    ],
)
async def test_an_older_server_is_spoken_to_in_3_1_1(here: Place, refusal: bytes) -> None:
    old = Old(refusal)
    port = await old.start()
    here.bridge(plan(port, TopicRule("t/#", "both", 2)))
    await here.until_connected()
    assert here.status().protocol == "3.1.1"
    here.say("t/1", "1", 2)
    await until(lambda: here.status().counts.messages_out == 1)
    # What it refuses to know, it is not told: the error of a message here is none there.
    here.broker.limits.topic_levels = 2
    assert old.peer is not None
    old.peer.send(Publish("t/too/deep", b"x", 2, packet_id=7))
    await until(lambda: len(old.heard) == 3)
    assert old.heard[2] == Ack(c.PUBREC, 7)
    old.peer.send(Ack(c.PUBREL, 7))
    await until(lambda: len(old.heard) == 4)
    assert old.heard[3] == Ack(c.PUBCOMP, 7)
    # It is remembered for the next connection.
    assert [each.protocol_version for each in old.connects] == [c.V5, c.V311]
    old.cut()
    await here.until_away()
    await here.until_connected()
    assert [each.protocol_version for each in old.connects] == [c.V5, c.V311, c.V311]
    await here.close()
    await old.close()


@pytest.mark.parametrize("maximum", [0, 1])
async def test_a_server_without_qos_2_and_retained_messages_gets_what_it_can_take(
    here: Place, maximum: int
) -> None:
    modest = Old(connack=Connack(False, 0, {c.MAXIMUM_QOS: maximum, c.RETAIN_AVAILABLE: 0}))
    port = await modest.start()
    here.bridge(plan(port, TopicRule("t/#", "out", 2)))
    await here.until_connected()
    for qos in (0, 1, 2):
        here.say("t/1", str(qos), qos, retain=True)
    await until(lambda: here.status().counts.messages_out == 3 and not here.status().queued)
    await until(lambda: len(modest.heard) == 3)
    heard = [each for each in modest.heard if isinstance(each, Publish)]
    assert [(each.payload, each.qos, each.retain) for each in heard] == [
        (b"0", 0, False),
        (b"1", min(1, maximum), False),
        (b"2", min(2, maximum), False),
    ]
    assert len(heard) == len(modest.heard)
    await here.close()
    await modest.close()


async def test_what_the_other_side_refuses_is_counted(here: Place) -> None:
    class Refusing(Old):
        async def _answer(self, peer: Peer) -> None:
            packet = await peer.next()
            assert isinstance(packet, Publish)
            kind = c.PUBACK if packet.qos == 1 else c.PUBREC
            peer.send(Ack(kind, packet.packet_id, c.QUOTA_EXCEEDED))

    refusing = Refusing(connack=Connack(False))
    port = await refusing.start()
    here.bridge(plan(port, TopicRule("t/#", "out", 2)))
    await here.until_connected()
    for qos in (1, 2):
        here.say("t/1", "x", qos)
    await until(lambda: here.status().counts.dropped == {"refused by the other side": 2})
    await until(lambda: not here.status().queued)
    await here.close()
    await refusing.close()


async def test_a_refused_connect_is_told_in_the_status_without_the_password(here: Place) -> None:
    refused = Connack(False, c.BAD_USER_NAME_OR_PASSWORD)
    strict = Old(connack=refused)
    port = await strict.start()
    here.bridge(plan(port, BOTH, username="me", password="hush"))
    await until(lambda: here.status().reason == "Bad User Name or Password (0x86)")
    assert strict.connects[0].password == b"hush"
    assert "hush" not in repr(here.status())
    await here.close()
    await strict.close()
