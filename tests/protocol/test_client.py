"""The client's side: exchanges that survive their connection."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.client import CONNECTED, DISCONNECTED, ClientProtocol
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.encoder import encode
from fleetwire.protocol.errors import (
    InvalidTopicError,
    NotConnectedError,
    PacketTooLargeError,
    ProtocolError,
    ReceiveMaximumExceededError,
    TopicAliasInvalidError,
)
from fleetwire.protocol.packets import (
    Ack,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingresp,
    Properties,
    Publish,
    Suback,
    Subscription,
    Unsuback,
)


def open_(
    client: ClientProtocol, session_present: bool = False, properties: Properties | None = None
) -> list[Packet]:
    """Connect, or connect again; return what the client then sends on its own."""
    assert Decoder(1_000).feed(client.connect_bytes()) == [client.connect]
    connack = Connack(session_present, 0, properties)
    assert client.receive(encode(connack, client.version)) == [connack]
    assert client.state == CONNECTED
    return sent(client)


def sent(client: ClientProtocol) -> list[Packet]:
    return decoded(client.take_output(), client.version)


def decoded(data: bytes, version: int) -> list[Packet]:
    decoder = Decoder(100_000, version=version)
    packets = decoder.feed(data)
    assert decoder.error is None
    return packets


def give(client: ClientProtocol, *packets: Packet) -> list[Packet]:
    return client.receive(b"".join(encode(packet, client.version) for packet in packets))


def new_client(version: int = c.V5, *, manual_ack: bool = False) -> ClientProtocol:
    return ClientProtocol(Connect(version, "me", False, 30), manual_ack=manual_ack)


@pytest.fixture(params=[c.V311, c.V5])
def client(request: pytest.FixtureRequest) -> ClientProtocol:
    client = new_client(request.param)
    assert open_(client) == []
    return client


def test_connack_may_name_client_id_and_keep_alive() -> None:
    client = ClientProtocol(Connect(c.V5, ""))
    open_(client, properties={c.ASSIGNED_CLIENT_IDENTIFIER: "auto", c.SERVER_KEEP_ALIVE: 7})
    assert client.connect.client_id == "auto"
    assert client.keep_alive == 7


def test_a_refusing_connack_is_returned_and_ends_the_connection() -> None:
    client = new_client()
    client.connect_bytes()
    assert give(client, Connack(False, 0x87), Pingresp()) == [Connack(False, 0x87)]
    assert client.state == DISCONNECTED
    with pytest.raises(NotConnectedError):
        client.publish("a", b"")


def test_anything_before_connack_is_an_error() -> None:
    client = new_client()
    client.connect_bytes()
    assert give(client, Pingresp()) == []
    assert isinstance(client.error, ProtocolError)
    assert client.state == DISCONNECTED


def test_a_second_connack_is_an_error(client: ClientProtocol) -> None:
    assert give(client, Connack(False), Pingresp()) == []
    assert client.error is not None


def test_qos_0_leaves_nothing_behind(client: ClientProtocol) -> None:
    assert client.publish("a", b"x") == (
        0,
        b"\x30\x04\x00\x01ax" if client.version == 4 else b"\x30\x05\x00\x01a\x00x",
    )
    client.connection_lost()
    assert open_(client, True) == []


def test_qos_1_ends_with_puback(client: ClientProtocol) -> None:
    packet_id, data = client.publish("a", b"x", 1)
    assert decoded(data, client.version) == [Publish("a", b"x", 1, packet_id=packet_id)]
    assert give(client, Ack(c.PUBACK, packet_id)) == [Ack(c.PUBACK, packet_id)]
    assert give(client, Ack(c.PUBACK, packet_id)) == []  # it has ended
    client.connection_lost()
    assert open_(client, True) == []


def test_qos_1_is_sent_again_until_it_is_acknowledged(client: ClientProtocol) -> None:
    client.publish("a", b"1", 1)
    client.publish("b", b"2", 1, True)
    give(client, Ack(c.PUBACK, 1))
    client.connection_lost()
    assert open_(client, True) == [Publish("b", b"2", 1, True, True, 2)]
    client.connection_lost()
    # A server that kept no session has never seen it: no DUP.
    assert open_(client, False) == [Publish("b", b"2", 1, True, False, 2)]


def test_qos_2_goes_through_its_four_packets(client: ClientProtocol) -> None:
    client.publish("a", b"x", 2)
    assert give(client, Ack(c.PUBREC, 1)) == []
    assert sent(client) == [Ack(c.PUBREL, 1)]
    client.connection_lost()
    assert open_(client, True) == [Ack(c.PUBREL, 1)]
    assert give(client, Ack(c.PUBACK, 1)) == []  # not what ends QoS 2
    assert give(client, Ack(c.PUBCOMP, 1)) == [Ack(c.PUBCOMP, 1)]
    client.connection_lost()
    assert open_(client, True) == []


def test_pubrec_with_an_error_ends_qos_2() -> None:
    client = new_client()
    open_(client)
    client.publish("a", b"x", 2)
    refused = Ack(c.PUBREC, 1, c.QUOTA_EXCEEDED)
    assert give(client, refused) == [refused]
    assert sent(client) == []


def test_an_unknown_pubrec_is_answered() -> None:
    client = new_client()
    open_(client)
    assert give(client, Ack(c.PUBREC, 9)) == []
    assert sent(client) == [Ack(c.PUBREL, 9, c.PACKET_IDENTIFIER_NOT_FOUND)]


def test_receive_maximum_of_the_server_is_kept() -> None:
    client = new_client()
    open_(client, properties={c.RECEIVE_MAXIMUM: 1})
    client.publish("a", b"", 1)
    assert client.window == 0
    with pytest.raises(ReceiveMaximumExceededError):
        client.publish("a", b"", 1)
    client.publish("a", b"", 0)
    give(client, Ack(c.PUBACK, 1))
    assert client.window == 1


def test_what_cannot_be_sent_leaves_nothing_behind() -> None:
    client = new_client()
    open_(client, properties={c.MAXIMUM_PACKET_SIZE: 20})
    with pytest.raises(PacketTooLargeError):
        client.publish("a", b"x" * 20, 1)
    with pytest.raises(InvalidTopicError):
        client.publish("a/#", b"", 1)
    with pytest.raises(InvalidTopicError):
        client.subscribe([Subscription("a#")])
    with pytest.raises(ProtocolError):
        client.unsubscribe([])
    assert client.window == 65_535
    client.connection_lost()
    assert open_(client, True) == []


@pytest.mark.parametrize("missing", [c.MAXIMUM_QOS, c.RETAIN_AVAILABLE])
def test_what_the_server_does_not_support_is_not_sent(missing: int) -> None:
    client = new_client()
    open_(client, properties={missing: 0})
    with pytest.raises(ProtocolError):
        client.publish("a", b"", qos=int(missing == c.MAXIMUM_QOS), retain=True)
    assert client.window == 65_535
    client.publish("a", b"", qos=int(missing != c.MAXIMUM_QOS))
    client.connection_lost()
    open_(client)  # to a server that supports all of it
    client.publish("a", b"", 2, retain=True)


def test_subscribe_and_unsubscribe_are_answered_once(client: ClientProtocol) -> None:
    packet_id, data = client.subscribe([Subscription("a/#", 1)])
    assert decoded(data, client.version)[0].type == c.SUBSCRIBE
    assert give(client, Suback(packet_id, [1])) == [Suback(packet_id, [1])]
    assert give(client, Suback(packet_id, [1])) == []
    packet_id, data = client.unsubscribe(["a/#"])
    assert decoded(data, client.version)[0].type == c.UNSUBSCRIBE
    codes = [0] if client.version == c.V5 else []
    assert give(client, Unsuback(packet_id, codes)) == [Unsuback(packet_id, codes)]


def test_messages_are_acknowledged(client: ClientProtocol) -> None:
    one = Publish("a", b"1", 1, packet_id=4)
    assert give(client, Publish("a", b"0"), one) == [Publish("a", b"0"), one]
    assert sent(client) == [Ack(c.PUBACK, 4)]


def test_a_qos_2_message_is_returned_once(client: ClientProtocol) -> None:
    two = Publish("a", b"2", 2, packet_id=4)
    again = Publish("a", b"2", 2, False, True, 4)
    assert give(client, two, again) == [two]
    assert sent(client) == [Ack(c.PUBREC, 4), Ack(c.PUBREC, 4)]
    client.connection_lost()
    open_(client, True)
    assert give(client, again, Ack(c.PUBREL, 4)) == []
    assert sent(client) == [Ack(c.PUBREC, 4), Ack(c.PUBCOMP, 4)]
    assert give(client, two) == [two]  # the id is free, so this is another message


def test_a_lost_session_forgets_what_was_received(client: ClientProtocol) -> None:
    two = Publish("a", b"2", 2, packet_id=4)
    give(client, two)
    client.connection_lost()
    open_(client, False)
    assert give(client, two) == [two]


def test_manual_acknowledgements_leave_in_order() -> None:
    client = new_client(manual_ack=True)
    open_(client)
    one, two = Publish("a", b"", 1, packet_id=1), Publish("a", b"", 2, packet_id=2)
    received = give(client, one, two)
    assert sent(client) == []
    client.acknowledge(received[1])  # type: ignore[arg-type]
    assert sent(client) == []
    client.acknowledge(received[0], c.NOT_AUTHORIZED)  # type: ignore[arg-type]
    assert sent(client) == [Ack(c.PUBACK, 1, c.NOT_AUTHORIZED), Ack(c.PUBREC, 2)]


def test_a_late_acknowledgement_is_not_given_to_another_message() -> None:
    client = new_client(manual_ack=True)
    open_(client)
    old = give(client, Publish("a", b"old", 1, packet_id=1))[0]
    client.connection_lost()
    open_(client)
    new = give(client, Publish("a", b"new", 1, packet_id=1))[0]
    client.acknowledge(old)  # type: ignore[arg-type]
    assert sent(client) == []
    client.acknowledge(new)  # type: ignore[arg-type]
    assert sent(client) == [Ack(c.PUBACK, 1)]


def test_a_qos_2_message_held_over_a_reconnect_is_acknowledged_on_the_new_connection() -> None:
    client = new_client(manual_ack=True)
    open_(client)
    held = give(client, Publish("a", b"", 2, packet_id=1))[0]
    client.connection_lost()
    client.acknowledge(held)  # type: ignore[arg-type]
    assert client.take_output() == b""
    assert open_(client, True) == [Ack(c.PUBREC, 1)]


def test_an_alias_from_the_server_is_an_error() -> None:
    client = new_client()
    open_(client)
    assert give(client, Publish("", b"", properties={c.TOPIC_ALIAS: 1})) == []
    assert isinstance(client.error, TopicAliasInvalidError)


def test_disconnect_from_the_server_is_returned_and_ends_the_connection() -> None:
    client = new_client()
    open_(client)
    assert give(client, Disconnect(0x8E), Pingresp()) == [Disconnect(0x8E)]
    assert client.state == DISCONNECTED
    assert client.receive(b"\xd0\x00") == []


def test_bad_bytes_end_the_connection(client: ClientProtocol) -> None:
    assert client.receive(b"\xd0\x00\x00\x00") == [Pingresp()]
    assert client.error is not None
    assert client.state == DISCONNECTED
