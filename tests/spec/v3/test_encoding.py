"""MQTT 3.1.1 §1.5.3 and §2: strings, flags, packet identifiers."""

import pytest

from tests.octets import (
    DISCONNECT,
    PINGREQ,
    connack,
    connect,
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

# Bytes that are no well-formed UTF-8, each in a way of its own.
ILL_FORMED = {
    "a stray continuation": b"a\x80",
    "a cut sequence": b"\xe2\x82",
    "an overlong slash": b"\xc0\xaf",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "a high surrogate": b"\xed\xa0\x80",
    "a low surrogate": b"\xed\xbf\xbf",
}


@pytest.mark.spec311("MQTT-1.5.3-1")
@pytest.mark.parametrize("kind", ILL_FORMED)
@pytest.mark.parametrize("place", ["PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "CONNECT"])
async def test_ill_formed_utf8_ends_the_connection(rig: Rig, kind: str, place: str) -> None:
    text = ILL_FORMED[kind]
    bad = {
        "PUBLISH": publish(text),
        "SUBSCRIBE": subscribe(1, (text, 0)),
        "UNSUBSCRIBE": unsubscribe(1, text),
        "CONNECT": connect(text),
    }[place]
    peer = await (rig.peer() if place == "CONNECT" else rig.client())
    await peer.says(bad)
    await peer.ends()


@pytest.mark.spec311("MQTT-1.5.3-2")
@pytest.mark.parametrize("place", ["PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "CONNECT"])
async def test_a_null_character_ends_the_connection(rig: Rig, place: str) -> None:
    bad = {
        "PUBLISH": publish("a\0b"),
        "SUBSCRIBE": subscribe(1, ("a\0b", 0)),
        "UNSUBSCRIBE": unsubscribe(1, "a\0b"),
        "CONNECT": connect("a\0b"),
    }[place]
    peer = await (rig.peer() if place == "CONNECT" else rig.client())
    await peer.says(bad)
    await peer.ends()


@pytest.mark.spec311("MQTT-1.5.3-3")
async def test_a_byte_order_mark_is_part_of_the_topic(rig: Rig) -> None:
    marked = b"\xef\xbb\xbfa/\xef\xbb\xbfb"
    peer = await rig.client()
    await peer.asks(subscribe(1, (marked, 0)), suback(1, 0))
    await peer.says(publish("a/b", b"other"))
    await peer.asks(publish(marked, b"x"), publish(marked, b"x"))


@pytest.mark.spec311("MQTT-2.2.2-1")
async def test_what_the_server_sends_has_the_flags_of_the_table(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect())
    assert (await peer.takes(4))[0] == 0x20
    for request, first, size in [
        (subscribe(1, ("a", 2)), 0x90, 5),
        (publish("no", qos=1, packet_id=1), 0x40, 4),
        (publish("no", qos=2, packet_id=2), 0x50, 4),
        (pubrel(2), 0x70, 4),
        (publish("a", qos=0), 0x30, 5),
        (unsubscribe(2, "b"), 0xB0, 4),
        (PINGREQ, 0xD0, 2),
        (pubrec(9), 0x62, 4),
    ]:
        await peer.says(request)
        heard = await peer.takes(size)
        assert (heard[0], len(heard)) == (first, size), request.hex(" ")


GOOD = {
    "PUBACK": puback(1),
    "PUBREC": pubrec(1),
    "PUBREL": pubrel(1),
    "PUBCOMP": pubcomp(1),
    "SUBSCRIBE": subscribe(1, ("a", 0)),
    "UNSUBSCRIBE": unsubscribe(1, "a"),
    "PINGREQ": PINGREQ,
    "DISCONNECT": DISCONNECT,
}


@pytest.mark.spec311(
    "MQTT-2.2.2-2", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.14.1-1"
)
@pytest.mark.parametrize("kind", GOOD)
async def test_every_other_value_of_the_flags_ends_the_connection(rig: Rig, kind: str) -> None:
    good = GOOD[kind]
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("gone", 0)), suback(1, 0))
    for flags in range(16):
        if flags == good[0] & 15:
            continue
        peer = await rig.client("c", "gone", b"%d" % flags, flags=0x04)
        await peer.says(bytes([good[0] & 0xF0 | flags]) + good[1:])
        await peer.ends()
        # As a violation: also a bad DISCONNECT leaves the Will.
        await watcher.hears(publish("gone", b"%d" % flags))


@pytest.mark.spec311("MQTT-2.3.1-1")
@pytest.mark.parametrize(
    "bad",
    [
        publish("a", qos=1, packet_id=0),
        publish("a", qos=2, packet_id=0),
        subscribe(0, ("a", 0)),
        unsubscribe(0, "a"),
        packet(0x32, field("a")),
        packet(0x82, b"\0"),
    ],
    ids=["QoS 1", "QoS 2", "SUBSCRIBE", "UNSUBSCRIBE", "none in PUBLISH", "half of one"],
)
async def test_no_packet_identifier_or_zero_ends_the_connection(rig: Rig, bad: bytes) -> None:
    peer = await rig.client()
    await peer.says(bad)
    await peer.ends()


@pytest.mark.spec311("MQTT-2.3.1-4")
async def test_the_server_gives_each_message_in_flight_an_identifier_of_its_own(rig: Rig) -> None:
    peer, sender = await rig.client("peer"), await rig.client("sender")
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    for index in (1, 2, 3):
        await sender.asks(publish("a", qos=1, packet_id=9), puback(9))
        await peer.hears(publish("a", qos=1, packet_id=index))
    await peer.says(puback(2))
    await sender.asks(publish("a", qos=1, packet_id=9), puback(9))
    heard = await peer.takes(7)
    used = int.from_bytes(heard[5:7], "big")
    assert heard == publish("a", qos=1, packet_id=used)
    assert used not in (0, 1, 3)


@pytest.mark.spec311("MQTT-2.3.1-5")
async def test_a_qos_0_message_has_no_packet_identifier_in_either_direction(rig: Rig) -> None:
    peer = await rig.client()
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    # The two bytes behind the Topic Name are payload.
    message = packet(0x30, field("a"), number(7))
    await peer.asks(message, message)


@pytest.mark.spec311("MQTT-2.3.1-6")
@pytest.mark.parametrize("packet_id", [1, 255, 256, 65_535])
async def test_acknowledgements_repeat_the_identifier_of_the_publish(
    rig: Rig, packet_id: int
) -> None:
    peer = await rig.client()
    await peer.asks(publish("a", qos=1, packet_id=packet_id), puback(packet_id))
    await peer.asks(publish("a", qos=2, packet_id=packet_id), pubrec(packet_id))
    await peer.asks(pubrel(packet_id), pubcomp(packet_id))
    # And the server's own PUBREL, that of the PUBLISH it sent.
    other = await rig.client("other")
    await other.asks(subscribe(1, ("out", 2)), suback(1, 2))
    await peer.asks(publish("out", qos=2, packet_id=packet_id), pubrec(packet_id))
    await other.hears(publish("out", qos=2, packet_id=1))
    await other.asks(pubrec(1), pubrel(1))


@pytest.mark.spec311("MQTT-2.3.1-7", "MQTT-3.8.4-2", "MQTT-3.10.4-4")
@pytest.mark.parametrize("packet_id", [1, 255, 256, 65_535])
async def test_suback_and_unsuback_repeat_the_identifier_of_their_request(
    rig: Rig, packet_id: int
) -> None:
    peer = await rig.peer()
    await peer.asks(connect(), connack())
    await peer.asks(subscribe(packet_id, ("a", 1)), suback(packet_id, 1))
    await peer.asks(unsubscribe(packet_id, "a"), unsuback(packet_id))
