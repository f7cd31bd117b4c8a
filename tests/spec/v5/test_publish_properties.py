"""MQTT 5.0 §3.3.2: Topic Name and properties of PUBLISH."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish
from tests.octets import field, number, packet
from tests.spec.v5.test_data import publish_with
from tests.spec.wire import House, Wire

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 3600}
NOT_UTF8 = b"\xed\xa0\x80"


@pytest.fixture
async def publisher(house: House) -> Wire:
    return await house.client("publisher")


@pytest.mark.spec("MQTT-3.3.2-1")
@pytest.mark.parametrize("bad", ["30 00", "30 01 00", "30 03 00 05 61", "32 03 00 01 61"])
async def test_a_publish_without_a_whole_topic_name_is_malformed(house: House, bad: str) -> None:
    wire = await house.client()
    wire.send_bytes(bad)
    assert await wire.closed_with() == c.MALFORMED_PACKET


async def test_an_empty_topic_name_without_an_alias_is_a_protocol_error(house: House) -> None:
    wire = await house.client()
    wire.send_bytes("30 04 00 00 00 78")
    assert await wire.closed_with() == c.PROTOCOL_ERROR


@pytest.mark.spec("MQTT-3.3.2-2", "MQTT-4.7.0-1")
@pytest.mark.parametrize("topic", ["#", "+", "a/#", "a/+/b", "a+", "a#b"])
@pytest.mark.parametrize("qos", [0, 1])
async def test_a_topic_name_with_a_wildcard_is_refused(house: House, topic: str, qos: int) -> None:
    wire = await house.client()
    wire.send_bytes(packet(0x30 | qos << 1, field(topic), number(1) if qos else b"", b"\0"))
    assert await wire.closed_with() == c.TOPIC_NAME_INVALID


@pytest.mark.spec("MQTT-3.3.2-3")
async def test_what_is_sent_matches_the_subscription(house: House, publisher: Wire) -> None:
    wire = await house.client("c")
    await wire.subscribe("a/+/c")
    for topic in ("a/b/c", "a/b", "a/b/c/d", "A/b/c", "a//c", "/a/b/c"):
        await publisher.publish(topic)
    assert [message.topic_name for message in await wire.messages()] == ["a/b/c", "a//c"]


UNALTERED: dict[str, Properties] = {
    "Payload Format Indicator 0": {c.PAYLOAD_FORMAT_INDICATOR: 0},
    "Payload Format Indicator 1": {c.PAYLOAD_FORMAT_INDICATOR: 1},
    "Response Topic": {c.RESPONSE_TOPIC: "b/\u00e4/answer"},
    "Correlation Data": {c.CORRELATION_DATA: bytes(range(256))},
    "empty Correlation Data": {c.CORRELATION_DATA: b""},
    "Content Type": {c.CONTENT_TYPE: "text/\u00fc"},
    "User Properties": {c.USER_PROPERTY: [("z", "1"), ("a", "2"), ("z", "1"), ("", "\ufeff")]},
    "all of them": {
        c.PAYLOAD_FORMAT_INDICATOR: 1,
        c.CONTENT_TYPE: "t",
        c.RESPONSE_TOPIC: "b",
        c.CORRELATION_DATA: b"\0",
        c.USER_PROPERTY: [("b", "1"), ("a", "1")],
    },
}


@pytest.mark.spec(
    "MQTT-3.3.2-4",
    "MQTT-3.3.2-15",
    "MQTT-3.3.2-16",
    "MQTT-3.3.2-17",
    "MQTT-3.3.2-18",
    "MQTT-3.3.2-20",
)
@pytest.mark.parametrize("kind", UNALTERED)
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_properties_are_passed_on_unaltered(
    house: House, publisher: Wire, kind: str, qos: int
) -> None:
    sent = UNALTERED[kind]
    here, away = await house.client("here"), await house.client("away", properties=KEPT)
    await here.subscribe("a/#", qos)
    await away.subscribe("a/#", 2)
    await away.disconnect()
    await publisher.publish("a/1", b"x", qos, retain=True, properties=dict(sent))
    late = await house.client("late")
    await late.subscribe("a/1", qos)
    receivers = [here, late]
    if qos:
        receivers.append(await house.client("away", clean=False, properties=KEPT))
    for wire in receivers:
        (message,) = await wire.messages()
        assert message.properties == sent


@pytest.mark.spec("MQTT-3.3.2-5")
@pytest.mark.over_the_wire
async def test_a_message_that_expired_while_waiting_is_not_sent(house: House) -> None:
    wire = await house.client("c", properties=KEPT)
    await wire.subscribe("a", 2)
    await wire.cut()
    publisher = await house.client("publisher")
    for seconds, qos in ((10, 1), (10, 2), (30, 1), (30, 2)):
        await publisher.publish(
            "a", str(seconds).encode(), qos, properties={c.MESSAGE_EXPIRY_INTERVAL: seconds}
        )
    await publisher.publish("a", b"for ever", 1)
    await house.advance(20)
    wire = await house.client("c", clean=False, properties=KEPT)
    assert [message.payload for message in await wire.messages()] == [b"30", b"30", b"for ever"]


@pytest.mark.spec("MQTT-3.3.2-6")
@pytest.mark.parametrize("waited", [0, 7, 99])
async def test_the_expiry_passed_on_is_what_remains(
    house: House, publisher: Wire, waited: int
) -> None:
    wire = await house.client("c", properties=KEPT)
    await wire.subscribe("a", 1)
    await wire.cut()
    await publisher.publish("a", qos=1, properties={c.MESSAGE_EXPIRY_INTERVAL: 100})
    await house.advance(waited)
    wire = await house.client("c", clean=False, properties=KEPT)
    (message,) = await wire.messages()
    assert message.properties == {c.MESSAGE_EXPIRY_INTERVAL: 100 - waited}


async def test_the_expiry_is_passed_on_at_once_too(house: House, publisher: Wire) -> None:
    wire = await house.client("c")
    await wire.subscribe("a", 1)
    for qos in (0, 1):
        await publisher.publish("a", qos=qos, properties={c.MESSAGE_EXPIRY_INTERVAL: 100})
        (message,) = await wire.messages()
        assert message.properties == {c.MESSAGE_EXPIRY_INTERVAL: 100}


@pytest.mark.spec("MQTT-3.3.2-7")
async def test_a_topic_alias_ends_with_its_connection(house: House) -> None:
    wire = await house.client("c", properties=KEPT)
    wire.send(Publish("a", b"x", properties={c.TOPIC_ALIAS: 3}))
    await wire.disconnect()
    wire = await house.client("c", clean=False, properties=KEPT)
    wire.send(Publish("", b"x", properties={c.TOPIC_ALIAS: 3}))
    assert await wire.closed_with() in (c.PROTOCOL_ERROR, c.TOPIC_ALIAS_INVALID)


@pytest.mark.spec("MQTT-3.3.2-7")
async def test_the_servers_topic_aliases_end_with_the_connection_too(
    house: House, publisher: Wire
) -> None:
    properties: Properties = {**KEPT, c.TOPIC_ALIAS_MAXIMUM: 5}
    wire = await house.client("c", properties=properties)
    await wire.subscribe("a/long/enough/topic", 1)
    for _ in range(2):
        await publisher.publish("a/long/enough/topic", qos=1)
    await wire.cut()
    wire = await house.client("c", clean=False, properties=properties)
    messages = await wire.messages()
    assert len(messages) == 2
    assert messages[0].topic_name == "a/long/enough/topic"


@pytest.mark.spec("MQTT-3.3.2-8", "MQTT-3.3.2-9")
@pytest.mark.parametrize("kind", ["0", "one too many", "the largest"])
async def test_a_topic_alias_out_of_range_ends_the_connection(house: House, kind: str) -> None:
    wire = await house.client()
    assert wire.connack is not None
    most = (wire.connack.properties or {})[c.TOPIC_ALIAS_MAXIMUM]
    assert isinstance(most, int)
    alias = {"0": 0, "one too many": most + 1, "the largest": 65_535}[kind]
    wire.send_bytes(publish_with(b"\x23" + number(alias)))
    # §3.3.2.3.4 says that 0 is a Protocol Error, and in the same place that 0x94 is its code.
    allowed = (c.TOPIC_ALIAS_INVALID,) if alias else (c.TOPIC_ALIAS_INVALID, c.PROTOCOL_ERROR)
    assert await wire.closed_with() in allowed


@pytest.mark.spec("MQTT-3.3.2-12")
@pytest.mark.over_the_wire
async def test_every_topic_alias_up_to_the_maximum_is_accepted(house: House) -> None:
    wire = await house.client()
    await wire.subscribe("#")
    assert wire.connack is not None
    most = (wire.connack.properties or {})[c.TOPIC_ALIAS_MAXIMUM]
    assert isinstance(most, int)
    for alias in range(1, most + 1):
        wire.send(Publish(f"a/{alias}", b"named", properties={c.TOPIC_ALIAS: alias}))
    for alias in range(most, 0, -1):
        wire.send(Publish("", b"alias", properties={c.TOPIC_ALIAS: alias}))
    wire.send(Publish("b", b"renamed", properties={c.TOPIC_ALIAS: 1}))
    wire.send(Publish("", b"alias", properties={c.TOPIC_ALIAS: 1}))
    seen = [message.topic_name for message in await wire.messages()]
    down = [f"a/{alias}" for alias in range(most, 0, -1)]
    assert seen == [*reversed(down), *down, "b", "b"]


async def test_a_topic_alias_is_not_passed_on(house: House, publisher: Wire) -> None:
    wire = await house.client("c")
    await wire.subscribe("a", 1)
    await publisher.publish("a", b"x", 1, properties={c.TOPIC_ALIAS: 1, c.CONTENT_TYPE: "t"})
    await publisher.publish("", b"x", 1, properties={c.TOPIC_ALIAS: 1})
    first, second = await wire.messages()
    assert (first.topic_name, first.properties) == ("a", {c.CONTENT_TYPE: "t"})
    assert (second.topic_name, second.properties) == ("a", None)


async def test_a_refused_message_still_sets_its_topic_alias(house: House) -> None:
    wire = await house.client(username="limited", password=b"secret")
    alias: Properties = {c.TOPIC_ALIAS: 1}
    assert await wire.publish("secret/a", qos=1, properties=dict(alias)) == c.NOT_AUTHORIZED
    assert await wire.publish("", qos=1, properties=dict(alias)) == c.NOT_AUTHORIZED


@pytest.mark.spec("MQTT-3.3.2-13", "MQTT-3.3.2-19")
@pytest.mark.parametrize("identifier", [c.RESPONSE_TOPIC, c.CONTENT_TYPE])
async def test_text_that_is_not_utf8_is_malformed(house: House, identifier: int) -> None:
    wire = await house.client()
    wire.send_bytes(publish_with(bytes([identifier]) + field(NOT_UTF8)))
    assert await wire.closed_with() == c.MALFORMED_PACKET


@pytest.mark.spec("MQTT-3.3.2-14")
@pytest.mark.parametrize("topic", ["#", "a/+", "a/#"])
async def test_a_response_topic_with_a_wildcard_is_a_protocol_error(
    house: House, topic: str
) -> None:
    wire = await house.client()
    wire.send_bytes(publish_with(b"\x08" + field(topic)))
    assert await wire.closed_with() in (c.PROTOCOL_ERROR, c.TOPIC_NAME_INVALID)


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_payload_that_is_not_the_text_it_claims_to_be_is_refused(
    house: House, publisher: Wire, qos: int
) -> None:
    wire = await house.client("c")
    await wire.subscribe("a")
    text: Properties = {c.PAYLOAD_FORMAT_INDICATOR: 1}
    assert await publisher.publish("a", b"\xff", qos, properties=text) == c.PAYLOAD_FORMAT_INVALID
    assert await wire.rest() == []
    assert await publisher.is_alive()
