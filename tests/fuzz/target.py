"""What must hold for any bytes that anybody may send, to either side, in any pieces.

The first byte of an input says how the rest is read: bits 0 and 1 the version (0 = the server does
not know it yet), bit 2 the side, bits 3 to 7 the size of the pieces.
"""

from fleetwire.protocol import constants as c
from fleetwire.protocol.client import ClientProtocol
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.packets import Connack, Connect, Packet
from fleetwire.protocol.server import ServerProtocol

MAXIMUM = 600  # bytes of a packet
CONNECT_MAXIMUM = 300
HEADER = 5  # bytes of a fixed header at most
_VERSIONS = (0, c.V31, c.V311, c.V5)


class BrokenPromiseError(AssertionError):
    """Something that must hold for any bytes does not."""


def seed(version: int, is_server: bool, step: int, stream: bytes) -> bytes:
    """Return the input that `check` reads as this."""
    return bytes([_VERSIONS.index(version) | (not is_server) << 2 | (step - 1) << 3]) + stream


def check(data: bytes) -> None:
    """Decode the input in one piece and in several. Raises BrokenPromiseError, or whatever the
    code under test raises though it should not."""
    if not data:
        return
    version, is_server, step = _VERSIONS[data[0] & 3], not data[0] & 4, 1 + (data[0] >> 3)
    stream = data[1:]
    if version == 0 and not is_server:
        version = c.V5  # a client knows what it speaks
    whole = _decoder(version, is_server)
    packets = whole.feed(stream)
    _check_bounds(whole, len(stream))
    _check_pieces(stream, step, _decoder(version, is_server), whole, packets)
    for packet in packets:
        _check_round_trip(packet, whole.version, is_server)
    _check_protocol(stream, step, version, is_server)


def _decoder(version: int, is_server: bool) -> Decoder:
    return Decoder(
        MAXIMUM, version=version, is_server=is_server, connect_packet_size=CONNECT_MAXIMUM
    )


def _check_bounds(decoder: Decoder, fed: int) -> None:
    if decoder.buffered_bytes > min(fed, MAXIMUM + HEADER):
        raise BrokenPromiseError(f"{decoder.buffered_bytes} bytes are kept")
    if decoder.feed(b"") or (decoder.error is not None and decoder.feed(b"\xc0\x00")):
        raise BrokenPromiseError("packets come from nowhere, or after an error")


def _check_pieces(
    stream: bytes, step: int, decoder: Decoder, whole: Decoder, packets: list[Packet]
) -> None:
    found: list[Packet] = []
    for begin in range(0, len(stream), step):
        found += decoder.feed(stream[begin : begin + step])
        if decoder.buffered_bytes > MAXIMUM + HEADER:
            raise BrokenPromiseError(f"{decoder.buffered_bytes} bytes are kept")
    if found != packets:
        raise BrokenPromiseError(f"in pieces {found}, in one {packets}")
    # Where two things are wrong with one packet, pieces may show the other one first.
    if (decoder.error is None) != (whole.error is None):
        raise BrokenPromiseError(f"in pieces {decoder.error!r}, in one {whole.error!r}")
    if decoder.error is None and decoder.buffered_bytes != whole.buffered_bytes:
        raise BrokenPromiseError("another remainder is kept in pieces than in one")


def _check_round_trip(packet: Packet, version: int, is_server: bool) -> None:
    if isinstance(packet, Connack) and (packet.reason_code or version == c.V31):
        packet.session_present = False  # a client overlooks it there; a server never says it
    again = encode(packet, version)
    decoder = Decoder(
        MAXIMUM * 2,  # the shortest form may be longer by a property length that was left out
        version=0 if isinstance(packet, Connect) else version,
        is_server=is_server,
    )
    if decoder.feed(again) != [packet]:
        raise BrokenPromiseError(f"{packet!r} is {again!r}, and that is not {packet!r}")


def _check_protocol(stream: bytes, step: int, version: int, is_server: bool) -> None:
    protocol: ServerProtocol | ClientProtocol
    if is_server:
        protocol = ServerProtocol(MAXIMUM, CONNECT_MAXIMUM)
        if version:
            protocol.receive(encode(Connect(version, "a"), version))
    else:
        protocol = ClientProtocol(Connect(version, "a"), maximum_packet_size=MAXIMUM)
        protocol.connect_bytes()
    for begin in range(0, len(stream), step):
        had_error = protocol.error is not None
        packets = protocol.receive(stream[begin : begin + step])
        if had_error and packets:
            raise BrokenPromiseError("packets come after an error")
        if protocol.error is not None and not isinstance(protocol.error, ProtocolError):
            raise BrokenPromiseError(f"{protocol.error!r} has no reason code")
        if isinstance(protocol, ClientProtocol):
            protocol.take_output()
