"""MQTT 5.0 §4.7: Topic Names and Topic Filters."""

import pytest

from fleetwire.protocol import constants as c
from tests.octets import field, number, packet
from tests.spec.wire import House

MATCHES = [
    ("a/b", ["a/b"]),
    ("a/#", ["a", "a/", "a/b", "a/b/c"]),
    ("#", ["a", "a/", "a/b", "a/b/c", "/a", "/", "b", "A", "a "]),
    ("+", ["a", "b", "A", "a "]),
    ("+/+", ["a/", "a/b", "/a", "/"]),
    ("/+", ["/a", "/"]),
    ("a/+", ["a/", "a/b"]),
    ("+/b/#", ["a/b", "a/b/c"]),
    ("a/+/c", ["a/b/c"]),
    ("+/", ["a/", "/"]),
    ("$own/#", ["$own/a"]),
    ("$own/+", ["$own/a"]),
    ("a/b/c/#", ["a/b/c"]),
]
NAMES = ["a", "a/", "a/b", "a/b/c", "/a", "/", "b", "A", "a ", "$own/a"]


@pytest.mark.spec("MQTT-4.7.2-1", "MQTT-4.7.1-1", "MQTT-4.7.1-2")
@pytest.mark.parametrize(("topic_filter", "expected"), MATCHES)
async def test_a_filter_matches_what_the_standard_says(
    house: House, topic_filter: str, expected: list[str]
) -> None:
    wire = await house.client()
    assert await wire.subscribe(topic_filter) == 0
    publisher = await house.client("publisher", username="system", password=b"secret")
    for name in NAMES:
        await publisher.publish(name)
    assert [message.topic_name for message in await wire.messages()] == [
        name for name in NAMES if name in expected
    ]


@pytest.mark.spec("MQTT-4.7.2-1")
async def test_a_retained_message_of_a_dollar_topic_needs_its_dollar(house: House) -> None:
    publisher = await house.client("publisher", username="system", password=b"secret")
    await publisher.publish("$own/a", retain=True)
    wire = await house.client()
    for topic_filter in ("#", "+/a", "+/#"):
        await wire.subscribe(topic_filter)
    assert await wire.rest() == []
    await wire.subscribe("$own/a")
    assert len(await wire.messages()) == 1


@pytest.mark.spec("MQTT-4.7.2-1")
@pytest.mark.parametrize("topic", ["$SYS/broker/version", "$own/a"])
@pytest.mark.parametrize("qos", [1, 2])
async def test_leave_for_everything_is_none_for_dollar_topics(
    house: House, topic: str, qos: int
) -> None:
    wire = await house.client()
    assert await wire.publish(topic, qos=qos) == c.NOT_AUTHORIZED


@pytest.mark.spec("MQTT-4.7.1-1", "MQTT-4.7.1-2")
@pytest.mark.parametrize(
    "topic_filter", ["a#", "a/b#", "#/a", "a/#/b", "##", "a+", "+a", "a/+b", "a/b+/c", "++", "#+"]
)
async def test_a_wildcard_that_is_not_a_whole_level_is_refused(
    house: House, topic_filter: str
) -> None:
    wire = await house.client()
    assert await wire.subscribe(topic_filter) == c.TOPIC_FILTER_INVALID
    assert await wire.is_alive()


@pytest.mark.spec("MQTT-4.7.3-1")
async def test_an_empty_topic_filter_is_refused(house: House) -> None:
    wire = await house.client()
    wire.send_bytes(packet(0x82, number(1), b"\0", field(b""), b"\0"))
    answer, *_ = await wire.rest()
    assert answer.type in (c.SUBACK, c.DISCONNECT)
    if answer.type == c.SUBACK:
        assert answer.reason_codes == [c.TOPIC_FILTER_INVALID]  # type: ignore[attr-defined]


@pytest.mark.spec("MQTT-4.7.3-1")
async def test_an_empty_topic_name_is_refused(house: House) -> None:
    wire = await house.client()
    wire.send_bytes("30 04 00 00 00 78")
    assert await wire.closed_with() in (c.PROTOCOL_ERROR, c.TOPIC_NAME_INVALID)


@pytest.mark.spec("MQTT-4.7.3-3")
@pytest.mark.parametrize("size", [1000, 65_535])
async def test_long_topics_are_whole(house: House, size: int) -> None:
    name = "a/" + "x" * (size - 2)
    wire = await house.client()
    assert await wire.subscribe(name) == 0
    await wire.publish(name)
    assert [message.topic_name for message in await wire.messages()] == [name]


@pytest.mark.spec("MQTT-4.7.3-4")
@pytest.mark.parametrize(
    ("subscribed", "published"),
    [
        ("a", "A"),
        ("\u00e4", "a\u0308"),  # the same to the eye, composed and decomposed
        ("a/b", "a//b"),
        ("a", "a/"),
        ("a", "/a"),
        ("a", "a "),
        ("\u00df", "ss"),
        ("a/./b", "a/b"),
        ("%61", "a"),
    ],
)
async def test_topics_are_compared_as_they_are(
    house: House, subscribed: str, published: str
) -> None:
    wire = await house.client()
    await wire.subscribe(subscribed)
    await wire.publish(published)
    await wire.publish(subscribed)
    assert [message.topic_name for message in await wire.messages()] == [subscribed]
