"""The PROXY header: what it says, in whatever pieces it comes, and what is refused."""

import ipaddress
import itertools
import struct

import pytest
from hypothesis import given, strategies as st

from fleetwire.net.proxy import (
    V1_BYTES,
    V2_BYTES,
    V2_SIGNATURE,
    ProxyHeader,
    ProxyHeaderError,
    ProxyPolicy,
    endpoint,
)

BOTH = frozenset({1, 2})
PORTS = st.integers(0, 65_535)


def v2(command: int, family: int, body: bytes) -> bytes:
    return V2_SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


def v2_tcp(source: str, port: int, tlvs: bytes = b"") -> bytes:
    address = ipaddress.ip_address(source).packed
    family = 0x11 if len(address) == 4 else 0x21
    ports = struct.pack("!HH", port, 1883)
    return v2(1, family, address + bytes(len(address)) + ports + tlvs)


def fed(pieces: list[bytes], versions: frozenset[int] = BOTH) -> tuple[str, bytes]:
    """Return the remote and what came behind the header."""
    header = ProxyHeader(versions)
    for index, piece in enumerate(pieces):
        if header.feed(piece):
            return header.remote, header.rest + b"".join(pieces[index + 1 :])
    raise AssertionError("the header is not complete")


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(st.ip_addresses(v=4), PORTS, st.binary(max_size=30), st.lists(st.integers(0, 999)))
def test_version_1_gives_the_source_in_any_pieces(
    source: ipaddress.IPv4Address, port: int, rest: bytes, cuts: list[int]
) -> None:
    data = f"PROXY TCP4 {source} 10.0.0.1 {port} 1883\r\n".encode() + rest
    assert fed(cut(data, cuts)) == (f"{source}:{port}", rest)


@given(st.ip_addresses(), PORTS, st.binary(max_size=99), st.lists(st.integers(0, 999)))
def test_version_2_gives_the_source_in_any_pieces_and_skips_tlvs(
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int,
    tlvs: bytes,
    cuts: list[int],
) -> None:
    data = v2_tcp(str(source), port, tlvs) + b"\x10rest"
    assert fed(cut(data, cuts)) == (endpoint(str(source), port), b"\x10rest")


@given(st.binary(max_size=600), st.sampled_from([b"", b"PROXY ", V2_SIGNATURE]))
def test_any_bytes_are_understood_refused_or_waited_for_within_the_bound(
    noise: bytes, beginning: bytes
) -> None:
    header = ProxyHeader(BOTH)
    data = beginning + noise
    try:
        is_done = any(header.feed(data[i : i + 1]) for i in range(len(data)))
    except ProxyHeaderError:
        return
    if not is_done:
        assert len(data) < (V2_BYTES if data.startswith(V2_SIGNATURE) else V1_BYTES)


@pytest.mark.parametrize(
    ("line", "remote"),
    [
        (b"PROXY TCP6 2001:db8::7 ::1 4711 1883\r\n", "[2001:db8::7]:4711"),
        (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 4711 1883\r\n", "192.0.2.9:4711"),
        (b"PROXY UNKNOWN\r\n", ""),
        (b"PROXY UNKNOWN " + b"f" * 80 + b"\r\n", ""),
    ],
)
def test_version_1_lines_that_are_right(line: bytes, remote: str) -> None:
    assert fed([line]) == (remote, b"")


@pytest.mark.parametrize(
    "line",
    [
        b"PROXY TCP4 1.2.3.4 10.0.0.1 1 \r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 01 2\r\n",
        b"PROXY TCP4 1.2.3.4  10.0.0.1 1 2\r\n",
        b"PROXY TCP4 1.2.3.400 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 10.0.0.1 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 1.2.3.\xb2 10.0.0.1 1 2\r\n",
        b"PROXY UNKNOWNS\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 1.2.3.4 10.0.0.1 1 2\n" + b"x" * 80,
        b"PROXY UNKNOWN " + b"f" * 94,
        b"\x10\x0c\x00\x04MQTT",
        b"PRUXY",
    ],
)
def test_version_1_lines_that_are_wrong(line: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        fed([line])


@pytest.mark.parametrize("family", [0x00, 0x31])
def test_a_source_that_is_no_internet_address_leaves_the_sockets_own(family: int) -> None:
    assert fed([v2(1, family, bytes(216))]) == ("", b"")


def test_local_leaves_the_sockets_own_address() -> None:
    assert fed([v2(0, 0x00, b"") + b"x"]) == ("", b"x")
    assert fed([v2(0, 0x11, bytes(12))]) == ("", b"")


@pytest.mark.parametrize(
    "data",
    [
        v2(2, 0x11, bytes(12)),  # an unknown command
        v2(1, 0x12, bytes(12)),  # datagrams
        v2(1, 0x11, bytes(11)),  # too short for its addresses
        v2(1, 0x21, bytes(35)),
        V2_SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),  # version 3
        V2_SIGNATURE + b"\x21\x11" + struct.pack("!H", V2_BYTES - 15),
    ],
)
def test_version_2_headers_that_are_wrong(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        fed([data])


def test_only_the_versions_of_the_policy_are_read() -> None:
    with pytest.raises(ProxyHeaderError):
        fed([b"PROXY UNKNOWN\r\n"], frozenset({2}))
    with pytest.raises(ProxyHeaderError):
        fed([v2(0, 0, b"")], frozenset({1}))


def test_trust_is_by_network_and_knows_mapped_addresses() -> None:
    policy = ProxyPolicy.of("both", ("127.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"))
    assert policy.trusts("127.0.0.1")
    assert policy.trusts("::ffff:10.1.2.3")
    assert policy.trusts("2001:db8::5%eth0")
    assert not policy.trusts("10.2.0.1")
    assert not policy.trusts("::1")
    assert not policy.trusts("")
