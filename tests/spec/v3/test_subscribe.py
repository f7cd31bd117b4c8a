"""MQTT 3.1.1 §3.8 to §3.12: SUBSCRIBE, UNSUBSCRIBE and PINGREQ."""

import pytest

from tests.octets import (
    PINGREQ,
    PINGRESP,
    field,
    number,
    packet,
    puback,
    pubcomp,
    publish,
    pubrec,
    pubrel,
    suback,
    subscribe,
    unsuback,
    unsubscribe,
)
from tests.spec.v3.rig import Rig

USERNAME = 0x80


@pytest.mark.spec311("MQTT-3.8.3-1", "MQTT-3.10.3-1")
@pytest.mark.parametrize("text", [b"\xff", b"a/\xed\xa0\x80"], ids=["byte", "surrogate"])
async def test_a_topic_filter_that_is_no_utf8_ends_the_connection(rig: Rig, text: bytes) -> None:
    for bad in (subscribe(1, ("a", 0), (text, 0)), unsubscribe(1, "a", text)):
        peer = await rig.client()
        await peer.says(bad)
        await peer.ends()


@pytest.mark.spec311("MQTT-3.8.3-1", "MQTT-3.10.3-1")
async def test_topic_filters_may_hold_any_character(rig: Rig) -> None:
    peer = await rig.client()
    await peer.asks(subscribe(1, ("ŝ/😀/+", 0)), suback(1, 0))
    await peer.asks(publish("ŝ/😀/a"), publish("ŝ/😀/a"))
    await peer.asks(unsubscribe(2, "ŝ/😀/+"), unsuback(2))
    await peer.says(publish("ŝ/😀/a"))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.8.3-3", "MQTT-3.10.3-2")
@pytest.mark.parametrize("first", [0x82, 0xA2], ids=["SUBSCRIBE", "UNSUBSCRIBE"])
async def test_a_request_without_a_topic_filter_ends_the_connection(rig: Rig, first: int) -> None:
    peer = await rig.client()
    await peer.says(packet(first, number(1)))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.8.3-3")
async def test_a_topic_filter_without_its_qos_ends_the_connection(rig: Rig) -> None:
    peer = await rig.client()
    await peer.says(packet(0x82, number(1), field("a")))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.8.3-4")
@pytest.mark.parametrize("options", [3, 4, 8, 16, 32, 64, 128, 0xFF])
async def test_reserved_bits_or_qos_3_end_the_connection(rig: Rig, options: int) -> None:
    peer = await rig.client()
    await peer.says(subscribe(1, ("a", 0), ("b", options)))
    await peer.ends()
    # And nothing of it holds.
    assert rig.house.broker.tree.count == 0


@pytest.mark.spec311("MQTT-3.8.4-1", "MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1")
@pytest.mark.over_the_wire
async def test_one_suback_has_a_return_code_for_each_filter_in_their_order(rig: Rig) -> None:
    peer = await rig.client("c", "narrow", flags=USERNAME)
    request = subscribe(
        7, ("own/2", 2), ("others", 1), ("own/0", 0), ("own/a#", 1), ("own/1", 1), ("own/0", 2)
    )
    await peer.asks(request, suback(7, 2, 0x80, 0, 0x80, 1, 2))
    await peer.hears_nothing()
    # As a sequence: of the same filter twice the later one holds.
    sender = await rig.client("sender")
    await sender.asks(publish("own/0", qos=2, packet_id=1), pubrec(1))
    await peer.hears(publish("own/0", qos=2, packet_id=1))


@pytest.mark.spec311("MQTT-3.8.4-3")
@pytest.mark.over_the_wire
async def test_the_same_filter_again_replaces_the_subscription(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await sender.asks(publish("a", b"kept", qos=1, packet_id=1, retain=True), puback(1))
    kept = publish("a", b"kept", retain=True)
    await peer.asks(subscribe(1, ("a", 0)), suback(1, 0), kept)
    await peer.asks(subscribe(2, ("a", 0)), suback(2, 0), kept)
    await peer.asks(
        subscribe(3, ("a", 1)),
        suback(3, 1),
        publish("a", b"kept", qos=1, packet_id=1, retain=True),
    )
    await sender.asks(publish("a", b"new", qos=1, packet_id=2), puback(2))
    await peer.hears(publish("a", b"new", qos=1, packet_id=2))
    await peer.hears_nothing()  # one subscription, one copy


@pytest.mark.spec311("MQTT-3.8.4-3")
async def test_replacing_a_subscription_interrupts_no_publication(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await sender.asks(publish("a", b"1", qos=1, packet_id=1), puback(1))
    await peer.says(subscribe(2, ("a", 1)))
    await sender.asks(publish("a", b"2", qos=1, packet_id=2), puback(2))
    await peer.hears(
        publish("a", b"1", qos=1, packet_id=1),
        suback(2, 1),
        publish("a", b"2", qos=1, packet_id=2),
    )


@pytest.mark.spec311("MQTT-3.8.4-6")
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
async def test_a_message_comes_with_the_lower_qos(rig: Rig, granted: int, published: int) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("a", granted)), suback(1, granted))
    await sender.says(publish("a", b"x", qos=published, packet_id=1))
    await peer.hears(publish("a", b"x", qos=min(granted, published), packet_id=1))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.9.3-2")
async def test_a_failure_has_the_one_code_that_there_is(rig: Rig) -> None:
    peer = await rig.client("c", "narrow", flags=USERNAME)
    too_deep = "own" + "/a" * rig.house.broker.limits.topic_levels
    for topic_filter in ("others", "", "a/#/b", too_deep, "$share//own", "$share/+/own/a"):
        await peer.asks(subscribe(1, (topic_filter, 1)), suback(1, 0x80))


@pytest.mark.spec311("MQTT-3.10.4-1", "MQTT-3.10.4-5")
@pytest.mark.over_the_wire
async def test_unsubscribe_ends_only_the_very_same_filter(rig: Rig) -> None:
    peer = await rig.client()
    await peer.asks(subscribe(1, ("a/+", 0)), suback(1, 0))
    for packet_id, other in enumerate(("a/b", "a/#", "+/+", "A/+", "a/+/", "#"), 2):
        await peer.asks(unsubscribe(packet_id, other), unsuback(packet_id))
    await peer.asks(publish("a/b"), publish("a/b"))
    await peer.asks(unsubscribe(9, "a/+"), unsuback(9))
    await peer.says(publish("a/b"))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.10.4-2")
async def test_nothing_new_comes_after_unsubscribe(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    await peer.asks(unsubscribe(2, "a"), unsuback(2))
    for qos in (0, 1, 2):
        await sender.says(publish("a", qos=qos, packet_id=1 + qos))
    await sender.takes(8)
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.10.4-3")
async def test_a_delivery_that_has_begun_is_completed_after_unsubscribe(rig: Rig) -> None:
    sender = await rig.client("sender")
    peer = await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    await sender.asks(publish("a", b"1", qos=1, packet_id=1), puback(1))
    await sender.asks(publish("a", b"2", qos=2, packet_id=2), pubrec(2))
    one = publish("a", b"1", qos=1, packet_id=1)
    two = publish("a", b"2", qos=2, packet_id=2)
    await peer.hears(one, two)
    await peer.asks(unsubscribe(2, "a"), unsuback(2))
    await peer.breaks()
    again = await rig.client("peer", clean=False, session_present=True)
    await again.hears(
        publish("a", b"1", qos=1, packet_id=1, dup=True),
        publish("a", b"2", qos=2, packet_id=2, dup=True),
    )
    await again.says(puback(1))
    await again.asks(pubrec(2), pubrel(2))
    await again.says(pubcomp(2))
    await again.hears_nothing()


@pytest.mark.spec311("MQTT-3.10.4-6")
async def test_several_filters_are_unsubscribed_with_one_unsuback(rig: Rig) -> None:
    peer = await rig.client()
    await peer.asks(subscribe(1, ("a", 0), ("b", 0), ("c", 0)), suback(1, 0, 0, 0))
    await peer.asks(unsubscribe(2, "a", "unknown", "c", "a"), unsuback(2))
    await peer.says(publish("a"), publish("b"), publish("c"))
    await peer.hears(publish("b"))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.12.4-1")
@pytest.mark.over_the_wire
async def test_each_pingreq_is_answered(rig: Rig) -> None:
    peer = await rig.client()
    await peer.asks(PINGREQ, PINGRESP)
    await peer.asks(PINGREQ * 3, PINGRESP * 3)
