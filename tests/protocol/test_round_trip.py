"""Whatever packet, whatever chunking, whatever bytes."""

from collections.abc import Mapping

from hypothesis import given, settings, strategies as st

from fleetwire.protocol import constants as c
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.packets import (
    Ack,
    Auth,
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
    Unsuback,
    Unsubscribe,
)
from fleetwire.protocol.server import ServerProtocol
from tests.protocol.vectors import VECTORS

MAXIMUM = 1_000_000

ids = st.integers(1, 65_535)
codes = st.integers(0, 255)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=12)
data = st.binary(max_size=200)
flags = st.integers(0, 1)
two = st.integers(0, 65_535)
four = st.integers(0, 0xFFFFFFFF)
pairs = st.lists(st.tuples(text, text), min_size=1, max_size=3)

MESSAGE = {
    c.PAYLOAD_FORMAT_INDICATOR: flags,
    c.MESSAGE_EXPIRY_INTERVAL: four,
    c.CONTENT_TYPE: text,
    c.RESPONSE_TOPIC: names,
    c.CORRELATION_DATA: data,
    c.USER_PROPERTY: pairs,
}
ANSWER = {c.REASON_STRING: text, c.USER_PROPERTY: pairs}


def properties(
    version: int, allowed: Mapping[int, st.SearchStrategy[object]]
) -> st.SearchStrategy[Properties | None]:
    if version != c.V5:
        return st.none()
    some = st.fixed_dictionaries({}, optional=dict(allowed))
    return some.map(lambda found: found or None)  # type: ignore[arg-type, return-value]


def publishes(
    version: int, extra: Mapping[int, st.SearchStrategy[object]]
) -> st.SearchStrategy[Packet]:
    of = properties(version, {**MESSAGE, **extra})
    with_qos = st.builds(
        Publish, names, data, st.integers(1, 2), st.booleans(), st.booleans(), ids, of
    )
    return st.one_of(
        with_qos, st.builds(Publish, names, data, st.just(0), st.booleans(), properties=of)
    )


def acks(version: int) -> st.SearchStrategy[Packet]:
    types = st.integers(c.PUBACK, c.PUBCOMP)
    if version != c.V5:
        return st.builds(Ack, types, ids)
    return st.builds(Ack, types, ids, codes, properties(version, ANSWER))


def connects(version: int) -> st.SearchStrategy[Packet]:
    will = st.none() | st.builds(
        Publish,
        names,
        data,
        st.integers(0, 2),
        st.booleans(),
        properties=properties(version, {**MESSAGE, c.WILL_DELAY_INTERVAL: four}),
    )
    of = properties(
        version,
        {
            c.SESSION_EXPIRY_INTERVAL: four,
            c.RECEIVE_MAXIMUM: ids,
            c.MAXIMUM_PACKET_SIZE: st.integers(1, 0xFFFFFFFF),
            c.TOPIC_ALIAS_MAXIMUM: two,
            c.REQUEST_RESPONSE_INFORMATION: flags,
            c.REQUEST_PROBLEM_INFORMATION: flags,
            c.USER_PROPERTY: pairs,
            c.AUTHENTICATION_METHOD: text,
        },
    )
    user = text if version != c.V5 else st.none() | text
    return st.builds(
        Connect,
        st.just(version),
        text,
        st.booleans(),
        two,
        user,
        st.none() | data,
        will,
        of,
    )


def from_client(version: int) -> st.SearchStrategy[Packet]:
    qos = st.integers(0, 2)
    subscription = (
        st.builds(Subscription, names, qos, st.booleans(), st.booleans(), qos)
        if version == c.V5
        else st.builds(Subscription, names, qos)
    )
    subscribe_properties = {
        c.USER_PROPERTY: pairs,
        c.SUBSCRIPTION_IDENTIFIER: st.integers(1, 268_435_455).map(lambda n: [n]),
    }
    packets = [
        publishes(version, {c.TOPIC_ALIAS: ids}),
        acks(version),
        st.builds(
            Subscribe,
            ids,
            st.lists(subscription, min_size=1, max_size=4),
            properties(version, subscribe_properties),
        ),
        st.builds(
            Unsubscribe,
            ids,
            st.lists(names, min_size=1, max_size=4),
            properties(version, {c.USER_PROPERTY: pairs}),
        ),
        st.builds(Pingreq),
    ]
    if version == c.V5:
        packets.append(st.builds(Disconnect, codes, properties(version, ANSWER)))
        packets.append(st.builds(Auth, codes, properties(version, ANSWER)))
    else:
        packets.append(st.builds(Disconnect))
    return st.one_of(packets)


def from_server(version: int) -> st.SearchStrategy[Packet]:
    many = st.lists(codes, min_size=1, max_size=5)
    of = properties(version, ANSWER)
    connack = {
        **ANSWER,
        c.ASSIGNED_CLIENT_IDENTIFIER: text,
        c.SERVER_KEEP_ALIVE: two,
        c.MAXIMUM_QOS: flags,
        c.RETAIN_AVAILABLE: flags,
        c.WILDCARD_SUBSCRIPTION_AVAILABLE: flags,
        c.SUBSCRIPTION_IDENTIFIER_AVAILABLE: flags,
        c.SHARED_SUBSCRIPTION_AVAILABLE: flags,
        c.RESPONSE_INFORMATION: text,
        c.SERVER_REFERENCE: text,
    }
    return st.one_of(
        publishes(
            version,
            {
                c.SUBSCRIPTION_IDENTIFIER: st.lists(
                    st.integers(1, 268_435_455), min_size=1, max_size=3
                )
            },
        ),
        acks(version),
        st.builds(Connack, st.just(False), codes, properties(version, connack)),
        st.builds(Suback, ids, many, of),
        st.builds(Unsuback, ids, many, of)
        if version == c.V5
        else st.builds(Unsuback, ids, st.just([])),
        st.builds(Pingresp),
    )


versions = st.sampled_from([c.V31, c.V311, c.V5])


@given(versions.flatmap(connects))
def test_a_connect_decodes_to_itself(packet: Connect) -> None:
    decoder = Decoder(MAXIMUM)
    assert decoder.feed(encode(packet, packet.protocol_version)) == [packet]
    assert decoder.error is None


@given(versions.flatmap(lambda v: st.tuples(st.just(v), st.lists(from_client(v), max_size=8))))
@settings(max_examples=200)
def test_what_a_client_sends_decodes_to_itself(case: tuple[int, list[Packet]]) -> None:
    version, packets = case
    decoder = Decoder(MAXIMUM, version=version)
    assert decoder.feed(b"".join(encode(packet, version) for packet in packets)) == packets
    assert decoder.error is None


@given(versions.flatmap(lambda v: st.tuples(st.just(v), st.lists(from_server(v), max_size=8))))
@settings(max_examples=200)
def test_what_a_server_sends_decodes_to_itself(case: tuple[int, list[Packet]]) -> None:
    version, packets = case
    decoder = Decoder(MAXIMUM, version=version, is_server=False)
    assert decoder.feed(b"".join(encode(packet, version) for packet in packets)) == packets
    assert decoder.error is None


@given(st.data())
@settings(max_examples=200)
def test_any_chunking_gives_the_same_packets(draw: st.DataObject) -> None:
    version = draw.draw(versions)
    packets = draw.draw(st.lists(from_client(version), min_size=1, max_size=6))
    stream = b"".join(encode(packet, version) for packet in packets)
    decoder = Decoder(MAXIMUM, version=version)
    found: list[Packet] = []
    while stream:
        size = draw.draw(st.integers(1, len(stream)))
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    assert decoder.error is None
    assert found == packets
    assert decoder.buffered_bytes == 0


def feed_anything(stream: bytes, version: int, is_server: bool, step: int) -> None:
    decoder = Decoder(5_000, version=version, is_server=is_server)
    for begin in range(0, len(stream), step):
        had_error = decoder.error is not None
        packets = decoder.feed(stream[begin : begin + step])
        assert not (had_error and packets)
        # Never more than the largest packet and its five bytes of header are kept.
        assert decoder.buffered_bytes <= 5_005
    assert decoder.error is None or isinstance(decoder.error, ProtocolError)


@given(st.binary(max_size=300), st.sampled_from([3, 4, 5]), st.booleans(), st.integers(1, 50))
@settings(max_examples=500)
def test_random_bytes_give_packets_or_an_error(
    stream: bytes, version: int, is_server: bool, step: int
) -> None:
    feed_anything(stream, version, is_server, step)
    feed_anything(stream, 0, True, step)


@given(st.data())
@settings(max_examples=500)
def test_damaged_packets_give_packets_or_an_error(draw: st.DataObject) -> None:
    vector = draw.draw(st.sampled_from(VECTORS))
    damaged = bytearray(vector.data * 2)
    for _ in range(draw.draw(st.integers(1, 3))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(codes)
    version = 0 if isinstance(vector.packet, Connect) else vector.version
    feed_anything(bytes(damaged), version, vector.from_client, draw.draw(st.integers(1, 40)))
    protocol = ServerProtocol(5_000, 1_000)
    protocol.receive(encode(Connect(vector.version, "a"), vector.version) + bytes(damaged))
