"""MQTT 3.1.1 §4.3 and §4.6: the QoS exchanges, and the order of messages."""

import pytest

from tests.octets import (
    connack,
    connect,
    field,
    packet,
    puback,
    pubcomp,
    publish,
    pubrec,
    pubrel,
    suback,
    subscribe,
)
from tests.spec.v3.rig import Rig


@pytest.mark.spec311("MQTT-4.3.1-1", "MQTT-3.3.1-2")
async def test_a_qos_0_message_is_one_packet_without_dup(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 0)), suback(1, 0))
    await sender.asks(publish("a", b"x", qos=1, packet_id=1, dup=True), puback(1))
    await peer.hears(packet(0x30, field("a"), b"x"))
    await peer.breaks()
    again = await rig.client("peer", clean=False, session_present=True)
    await again.hears_nothing()


@pytest.mark.spec311("MQTT-4.3.2-1")
async def test_a_qos_1_message_is_held_until_its_own_puback(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await sender.asks(publish("a", b"1", qos=1, packet_id=1), puback(1))
    await sender.asks(publish("a", b"2", qos=1, packet_id=2), puback(2))
    await peer.hears(publish("a", b"1", qos=1, packet_id=1), publish("a", b"2", qos=1, packet_id=2))
    # Neither another's acknowledgement nor one of another kind ends it.
    await peer.says(puback(2), puback(99), pubcomp(1))
    await peer.hears_nothing()
    await peer.breaks()
    again = await rig.client("peer", clean=False, session_present=True)
    await again.hears(publish("a", b"1", qos=1, packet_id=1, dup=True))
    await again.says(puback(1))
    await again.hears_nothing()
    await again.breaks()
    third = await rig.client("peer", clean=False, session_present=True)
    await third.hears_nothing()


@pytest.mark.spec311("MQTT-4.3.2-2")
async def test_after_its_puback_the_same_packet_is_a_new_message(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    for packet_id in (1, 2):
        await sender.asks(publish("a", b"x", qos=1, packet_id=7, dup=packet_id == 2), puback(7))
        await peer.hears(publish("a", b"x", qos=1, packet_id=packet_id))


@pytest.mark.spec311("MQTT-4.3.2-2", "MQTT-4.3.3-2")
async def test_what_the_house_takes_is_acknowledged_once_it_is_stored(rig: Rig) -> None:
    keeper = rig.keep("in")
    sender = await rig.client("sender")
    await sender.says(publish("in", b"1", qos=1, packet_id=1))
    await sender.says(publish("in", b"2", qos=2, packet_id=2))
    await sender.hears_nothing()
    keeper.release(0)
    await sender.hears(puback(1))
    keeper.release(1)
    await sender.hears(pubrec(2))


@pytest.mark.spec311("MQTT-4.3.3-1")
@pytest.mark.over_the_wire
async def test_a_qos_2_message_goes_through_its_four_packets(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    await sender.asks(publish("a", b"x", qos=2, packet_id=1), pubrec(1))
    await peer.hears(publish("a", b"x", qos=2, packet_id=1))
    await peer.says(puback(1))  # is no answer to QoS 2
    await peer.hears_nothing()
    await peer.asks(pubrec(1), pubrel(1))
    await peer.breaks()
    # From PUBREC on the message itself is not sent again, until PUBCOMP its PUBREL is.
    again = await rig.client("peer", clean=False, session_present=True)
    await again.hears(pubrel(1))
    await again.says(pubcomp(1))
    await again.hears_nothing()
    await again.breaks()
    third = await rig.client("peer", clean=False, session_present=True)
    await third.hears_nothing()


@pytest.mark.spec311("MQTT-4.3.3-1")
async def test_a_packet_id_in_use_by_qos_2_is_not_used_before_pubcomp(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    await sender.asks(publish("a", b"1", qos=2, packet_id=1), pubrec(1))
    await peer.hears(publish("a", b"1", qos=2, packet_id=1))
    await peer.asks(pubrec(1), pubrel(1))
    await sender.asks(publish("a", b"2", qos=2, packet_id=2), pubrec(2))
    await peer.hears(publish("a", b"2", qos=2, packet_id=2))


@pytest.mark.spec311("MQTT-4.3.3-2")
@pytest.mark.over_the_wire
async def test_a_qos_2_message_is_delivered_once_until_pubrel(rig: Rig) -> None:
    sender, peer = await rig.client("sender", clean=False), await rig.client("peer")
    await peer.asks(subscribe(1, ("a", 0)), suback(1, 0))
    message = publish("a", b"x", qos=2, packet_id=7)
    await sender.asks(message, pubrec(7))
    await sender.asks(publish("a", b"x", qos=2, packet_id=7, dup=True), pubrec(7))
    await sender.breaks()
    again = await rig.client("sender", clean=False, session_present=True)
    await again.asks(publish("a", b"x", qos=2, packet_id=7, dup=True), pubrec(7))
    await peer.hears(publish("a", b"x"))
    await peer.hears_nothing()
    await again.asks(pubrel(7), pubcomp(7))
    await again.asks(pubrel(7), pubcomp(7))  # as often as it is asked
    await again.asks(message, pubrec(7))  # and now it is a new one
    await peer.hears(publish("a", b"x"))


@pytest.mark.spec311("MQTT-4.6.0-1")
async def test_messages_are_sent_again_in_the_order_they_were_sent_first(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    for packet_id in range(1, 8):
        await sender.asks(publish("a", qos=1, packet_id=packet_id), puback(packet_id))
    await peer.hears(*(publish("a", qos=1, packet_id=packet_id) for packet_id in range(1, 8)))
    await peer.says(puback(5), puback(2))
    await peer.hears_nothing()
    await peer.breaks()
    again = await rig.peer()
    await again.asks(
        connect("peer", flags=0),
        connack(session_present=True),
        *(publish("a", qos=1, packet_id=packet_id, dup=True) for packet_id in (1, 3, 4, 6, 7)),
    )


@pytest.mark.spec311("MQTT-4.6.0-2", "MQTT-4.6.0-3")
@pytest.mark.parametrize("qos", [1, 2])
async def test_acknowledgements_leave_in_the_order_of_their_messages(rig: Rig, qos: int) -> None:
    keeper = rig.keep("in")
    sender = await rig.client("sender")
    answer = puback if qos == 1 else pubrec
    for packet_id in (9, 3, 6):
        await sender.says(publish("in", qos=qos, packet_id=packet_id))
    # One that nobody has to store waits as well.
    await sender.says(publish("elsewhere", qos=qos, packet_id=1))
    keeper.release(2)
    keeper.release(1)
    await sender.hears_nothing()
    keeper.release(0)
    await sender.hears(answer(9), answer(3), answer(6), answer(1))


@pytest.mark.spec311("MQTT-4.6.0-4")
async def test_pubrels_leave_in_the_order_of_their_pubrecs(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    for packet_id in (1, 2, 3):
        await sender.asks(publish("a", qos=2, packet_id=packet_id), pubrec(packet_id))
    await peer.hears(*(publish("a", qos=2, packet_id=packet_id) for packet_id in (1, 2, 3)))
    await peer.asks(pubrec(1) + pubrec(2) + pubrec(3), pubrel(1), pubrel(2), pubrel(3))


@pytest.mark.spec311("MQTT-4.6.0-4")
async def test_pubrels_are_sent_again_in_the_order_of_their_pubrecs(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    for packet_id in (1, 2, 3):
        await sender.asks(publish("a", qos=2, packet_id=packet_id), pubrec(packet_id))
    await peer.hears(*(publish("a", qos=2, packet_id=packet_id) for packet_id in (1, 2, 3)))
    await peer.asks(pubrec(3) + pubrec(1) + pubrec(2), pubrel(3), pubrel(1), pubrel(2))
    await peer.breaks()
    again = await rig.client("peer", clean=False, session_present=True)
    await again.hears(pubrel(3), pubrel(1), pubrel(2))


@pytest.mark.spec311("MQTT-4.6.0-5", "MQTT-4.6.0-6")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_messages_of_one_topic_and_qos_keep_their_order(rig: Rig, qos: int) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer")
    await peer.asks(subscribe(1, ("#", 2)), suback(1, 2))
    stream = [
        publish(topic, b"%d" % number, qos=qos, packet_id=number)
        for number in range(1, 201)
        for topic in ("a" if number % 3 else "b",)
    ]
    await sender.says(b"".join(stream))
    await peer.hears(*stream)


@pytest.mark.spec311("MQTT-4.6.0-6")
@pytest.mark.parametrize("qos", [1, 2])
async def test_order_holds_across_what_waited_and_what_comes_now(rig: Rig, qos: int) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 2)), suback(1, 2))
    await peer.breaks()
    answer = puback if qos == 1 else pubrec
    for number in range(1, 4):
        message = publish("a", b"%d" % number, qos=qos, packet_id=number)
        await sender.asks(message, answer(number))
    again = await rig.client("peer", clean=False, session_present=True)
    await sender.asks(publish("a", b"4", qos=qos, packet_id=4), answer(4))
    await again.hears(
        *(publish("a", b"%d" % number, qos=qos, packet_id=number) for number in range(1, 5))
    )
