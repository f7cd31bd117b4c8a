"""The ways in, on real sockets: TLS, certificates of clients, PROXY headers, Unix sockets."""

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import stat
import struct
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fleetwire.errors import SettingsError
from fleetwire.net.arrivals import Arrivals
from fleetwire.net.client import MQTTClient, UnreachableError
from fleetwire.net.proxy import V2_SIGNATURE, ProxyPolicy
from fleetwire.net.tls import ServerCertificate
from fleetwire.protocol.encoder import encode, encode_connect
from fleetwire.protocol.packets import (
    Connack,
    Connect,
    Pingreq,
    Pingresp,
    Subscription,
)
from tests.net.certificates import NOW, Authority
from tests.net.listening import HOST, WAIT_S, World, connect_bytes, ended, nothing_unhandled, packet

FROM_HERE = ProxyPolicy.of("both", ("127.0.0.1",))
HEADER = b"PROXY TCP4 203.0.113.9 10.0.0.1 40000 1883\r\n"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    yield world
    await world.server.close(1.0)


# --- TLS ---


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_each_tls_version_serves_messages_of_any_size(
    world: World, version: ssl.TLSVersion
) -> None:
    port = await world.tls()
    context = world.context()
    context.minimum_version = context.maximum_version = version
    client = MQTTClient("a")
    await client.connect(HOST, port, tls=context)
    messages = client.messages()
    await client.subscribe(Subscription("t", 1))
    for size in (0, 1, 16_384, 16_385, 700_000):
        payload = os.urandom(size)
        await client.publish("t", payload, qos=1)
        async with asyncio.timeout(WAIT_S):
            assert (await anext(messages)).payload == payload
    assert world.door.clients[0].listener == "tls"
    assert world.door.offers[0].certificate is None
    await client.disconnect()


async def test_tls_1_2_is_refused_where_1_3_is_the_least(world: World) -> None:
    port = await world.tls(replace(world.files, min_version="1.3"))
    context = world.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(UnreachableError):
        await MQTTClient().connect(HOST, port, tls=context)
    assert await world.is_well(port)


async def test_a_client_certificate_is_offered_to_the_authenticator(world: World) -> None:
    port = await world.tls(replace(world.files, client_ca=world.authority.path))
    certificate, key = world.authority.client("pump-7")
    client = MQTTClient("a")
    await client.connect(HOST, port, tls=world.context(certificate, key))
    offered = world.door.offers[0].certificate
    assert offered is not None
    assert offered.common_name == "pump-7"
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert offered.fingerprint == hashlib.sha256(der).hexdigest()
    await client.disconnect()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_required_certificate_must_be_there_signed_and_in_force(
    world: World, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    port = await world.tls(replace(world.files, client_ca=world.authority.path))
    expired = world.authority.client("old", not_after=NOW)
    stranger = Authority(tmp_path, "elsewhere").client("stranger")
    reasons = []
    for files in ((), expired, stranger):
        context = world.context(*files)
        context.maximum_version = version
        with capture_logs() as lines, nothing_unhandled(), pytest.raises(UnreachableError):
            await MQTTClient().connect(HOST, port, tls=context)
        reasons += [line["reason"] for line in lines if line["event"] == "connection refused"]
        world.server.listeners.arrivals = forgetful(world)
    assert world.door.offers == []
    assert reasons[0] == "peer did not return a certificate"
    assert reasons[1] == "client certificate: certificate has expired"
    assert reasons[2].startswith("client certificate: unable to get")


def forgetful(world: World) -> Arrivals:
    return Arrivals(world.server.limits.connect_timeout_s)


async def test_an_optional_certificate_may_be_missing_but_not_wrong(
    world: World, tmp_path: Path
) -> None:
    files = replace(world.files, client_ca=world.authority.path, client_certificate="optional")
    port = await world.tls(files)
    assert await world.is_well(port)
    assert world.door.offers[0].certificate is None
    stranger = Authority(tmp_path, "elsewhere").client("stranger")
    with pytest.raises(UnreachableError):
        await MQTTClient().connect(HOST, port, tls=world.context(*stranger))


async def test_plain_bytes_on_the_tls_port_are_refused_with_one_line_an_address(
    world: World,
) -> None:
    port = await world.tls()
    with capture_logs() as lines, nothing_unhandled():
        for data in (connect_bytes(), b"GET / HTTP/1.1\r\n\r\n", os.urandom(3000), b"\x16\x03"):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(data)
            if data == b"\x16\x03":
                writer.write_eof()
            await ended(reader)
            writer.close()
        assert await world.is_well(port)
    refused = [line for line in lines if line["event"] == "connection refused"]
    assert len(refused) == 1
    assert refused[0]["listener"] == "tls"
    assert refused[0]["remote"].startswith("127.0.0.1:")
    assert world.server.listeners.arrivals.refused == 4


async def test_a_look_whether_the_port_is_open_is_not_logged(world: World) -> None:
    port = await world.tls()
    with capture_logs() as lines:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write_eof()
        await ended(reader)
        writer.close()
    assert lines == []
    assert len(world.server.listeners.arrivals) == 0


async def test_a_slow_handshake_is_cut_off(world: World) -> None:
    port = await world.tls()
    with capture_logs() as lines:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"\x16\x03\x01\x02\x00")  # the beginning of a ClientHello
        assert await ended(reader) == b""
        writer.close()
    assert [line["reason"] for line in lines] == ["no handshake within 0.5 s"]


async def test_the_oldest_handshake_gives_way_when_there_are_too_many(world: World) -> None:
    listeners = world.server.listeners
    listeners.arrivals = Arrivals(60.0, maximum=2)
    port = await world.tls()
    peers = [await asyncio.open_connection(HOST, port) for _ in range(2)]
    async with asyncio.timeout(WAIT_S):
        while len(listeners.arrivals) < 2:  # noqa: ASYNC110 - accepting has no event
            await asyncio.sleep(0.005)
    assert await world.is_well(port)
    assert await ended(peers[0][0]) == b""
    assert not peers[1][0].at_eof()
    assert len(listeners.arrivals) == 1
    for _, writer in peers:
        writer.close()


async def test_closing_over_tls_says_goodbye_and_why(world: World) -> None:
    port = await world.tls()
    context = world.context()
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
    writer.write(connect_bytes())
    assert isinstance(await packet(reader), Connack)
    writer.write(b"\xf0\x00")  # AUTH, which 3.1.1 does not know
    assert await ended(reader) == b""
    writer.close()
    five, writer = await asyncio.open_connection(HOST, port, ssl=context)
    writer.write(encode_connect(Connect(5, "five", True, 60)))
    await five.read(65536)
    await world.server.close(1.0)
    assert (await ended(five))[:1] == b"\xe0"  # DISCONNECT
    writer.close()


async def test_a_new_certificate_leaves_running_connections_alone(world: World) -> None:
    certificate = ServerCertificate(world.files)
    port = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True, certificate=certificate)
    seen = []
    connections = []
    for _ in range(2):
        reader, writer = await asyncio.open_connection(HOST, port, ssl=world.context())
        seen.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.write(connect_bytes(f"c{len(seen)}"))
        assert isinstance(await packet(reader), Connack)
        connections.append((reader, writer))
        if len(seen) == 1:
            renewed = world.authority.server("renewed")
            os.replace(renewed.key, world.files.key)
            os.replace(renewed.certificate, world.files.certificate)
            assert certificate.reload_if_changed()
    assert seen[0] != seen[1] == ssl.PEM_cert_to_DER_cert(world.files.certificate.read_text())
    for reader, writer in connections:
        writer.write(encode(Pingreq(), 4))
        assert isinstance(await packet(reader), Pingresp)
        writer.close()


@pytest.mark.needs_mosquitto
async def test_mosquitto_pub_publishes_over_tls_with_its_certificate(world: World) -> None:
    port = await world.tls(replace(world.files, client_ca=world.authority.path))
    certificate, key = world.authority.client("pump-7")
    words = ["mosquitto_pub", "-h", HOST, "-p", str(port), "-i", "pump", "-q", "2", "-t", "t"]
    words += ["-m", "x", "--cafile", str(world.authority.path)]
    words += ["--cert", str(certificate), "--key", str(key)]
    seen = []
    world.server.watch("t", 2, lambda *message: seen.append(message))
    process = await asyncio.create_subprocess_exec(*words, stderr=subprocess.PIPE)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert seen == [("t", b"x", 2)]
    assert world.door.clients[0].listener == "tls"


# --- PROXY ---


def version_2(tlvs: bytes = b"") -> bytes:
    body = bytes([203, 0, 113, 9, 10, 0, 0, 1]) + (40000).to_bytes(2, "big") + b"\x07\x5b" + tlvs
    return V2_SIGNATURE + b"\x21\x11" + len(body).to_bytes(2, "big") + body


@pytest.mark.parametrize("header", [HEADER, version_2(), version_2(b"\x04\x00\x03abc")])
@pytest.mark.parametrize("is_in_one_piece", [True, False])
async def test_the_address_of_a_proxys_header_is_the_clients(
    world: World, header: bytes, is_in_one_piece: bool
) -> None:
    port = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True, proxy=FROM_HERE)
    reader, writer = await asyncio.open_connection(HOST, port)
    if is_in_one_piece:
        writer.write(header + connect_bytes())
    else:
        for byte in header:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        writer.write(connect_bytes())
    assert isinstance(await packet(reader), Connack)
    assert world.door.offers[0].remote == "203.0.113.9:40000"
    assert world.door.clients[0].remote == "203.0.113.9:40000"
    writer.close()


@pytest.mark.parametrize("header", [HEADER, version_2()])
async def test_tls_may_follow_the_header_at_once(world: World, header: bytes) -> None:
    port = await world.tls(replace(world.files, client_ca=world.authority.path), proxy=FROM_HERE)
    context = world.context(*world.authority.client("pump-7"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    reader, writer = await asyncio.open_connection(HOST, port)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    writer.write(header + outgoing.read())
    while True:
        incoming.write(await reader.read(65536))
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
    tls.write(connect_bytes())  # in one piece with the end of the handshake
    writer.write(outgoing.read())
    received = b""
    while not received:
        incoming.write(await reader.read(65536))
        with contextlib.suppress(ssl.SSLWantReadError):
            received = tls.read(1000)
    assert received == b"\x20\x02\x00\x00"
    offer = world.door.offers[0]
    assert offer.remote == "203.0.113.9:40000"
    assert offer.certificate is not None
    writer.close()


async def test_a_proxys_own_connection_has_its_own_address(world: World) -> None:
    port = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True, proxy=FROM_HERE)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(V2_SIGNATURE + b"\x20\x00\x00\x00" + connect_bytes())
    assert isinstance(await packet(reader), Connack)
    assert world.door.offers[0].remote.startswith("127.0.0.1:")
    writer.close()


async def test_who_sends_no_header_or_may_not_send_one_is_refused(world: World) -> None:
    trusting = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True, proxy=FROM_HERE)
    elsewhere = ProxyPolicy.of("both", ("192.0.2.0/24",))
    other = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True, proxy=elsewhere)
    reasons = []
    for port, data in (
        (trusting, connect_bytes()),
        (trusting, b"PROXY nonsense\r\n"),
        (other, HEADER + connect_bytes()),
    ):
        world.server.listeners.arrivals = forgetful(world)
        with capture_logs() as lines, nothing_unhandled():
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(data)
            assert await ended(reader) == b""
            writer.close()
        reasons += [line["reason"] for line in lines]
    assert len(reasons) == 3
    assert "PROXY" in reasons[0]
    assert "malformed" in reasons[1]
    assert "FLEETWIRE_PROXY_FROM" in reasons[2]
    assert world.door.offers == []


async def test_a_header_that_does_not_end_is_cut_off(world: World) -> None:
    port = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True, proxy=FROM_HERE)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(HEADER[:20])
    assert await ended(reader) == b""
    writer.close()


async def test_a_plain_listener_does_not_believe_a_header(world: World) -> None:
    port = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(HEADER + connect_bytes())
    assert await ended(reader) == b""
    assert world.door.offers == []
    writer.close()


# --- Unix sockets ---


async def test_a_unix_socket_serves_who_the_file_mode_lets_in(world: World) -> None:
    path = world.folder / "mqtt.sock"
    await world.server.listen_unix(path, mode=0o600, anonymous_allowed=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(connect_bytes())
    assert isinstance(await packet(reader), Connack)
    assert (world.door.clients[0].listener, world.door.clients[0].remote) == ("unix", "local")
    writer.close()
    await world.server.close(1.0)
    assert not path.exists()


async def test_the_socket_of_a_server_that_was_killed_is_replaced(world: World) -> None:
    path = world.folder / "mqtt.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    await world.server.listen_unix(path, anonymous_allowed=True)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(connect_bytes())
    assert isinstance(await packet(reader), Connack)
    writer.close()


async def test_a_unix_socket_that_cannot_be_had_is_a_mistake_in_the_settings(
    world: World,
) -> None:
    taken = world.folder / "taken.sock"
    (world.folder / "file").write_text("keep me")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(taken))
        other.listen()
        for path, words in (
            (taken, "Another program listens"),
            (world.folder / "file", "is no socket"),
            (world.folder / "none" / "x.sock", "No such file"),
            (world.folder / ("x" * 200), "FLEETWIRE_MQTT_UNIX"),
        ):
            with pytest.raises(SettingsError, match=words):
                await world.server.listen_unix(path, anonymous_allowed=True)
    assert (world.folder / "file").read_text() == "keep me"


async def test_a_file_that_took_the_sockets_place_is_not_removed(world: World) -> None:
    path = world.folder / "mqtt.sock"
    await world.server.listen_unix(path, anonymous_allowed=True)
    path.unlink()
    path.write_text("another's")
    await world.server.close(1.0)
    assert path.read_text() == "another's"


# --- closing ---


async def test_who_ends_its_side_and_reads_nothing_is_cut(world: World) -> None:
    port = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, (HOST, port))
        await loop.sock_sendall(deaf, connect_bytes())
        async with asyncio.timeout(WAIT_S):
            while not world.door.clients:  # noqa: ASYNC110 - a test's door has no event
                await asyncio.sleep(0.005)
        connection = next(iter(world.server.connections))
        assert connection.transport is not None
        connection.transport.write(bytes(8_000_000))  # more than the kernel takes
        deaf.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(WAIT_S):
            while world.server.connections:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)


async def test_the_server_closes_connections_that_were_reset_a_moment_ago(world: World) -> None:
    port = await world.server.listen_tcp(HOST, 0, anonymous_allowed=True)
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(connect_bytes())
    await packet(reader)
    near = writer.get_extra_info("socket")
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.socket(fileno=os.dup(near.fileno())) as copy, nothing_unhandled():
        writer.transport.abort()
        await asyncio.sleep(0)
        # The last of the two descriptors: this resets, and the server has had no turn since.
        copy.close()
        await world.server.close(1.0)
    assert not world.server.connections


async def test_a_slow_reader_over_tls_counts_as_slow_and_misses_nothing(world: World) -> None:
    port = await world.tls()
    reader, writer = await asyncio.open_connection(HOST, port, ssl=world.context(), limit=1000)
    writer.write(connect_bytes())
    await reader.readexactly(4)
    connection = next(iter(world.server.connections))
    pieces = [os.urandom(100_000) for _ in range(320)]
    for piece in pieces:
        connection.send(piece)
    assert connection.congested
    async with asyncio.timeout(2 * WAIT_S):
        for piece in pieces:
            assert await reader.readexactly(len(piece)) == piece
        while connection.congested:  # noqa: ASYNC110 - a link tells nobody
            await asyncio.sleep(0.005)
    writer.close()
