"""The PROXY protocol: what a proxy in front of us says of the client behind it.

A proxy such as HAProxy or a cloud's load balancer puts one header in front of everything else on a
connection: version 1 is a line of text, version 2 is binary (haproxy.org, `proxy-protocol.txt`).
Whoever may send it may claim any address, so it is read from trusted addresses only.

Does not read what the header says beyond the client's address: TLVs are skipped, not checked.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from fleetwire.errors import FleetwireError

V1_PREFIX = b"PROXY "
V1_BYTES = 107  # the longest line that the specification knows, with its CR LF
V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2_FIXED_BYTES = 16  # signature, version and command, family, length
V2_BYTES = 536  # what the specification promises to pass through any network in one piece

_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ProxyHeaderError(FleetwireError):
    """What came first on the connection is no PROXY header, or not one that is accepted here."""


def endpoint(host: str, port: int) -> str:
    """Return `host:port` for people, with brackets around IPv6 and plain IPv4 for mapped IPv4."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return f"{host}:{port}"
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return f"[{host}]:{port}" if mapped is None else f"{mapped}:{port}"
    return f"{host}:{port}"


@dataclass(frozen=True)
class ProxyPolicy:
    """Which versions a listener accepts, and from which networks."""

    versions: frozenset[int]
    trusted: tuple[Network, ...]

    @classmethod
    def of(cls, versions: Literal["v1", "v2", "both"], trusted: tuple[str, ...]) -> "ProxyPolicy":
        """Return the policy that two settings say; `trusted` are addresses or networks."""
        numbers = {"v1": {1}, "v2": {2}, "both": {1, 2}}[versions]
        return cls(frozenset(numbers), tuple(ipaddress.ip_network(of) for of in trusted))

    def trusts(self, host: str) -> bool:
        """Say whether a header from this address is believed."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.trusted)


class ProxyHeader:
    """Takes the bytes of one header in any pieces.

    When `feed` has returned True, `remote` is the client's `host:port`, or empty if the proxy
    speaks for itself or does not know (then the connection's own address holds), and `rest` is
    what came behind the header. Holds at most 536 bytes and the last piece.
    """

    def __init__(self, versions: frozenset[int]) -> None:
        self.remote = ""
        self.rest = b""
        self._versions = versions
        self._held = b""

    def feed(self, data: bytes) -> bool:
        """Take bytes; return whether the header is complete. Raises ProxyHeaderError."""
        held = self._held = self._held + data
        if 1 in self._versions and _agree(held, V1_PREFIX):
            return self._read_v1(held)
        if 2 in self._versions and _agree(held, V2_SIGNATURE):
            return self._read_v2(held)
        raise ProxyHeaderError("it does not begin with a PROXY header that is accepted here")

    def _read_v1(self, held: bytes) -> bool:
        end = held.find(b"\r\n", 0, V1_BYTES)
        if end < 0:
            if len(held) >= V1_BYTES:
                raise ProxyHeaderError(f"its PROXY line is longer than {V1_BYTES} bytes")
            return False
        self.rest = held[end + 2 :]
        self.remote = _v1_source(held[len(V1_PREFIX) : end])
        return True

    def _read_v2(self, held: bytes) -> bool:
        if len(held) < V2_FIXED_BYTES:
            return False
        end = V2_FIXED_BYTES + int.from_bytes(held[14:16], "big")
        if end > V2_BYTES:
            raise ProxyHeaderError(f"its PROXY header of {end} bytes is longer than {V2_BYTES}")
        if len(held) < end:
            return False
        self.rest = held[end:]
        self.remote = _v2_source(held[12], held[13], held[V2_FIXED_BYTES:end])
        return True


def _agree(held: bytes, beginning: bytes) -> bool:
    """Say whether what is there so far can be, or is, this beginning."""
    return held[: len(beginning)] == beginning[: len(held)]


def _v1_source(line: bytes) -> str:
    """Return the source of `TCP4 source destination source-port destination-port`."""
    if line.partition(b" ")[0] == b"UNKNOWN":
        return ""  # whatever follows it says nothing (§2.1)
    try:
        family, source, destination, source_port, destination_port = line.decode("ascii").split(" ")
        parse = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}[family]
        parse(source), parse(destination)
        if not all(_PORT.fullmatch(port) for port in (source_port, destination_port)):
            raise ValueError
        if int(source_port) > 65_535 or int(destination_port) > 65_535:
            raise ValueError
    except (ValueError, KeyError):  # UnicodeDecodeError is a ValueError
        raise ProxyHeaderError("its PROXY line is malformed") from None
    return endpoint(str(parse(source)), int(source_port))


def _v2_source(version_and_command: int, family: int, addresses: bytes) -> str:
    """Return the source of a version 2 header; `addresses` is what follows the fixed part."""
    if version_and_command == 0x20:
        return ""  # LOCAL: the proxy's own connection, such as a health check
    if version_and_command != 0x21:
        raise ProxyHeaderError("its PROXY header has an unknown version or command")
    if family == 0x11:  # TCP over IPv4
        size, ports_at = 4, 8
    elif family == 0x21:  # TCP over IPv6
        size, ports_at = 16, 32
    elif family in (0x00, 0x31):  # not known, or a Unix socket at the proxy
        return ""
    else:
        raise ProxyHeaderError("its PROXY header names no stream of bytes")
    if len(addresses) < ports_at + 4:
        raise ProxyHeaderError("its PROXY header is too short for its addresses")
    source = ipaddress.ip_address(addresses[:size])
    port = int.from_bytes(addresses[ports_at : ports_at + 2], "big")
    return endpoint(str(source), port)
