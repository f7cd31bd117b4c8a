"""What a client may send, and when."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.errors import (
    PacketTooLargeError,
    ProtocolError,
    ReceiveMaximumExceededError,
    TopicAliasInvalidError,
)
from fleetwire.protocol.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Properties,
    Publish,
)
from fleetwire.protocol.server import AWAIT_CONNECT, CLOSED, CONNECTED, ServerProtocol


def connected(version: int, properties: Properties | None = None) -> ServerProtocol:
    protocol = ServerProtocol(10_000, 100)
    connect = Connect(version, "a", properties=properties)
    assert protocol.receive(encode(connect, version)) == [connect]
    return protocol


def stream(*packets: Packet, version: int = c.V5) -> bytes:
    return b"".join(encode(packet, version) for packet in packets)


def publish(packet_id: int, qos: int = 1) -> Publish:
    return Publish("t", b"x", qos, False, False, packet_id if qos else 0)


def by_alias(topic_name: str, alias: int) -> Publish:
    return Publish(topic_name, b"", properties={c.TOPIC_ALIAS: alias})


def test_connect_opens() -> None:
    protocol = ServerProtocol(10_000, 100)
    assert (protocol.state, protocol.version, protocol.connect) == (AWAIT_CONNECT, 0, None)
    connect = Connect(c.V5, "a")
    assert protocol.receive(encode(connect, 5) + b"\xc0\x00") == [connect, Pingreq()]
    assert (protocol.state, protocol.version, protocol.connect) == (CONNECTED, c.V5, connect)
    assert protocol.error is None


def test_the_first_packet_must_be_connect() -> None:
    protocol = ServerProtocol(10_000, 100)
    assert protocol.receive(b"\xc0\x00") == []
    assert protocol.error.__class__ is ProtocolError
    assert protocol.state == CLOSED
    assert protocol.receive(encode(Connect(c.V311, "a"), 4)) == []


@pytest.mark.parametrize("version", [c.V31, c.V311, c.V5])
def test_a_second_connect_closes(version: int) -> None:
    protocol = connected(version)
    data = stream(Pingreq(), Connect(version, "a"), Pingreq(), version=version)
    assert protocol.receive(data) == [Pingreq()]
    assert "second" in str(protocol.error)
    assert protocol.state == CLOSED


def test_what_only_a_server_sends_is_refused() -> None:
    protocol = connected(c.V311)
    assert protocol.receive(b"\xc0\x00" + stream(Connack(False), version=4)) == [Pingreq()]
    assert protocol.error.__class__ is ProtocolError


def test_nothing_after_disconnect_counts() -> None:
    protocol = connected(c.V311)
    assert protocol.receive(b"\xc0\x00\xe0\x00\xc0\x00\x00\x00") == [Pingreq(), Disconnect()]
    assert protocol.state == CLOSED
    assert protocol.error is None
    assert protocol.receive(b"\xc0\x00") == []


def test_auth_needs_a_method_in_connect() -> None:
    auth = Auth(c.RE_AUTHENTICATE, {c.AUTHENTICATION_METHOD: "m"})
    assert connected(c.V5, {c.AUTHENTICATION_METHOD: "m"}).receive(stream(auth)) == [auth]
    protocol = connected(c.V5)
    assert protocol.receive(stream(auth)) == []
    assert protocol.error.__class__ is ProtocolError


def test_connect_and_the_rest_have_bounds_of_their_own() -> None:
    protocol = ServerProtocol(10_000, 100)
    assert protocol.receive(encode(Connect(c.V311, "a" * 200), 4)[:10]) == []
    assert isinstance(protocol.error, PacketTooLargeError)
    protocol = connected(c.V311)
    assert len(protocol.receive(stream(Publish("t", b"x" * 9_000), version=4))) == 1
    assert protocol.receive(stream(Publish("t", b"x" * 10_000), version=4)) == []
    assert isinstance(protocol.error, PacketTooLargeError)


def test_an_alias_stands_for_its_last_topic() -> None:
    protocol = connected(c.V5)
    packets = protocol.receive(
        stream(by_alias("a", 1), by_alias("", 1), by_alias("b", 1), by_alias("", 1))
    )
    assert [p.topic_name for p in packets] == ["a", "a", "b", "b"]  # type: ignore[attr-defined]
    assert [p.topic_name for p in protocol.receive(stream(by_alias("", 1)))] == [  # type: ignore[attr-defined]
        "b"
    ]


def test_an_unknown_alias_closes() -> None:
    protocol = connected(c.V5)
    assert protocol.receive(stream(by_alias("a", 1), by_alias("", 2))) == [by_alias("a", 1)]
    assert isinstance(protocol.error, TopicAliasInvalidError)


def test_an_alias_above_the_maximum_closes() -> None:
    protocol = connected(c.V5)
    protocol.topic_alias_maximum = 3
    assert len(protocol.receive(stream(by_alias("a", 3)))) == 1
    assert protocol.receive(stream(by_alias("a", 4))) == []
    assert isinstance(protocol.error, TopicAliasInvalidError)


def test_receive_maximum_bounds_what_is_unacknowledged() -> None:
    protocol = connected(c.V5)
    protocol.receive_maximum = 2
    assert len(protocol.receive(stream(publish(1), publish(0, 0), publish(2, 2)))) == 3
    protocol.acknowledged()
    assert len(protocol.receive(stream(publish(3)))) == 1
    protocol.acknowledged(2)
    found = protocol.receive(stream(publish(4), publish(5), publish(0, 0), publish(6), publish(7)))
    assert found == [publish(4), publish(5), publish(0, 0)]
    assert isinstance(protocol.error, ReceiveMaximumExceededError)
    assert protocol.state == CLOSED


def test_acknowledging_more_than_came_gives_no_credit() -> None:
    protocol = connected(c.V5)
    protocol.receive_maximum = 1
    protocol.acknowledged(5)
    protocol.receive(stream(publish(1), publish(2)))
    assert isinstance(protocol.error, ReceiveMaximumExceededError)


def test_receive_maximum_does_not_exist_below_5() -> None:
    protocol = connected(c.V311)
    protocol.receive_maximum = 1
    assert len(protocol.receive(stream(publish(1), publish(2), version=4))) == 2
    assert protocol.error is None


def test_good_packets_before_a_malformed_one_are_returned() -> None:
    protocol = connected(c.V5)
    assert protocol.receive(stream(publish(1)) + b"\x36\x00") == [publish(1)]
    assert protocol.error is not None
    assert protocol.state == CLOSED
