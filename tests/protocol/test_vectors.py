"""The bytes of the standards, both ways."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.packets import Auth, Connack, Connect, Properties, Publish
from tests.protocol.vectors import VECTORS, Vector

MAXIMUM = 1_000


def decoder_for(vector: Vector) -> Decoder:
    version = 0 if isinstance(vector.packet, Connect) else vector.version
    return Decoder(MAXIMUM, version=version, is_server=vector.from_client)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_bytes_decode_to_the_packet(vector: Vector) -> None:
    decoder = decoder_for(vector)
    assert decoder.feed(vector.data) == [vector.packet]
    assert decoder.error is None
    assert decoder.buffered_bytes == 0


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_the_packet_encodes_to_the_bytes(vector: Vector) -> None:
    assert encode(vector.packet, vector.version) == vector.data


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_a_packet_split_anywhere_is_the_same_packet(vector: Vector) -> None:
    for cut in range(1, len(vector.data)):
        decoder = decoder_for(vector)
        assert decoder.feed(vector.data[:cut]) == []
        assert decoder.buffered_bytes == cut
        assert decoder.feed(vector.data[cut:]) == [vector.packet]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_a_packet_whose_length_is_cut_short_is_an_error_or_another_packet(vector: Vector) -> None:
    data = vector.data
    for shorter in range(2, len(data)):
        decoder = decoder_for(vector)
        packets = decoder.feed(bytes((data[0], shorter - 2)) + data[2:shorter])
        assert (decoder.error is None) == (len(packets) == 1)
        assert packets != [vector.packet]


def test_a_packet_shows_neither_payload_nor_secret() -> None:
    secret = b"hunter2"
    method: Properties = {c.AUTHENTICATION_METHOD: "m", c.AUTHENTICATION_DATA: secret}
    for packet in (
        Publish("topic", secret, 1, True, False, 5, {c.CORRELATION_DATA: secret}),
        Connect(c.V5, "topic", True, 60, "me", secret, Publish("w", secret), method),
        Connack(False, 0, method),
        Auth(0x18, method),
    ):
        shown = repr(packet)
        assert "hunter2" not in shown
        assert shown.startswith(packet.__class__.__name__)
