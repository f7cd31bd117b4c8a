"""MQTT 3.1.1 §4.7: Topic Names and Topic Filters."""

import pytest

from tests.octets import publish, suback, subscribe
from tests.spec.v3.rig import Rig

MATCHES = {
    "sport/#": ["sport", "sport/", "sport/tennis", "sport/tennis/1"],
    "#": ["sport", "/", "/a", "a//b"],
    "sport/+": ["sport/", "sport/tennis"],
    "+": ["sport"],
    "+/+": ["/a", "a/", "/", "a/b"],
    "/+": ["/a", "/"],
    "+/tennis/#": ["sport/tennis", "sport/tennis/1", "/tennis/"],
}
DIFFERS = {
    "sport/#": ["sports", "Sport/a", "/sport/a"],
    "sport/+": ["sport", "sport/a/b", "sport//"],
    "+": ["/", "/a", "a/b"],
    "/+": ["a", "a/b", "/a/b"],
    "+/tennis/#": ["tennis", "tennis/a", "a/b/tennis"],
}


@pytest.mark.spec311("MQTT-4.7.1-2", "MQTT-4.7.1-3")
@pytest.mark.parametrize("topic_filter", MATCHES)
async def test_wildcards_match_the_levels_they_stand_for(rig: Rig, topic_filter: str) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, (topic_filter, 0)), suback(1, 0))
    for topic in DIFFERS.get(topic_filter, []):
        await sender.says(publish(topic))
    for topic in MATCHES[topic_filter]:
        await sender.says(publish(topic))
        await peer.hears(publish(topic))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-4.7.1-2")
@pytest.mark.parametrize("topic_filter", ["a#", "a/b#", "#/a", "a/#/b", "##", "a/##", "#a"])
async def test_a_hash_elsewhere_is_refused(rig: Rig, topic_filter: str) -> None:
    peer = await rig.client()
    await peer.asks(subscribe(1, (topic_filter, 0)), suback(1, 0x80))
    assert rig.house.broker.tree.count == 0


@pytest.mark.spec311("MQTT-4.7.1-3")
@pytest.mark.parametrize("topic_filter", ["a+", "+a", "a/b+/c", "++", "a/++", "+#"])
async def test_a_plus_within_a_level_is_refused(rig: Rig, topic_filter: str) -> None:
    peer = await rig.client()
    await peer.asks(subscribe(1, (topic_filter, 0)), suback(1, 0x80))
    assert rig.house.broker.tree.count == 0


@pytest.mark.spec311("MQTT-4.7.2-1")
@pytest.mark.over_the_wire
async def test_a_wildcard_at_the_beginning_does_not_match_a_dollar(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("#", 0), ("+/a", 0), ("+/#", 0)), suback(1, 0, 0, 0))
    named = await rig.client("named")
    await named.asks(subscribe(1, ("$test/#", 0), ("$test/+", 0)), suback(1, 0, 0))
    await sender.says(publish("$test/a", b"x", retain=True))
    await named.hears(publish("$test/a", b"x"))
    await peer.hears_nothing()
    # Nor among what is retained.
    later = await rig.client("later")
    await later.asks(subscribe(1, ("#", 0), ("+/a", 0)), suback(1, 0, 0))
    await later.hears_nothing()
    await later.asks(
        subscribe(2, ("$test/+", 0)), suback(2, 0), publish("$test/a", b"x", retain=True)
    )


@pytest.mark.spec311("MQTT-4.7.3-1")
async def test_an_empty_topic_name_ends_the_connection_and_an_empty_filter_is_refused(
    rig: Rig,
) -> None:
    peer = await rig.client()
    await peer.asks(subscribe(1, ("", 0)), suback(1, 0x80))
    await peer.says(publish(""))
    await peer.ends()


@pytest.mark.spec311("MQTT-4.7.3-1")
async def test_a_single_slash_is_a_topic(rig: Rig) -> None:
    peer = await rig.client()
    await peer.asks(subscribe(1, ("/", 0)), suback(1, 0))
    await peer.asks(publish("/"), publish("/"))


@pytest.mark.spec311("MQTT-4.7.3-2")
@pytest.mark.parametrize("text", ["\0", "a\0", "a/\0/b"])
async def test_a_topic_with_a_null_character_ends_the_connection(rig: Rig, text: str) -> None:
    for bad in (publish(text), subscribe(1, (text, 0))):
        peer = await rig.client()
        await peer.says(bad)
        await peer.ends()


@pytest.mark.spec311("MQTT-4.7.3-3")
async def test_a_topic_may_have_65535_bytes(rig: Rig) -> None:
    longest = "ŝ" * 32_767 + "a"
    peer = await rig.client()
    await peer.asks(subscribe(1, (longest, 0)), suback(1, 0))
    await peer.asks(publish(longest), publish(longest))


@pytest.mark.spec311("MQTT-4.7.3-4")
async def test_topics_that_only_look_alike_are_different(rig: Rig) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    peer = await rig.client()
    await peer.asks(subscribe(1, (composed, 0)), suback(1, 0))
    for other in (decomposed, composed.upper(), composed + " ", " " + composed, "/" + composed):
        await peer.says(publish(other))
    await peer.asks(publish(composed), publish(composed))
