"""MQTT 3.1.1 §3.3: PUBLISH, and what is retained of it."""

import pytest

from tests.octets import (
    DISCONNECT,
    connack,
    connect,
    field,
    packet,
    puback,
    publish,
    pubrec,
    suback,
    subscribe,
)
from tests.spec.v3.rig import Rig


@pytest.mark.spec311("MQTT-3.3.1-1")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("qos", [1, 2])
async def test_what_is_sent_again_has_dup(rig: Rig, qos: int) -> None:
    peer = await rig.client("c", clean=False)
    sender = await rig.client("sender")
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    await sender.asks(_sent(qos), _answer(qos))
    await peer.hears(publish("a", b"x", qos=qos, packet_id=1))
    await peer.breaks()
    again = await rig.peer()
    await again.asks(
        connect("c", flags=0),
        connack(session_present=True),
        publish("a", b"x", qos=qos, packet_id=1, dup=True),
    )


@pytest.mark.spec311("MQTT-3.3.1-2")
async def test_dup_with_qos_0_ends_the_connection(rig: Rig) -> None:
    peer = await rig.client()
    await peer.says(publish("a", dup=True))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.3.1-3")
@pytest.mark.parametrize("qos", [1, 2])
async def test_dup_of_the_sender_is_not_passed_on(rig: Rig, qos: int) -> None:
    peer, sender = await rig.client("peer"), await rig.client("sender")
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    await sender.asks(publish("a", b"x", qos=qos, packet_id=1, dup=True), _answer(qos))
    await peer.hears(publish("a", b"x", qos=qos, packet_id=1))


@pytest.mark.spec311("MQTT-3.3.1-4")
@pytest.mark.parametrize("first", [0x36, 0x37, 0x3E, 0x3F])
async def test_qos_3_ends_the_connection(rig: Rig, first: int) -> None:
    peer = await rig.client()
    await peer.says(packet(first, field("a"), b"\0\1x"))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.3.1-5", "MQTT-3.3.1-6")
@pytest.mark.over_the_wire
async def test_a_retained_message_waits_with_its_qos_for_each_new_subscription(rig: Rig) -> None:
    sender = await rig.client("sender")
    await sender.says(publish("a/0", b"older", retain=True))
    await sender.says(publish("a/0", b"0", retain=True))
    await sender.asks(publish("a/1", b"1", qos=1, packet_id=1, retain=True), puback(1))
    await sender.asks(publish("a/2", b"2", qos=2, packet_id=2, retain=True), pubrec(2))
    peer = await rig.client("peer")
    await peer.asks(
        subscribe(1, ("a/0", 2), ("a/1", 2), ("a/2", 2)),
        suback(1, 2, 2, 2),
        publish("a/0", b"0", retain=True),
        publish("a/1", b"1", qos=1, packet_id=1, retain=True),
        publish("a/2", b"2", qos=2, packet_id=2, retain=True),
    )


@pytest.mark.spec311("MQTT-3.3.1-6")
async def test_a_subscription_with_wildcards_gets_each_retained_message_once(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    for topic in ("a", "a/b", "a/b/c", "b", "$test/a"):
        await sender.says(publish(topic, b"x", retain=True))
    await sender.hears_nothing()
    await peer.asks(subscribe(1, ("a/#", 0)), suback(1, 0))
    messages = {publish(topic, b"x", retain=True) for topic in ("a", "a/b", "a/b/c")}
    total = sum(len(message) for message in messages)
    assert _split(await peer.takes(total)) == messages
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.3.1-7")
async def test_a_retained_qos_0_message_replaces_one_with_qos_1(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await sender.asks(publish("a", b"old", qos=1, packet_id=1, retain=True), puback(1))
    await sender.says(publish("a", b"new", retain=True))
    await sender.hears_nothing()
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1), publish("a", b"new", retain=True))


@pytest.mark.spec311("MQTT-3.3.1-8", "MQTT-3.3.1-9")
@pytest.mark.over_the_wire
async def test_retain_is_set_for_a_new_subscription_only(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await sender.asks(publish("a", b"x", qos=1, packet_id=1, retain=True), puback(1))
    await peer.hears(publish("a", b"x", qos=1, packet_id=1))
    await peer.asks(puback(1) + subscribe(2, ("+", 0)), suback(2, 0))
    await peer.hears(publish("a", b"x", retain=True))


@pytest.mark.spec311("MQTT-3.3.1-10", "MQTT-3.3.1-11")
@pytest.mark.parametrize("qos", [0, 1])
async def test_an_empty_retained_message_is_delivered_and_clears(rig: Rig, qos: int) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await sender.says(publish("a", b"x", retain=True))
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1), publish("a", b"x", retain=True))
    await sender.says(publish("a", b"", qos=qos, packet_id=1, retain=True))
    await peer.hears(publish("a", b"", qos=qos, packet_id=1))
    later = await rig.client("later")
    await later.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await later.hears_nothing()


@pytest.mark.spec311("MQTT-3.3.1-11")
async def test_an_empty_message_is_never_retained(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await sender.says(publish("a", b"", retain=True))
    await sender.hears_nothing()
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.3.1-12")
@pytest.mark.parametrize("payload", [b"other", b""], ids=["other", "empty"])
async def test_a_message_without_retain_changes_nothing_that_is_retained(
    rig: Rig, payload: bytes
) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await sender.says(publish("a", b"kept", retain=True))
    await sender.says(publish("a", payload), publish("b", b"passing"))
    await sender.hears_nothing()
    await peer.asks(subscribe(1, ("+", 0)), suback(1, 0), publish("a", b"kept", retain=True))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.2.7")
@pytest.mark.parametrize("clean", [True, False])
async def test_a_retained_message_outlives_the_session_of_its_sender(rig: Rig, clean: bool) -> None:
    sender = await rig.client("sender", clean=clean)
    await sender.says(publish("a", b"x", retain=True), DISCONNECT)
    await sender.ends()
    await rig.house.advance(rig.house.broker.limits.session_expiry_s + 1)
    assert "sender" not in rig.house.broker.sessions
    peer = await rig.client("peer")
    await peer.asks(subscribe(1, ("a", 0)), suback(1, 0), publish("a", b"x", retain=True))


@pytest.mark.spec311("MQTT-3.3.2-1")
@pytest.mark.parametrize(
    "body", [b"", b"\0", b"\0\5a"], ids=["no Topic Name", "half a length", "cut"]
)
async def test_a_publish_without_a_whole_topic_name_ends_the_connection(
    rig: Rig, body: bytes
) -> None:
    peer = await rig.client()
    await peer.says(packet(0x30, body))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.3.2-2", "MQTT-4.7.1-1")
@pytest.mark.parametrize("topic", ["#", "+", "a/#", "a/+/b", "a+", "a#b"])
async def test_a_wildcard_in_a_topic_name_ends_the_connection(rig: Rig, topic: str) -> None:
    peer = await rig.client()
    await peer.says(publish(topic))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.3.2-3")
async def test_a_subscriber_hears_the_topic_names_that_its_filter_matches(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("a/+/c", 0)), suback(1, 0))
    for topic in ("a/b/c", "a/c", "a/b/c/d", "a//c", "b/b/c", "a/b/C"):
        await sender.says(publish(topic))
    await peer.hears(publish("a/b/c"), publish("a//c"))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.3.4-1")
@pytest.mark.over_the_wire
async def test_each_qos_has_its_own_answer(rig: Rig) -> None:
    peer = await rig.client()
    await peer.says(publish("a"))
    await peer.hears_nothing()
    await peer.asks(publish("a", qos=1, packet_id=1), puback(1))
    await peer.asks(publish("a", qos=2, packet_id=2), pubrec(2))
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.3.5-1")
@pytest.mark.parametrize("order", [1, -1])
async def test_of_overlapping_subscriptions_the_highest_qos_counts(rig: Rig, order: int) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    wanted = [("a/#", 0), ("a/b", 2), ("+/b", 1)][::order]
    await peer.asks(subscribe(1, *wanted), suback(1, *(qos for _, qos in wanted)))
    await sender.asks(publish("a/b", b"x", qos=2, packet_id=1), pubrec(1))
    await peer.hears(publish("a/b", b"x", qos=2, packet_id=1))
    await sender.says(publish("a/c", b"x"))
    await peer.hears(publish("a/c", b"x"))
    await peer.hears_nothing()  # one copy of each


def _sent(qos: int) -> bytes:
    return publish("a", b"x", qos=qos, packet_id=1)


def _answer(qos: int) -> bytes:
    return puback(1) if qos == 1 else pubrec(1)


def _split(stream: bytes) -> set[bytes]:
    """Return the packets of a stream; all are shorter than 128 bytes."""
    packets = set()
    while stream:
        size = 2 + stream[1]
        packets.add(stream[:size])
        stream = stream[size:]
    return packets
