"""Every packet in both directions, in any pieces: what `tests/protocol` leaves out."""

from hypothesis import given, settings, strategies as st

from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.packets import Auth, Connack, Connect, Disconnect, Packet
from tests.protocol.test_round_trip import (
    ANSWER,
    MAXIMUM,
    codes,
    connects,
    data,
    four,
    from_client,
    from_server,
    ids,
    pairs,
    properties,
    text,
    two,
    versions,
)

LIMITS = {
    c.SESSION_EXPIRY_INTERVAL: four,
    c.RECEIVE_MAXIMUM: ids,
    c.MAXIMUM_PACKET_SIZE: st.integers(1, 0xFFFFFFFF),
    c.TOPIC_ALIAS_MAXIMUM: two,
}
# Authentication Data without a method is no packet (MQTT 5.0 §3.1.2.11.10).
authentication = st.fixed_dictionaries(
    {c.AUTHENTICATION_METHOD: text},
    optional={c.AUTHENTICATION_DATA: data, c.REASON_STRING: text, c.USER_PROPERTY: pairs},
)
of_v5_server = st.one_of(
    from_server(c.V5),
    st.builds(Disconnect, codes, properties(c.V5, {**ANSWER, c.SERVER_REFERENCE: text})),
    st.builds(Auth, codes, authentication),
    st.builds(Connack, st.booleans(), st.just(0), properties(c.V5, LIMITS) | authentication),
)


def in_pieces(stream: bytes, sizes: list[int], decoder: Decoder) -> list[Packet]:
    found: list[Packet] = []
    turn = 0
    while stream:
        size = sizes[turn % len(sizes)]
        found += decoder.feed(stream[:size])
        stream = stream[size:]
        turn += 1
    return found


pieces = st.lists(st.integers(1, 60), min_size=1, max_size=5)


@given(st.lists(of_v5_server, min_size=1, max_size=6), pieces)
@settings(deadline=None)
def test_what_a_server_of_mqtt5_sends_decodes_to_itself_in_any_pieces(
    packets: list[Packet], sizes: list[int]
) -> None:
    decoder = Decoder(MAXIMUM, version=c.V5, is_server=False)
    stream = b"".join(encode(packet, c.V5) for packet in packets)
    assert in_pieces(stream, sizes, decoder) == packets
    assert (decoder.error, decoder.buffered_bytes) == (None, 0)


@given(versions.flatmap(lambda v: st.tuples(connects(v), st.lists(from_client(v)))), pieces)
@settings(deadline=None)
def test_a_whole_connection_of_any_version_is_the_same_in_any_pieces(
    case: tuple[Connect, list[Packet]], sizes: list[int]
) -> None:
    connect, packets = case
    version = connect.protocol_version
    decoder = Decoder(MAXIMUM)
    stream = b"".join(encode(packet, version) for packet in [connect, *packets])
    assert in_pieces(stream, sizes, decoder) == [connect, *packets]
    assert (decoder.error, decoder.version, decoder.buffered_bytes) == (None, version, 0)


@given(st.data())
@settings(deadline=None)
def test_an_incomplete_packet_is_no_packet_yet(draw: st.DataObject) -> None:
    version = draw.draw(versions)
    packet = draw.draw(from_client(version))
    data = encode(packet, version)
    cut = draw.draw(st.integers(0, len(data) - 1))
    decoder = Decoder(MAXIMUM, version=version)
    assert decoder.feed(data[:cut]) == []
    assert (decoder.error, decoder.buffered_bytes) == (None, cut)
    assert decoder.feed(data[cut:]) == [packet]
