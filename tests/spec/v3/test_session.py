"""MQTT 3.1.1 §3.1.2.4, §3.14, §4.1, §4.4 and §4.5: sessions, and what is kept in them."""

import pytest

from tests.octets import (
    DISCONNECT,
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

WILL, WILL_QOS_1 = 0x04, 0x08


@pytest.mark.spec311("MQTT-3.1.2-4", "MQTT-3.1.3-2", "MQTT-4.1.0-1")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("parting", ["DISCONNECT", "network"])
async def test_a_session_is_resumed_by_its_client_id(rig: Rig, parting: str) -> None:
    sender = await rig.client("sender")
    peer = await rig.client("kept", clean=False)
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    if parting == "network":
        await peer.breaks()
    else:
        await peer.says(DISCONNECT)
        await peer.ends()
    # Another client id is another session.
    other = await rig.client("Kept", clean=False)
    again = await rig.client("kept", clean=False, session_present=True)
    await sender.asks(publish("a", b"x", qos=1, packet_id=1), puback(1))
    await again.hears(publish("a", b"x", qos=1, packet_id=1))
    await other.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.2-5", "MQTT-4.5.0-1")
@pytest.mark.over_the_wire
async def test_qos_1_and_2_messages_wait_for_a_client_that_is_away(rig: Rig) -> None:
    sender = await rig.client("sender")
    peer = await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a/#", 2), ("b", 1)), suback(1, 2, 1))
    await peer.breaks()
    await sender.asks(publish("a/1", b"1", qos=1, packet_id=1), puback(1))
    await sender.asks(publish("c", b"-", qos=1, packet_id=2), puback(2))
    await sender.asks(publish("a/2", b"2", qos=2, packet_id=3), pubrec(3))
    await sender.asks(publish("b", b"3", qos=2, packet_id=4), pubrec(4))
    again = await rig.client("peer", clean=False, session_present=True)
    await again.hears(
        publish("a/1", b"1", qos=1, packet_id=1),
        publish("a/2", b"2", qos=2, packet_id=2),
        publish("b", b"3", qos=1, packet_id=3),
    )
    await again.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.2-6", "MQTT-3.1.4-3")
@pytest.mark.over_the_wire
async def test_clean_session_finds_nothing_and_leaves_nothing(rig: Rig) -> None:
    sender = await rig.client("sender")
    kept = await rig.client("c", clean=False)
    await kept.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await kept.breaks()
    await sender.asks(publish("a", b"1", qos=1, packet_id=1), puback(1))
    clean = await rig.client("c", clean=True)
    await sender.asks(publish("a", b"2", qos=1, packet_id=1), puback(1))
    await clean.hears_nothing()
    await clean.asks(subscribe(1, ("b", 1)), suback(1, 1))
    await clean.breaks()
    await sender.asks(publish("b", b"3", qos=1, packet_id=1), puback(1))
    again = await rig.client("c", clean=False)
    await sender.asks(publish("b", b"4", qos=1, packet_id=1), puback(1))
    await again.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.2-6")
async def test_a_clean_session_that_is_taken_over_is_not_resumed(rig: Rig) -> None:
    clean = await rig.client("c", clean=True)
    await clean.asks(subscribe(1, ("a", 1)), suback(1, 1))
    newer = await rig.client("c", clean=False, session_present=False)
    await clean.ends()
    await newer.says(publish("a", b"x"))
    await newer.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.2-6")
async def test_a_received_qos_2_packet_id_is_forgotten_with_a_clean_session(rig: Rig) -> None:
    keeper = rig.keep("in")
    sender = await rig.client("c", clean=True)
    await sender.says(publish("in", b"1", qos=2, packet_id=7))
    await sender.breaks()
    sender = await rig.client("c", clean=True)
    await sender.says(publish("in", b"2", qos=2, packet_id=7))
    await sender.hears_nothing()
    assert keeper.payloads == [b"1", b"2"]


@pytest.mark.spec311("MQTT-3.1.2-8")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("end", ["network", "violation", "takeover"])
async def test_the_will_is_published_when_the_connection_ends_without_disconnect(
    rig: Rig, end: str
) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("gone", 1)), suback(1, 1))
    peer = await rig.client("c", "gone", "c", flags=WILL | WILL_QOS_1)
    await watcher.hears_nothing()
    if end == "network":
        await peer.breaks()
    elif end == "violation":
        await peer.says(b"\x00\x00")
        await peer.ends()
    else:
        await rig.client("c")
        await peer.ends()
    await watcher.hears(publish("gone", b"c", qos=1, packet_id=1))


@pytest.mark.spec311("MQTT-3.1.2-10", "MQTT-3.14.4-3")
@pytest.mark.over_the_wire
async def test_the_will_is_forgotten_after_disconnect(rig: Rig) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("gone", 0)), suback(1, 0))
    peer = await rig.client("c", "gone", "c", clean=False, flags=WILL)
    await peer.says(DISCONNECT)
    await peer.ends()
    # Nor is it found in the session later.
    again = await rig.client("c", clean=False, session_present=True)
    await again.breaks()
    await watcher.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.2-10")
async def test_the_will_is_published_once(rig: Rig) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("gone", 0)), suback(1, 0))
    peer = await rig.client("c", "gone", "c", clean=False, flags=WILL)
    await peer.breaks()
    await watcher.hears(publish("gone", b"c"))
    again = await rig.client("c", clean=False, session_present=True)
    await again.breaks()
    await watcher.hears_nothing()


@pytest.mark.spec311("MQTT-3.14.1-1")
async def test_a_disconnect_with_a_body_is_a_violation(rig: Rig) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("gone", 0)), suback(1, 0))
    peer = await rig.client("c", "gone", "c", flags=WILL)
    await peer.says(b"\xe0\x01\x00")
    await peer.ends()
    await watcher.hears(publish("gone", b"c"))


@pytest.mark.spec311("MQTT-4.1.0-1")
async def test_subscriptions_are_kept_as_they_were_left(rig: Rig) -> None:
    sender = await rig.client("sender")
    peer = await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 2), ("b", 2), ("c", 0)), suback(1, 2, 2, 0))
    await peer.asks(subscribe(2, ("a", 1)), suback(2, 1))
    await peer.asks(unsubscribe(3, "b"), unsuback(3))
    await peer.breaks()
    again = await rig.client("peer", clean=False, session_present=True)
    for packet_id, topic in enumerate(("a", "b", "c"), 1):
        await sender.asks(publish(topic, qos=2, packet_id=packet_id), pubrec(packet_id))
    await again.hears(publish("a", qos=1, packet_id=1), publish("c"))
    await again.hears_nothing()


@pytest.mark.spec311("MQTT-4.1.0-2")
async def test_a_session_lasts_as_long_as_its_connection(rig: Rig) -> None:
    peers = [await rig.client("kept", clean=False), await rig.client("clean", clean=True)]
    for peer in peers:
        await peer.asks(subscribe(1, ("a", 0)), suback(1, 0))
    await rig.house.advance(10 * rig.house.broker.limits.session_expiry_s)
    sender = await rig.client("sender")
    await sender.says(publish("a", b"x"))
    for peer in peers:
        await peer.hears(publish("a", b"x"))


@pytest.mark.spec311("MQTT-4.4.0-1", "MQTT-4.6.0-1")
@pytest.mark.over_the_wire
async def test_what_was_not_acknowledged_is_sent_again_in_its_order(rig: Rig) -> None:
    sender = await rig.client("sender")
    peer = await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("#", 2)), suback(1, 2))
    first = []
    for packet_id, qos in ((1, 1), (2, 2), (3, 1), (4, 1), (5, 2)):
        message = publish("a", b"%d" % packet_id, qos=qos, packet_id=packet_id)
        await sender.asks(message, puback(packet_id) if qos == 1 else pubrec(packet_id))
        first.append(message)
    await peer.hears(*first)
    await peer.asks(pubrec(5), pubrel(5))
    await peer.says(puback(4))
    await peer.hears_nothing()
    await peer.breaks()
    for _ in range(2):  # as often as it takes
        again = await rig.client("peer", clean=False, session_present=True)
        messages = b"".join(
            publish("a", b"%d" % packet_id, qos=qos, packet_id=packet_id, dup=True)
            for packet_id, qos in ((1, 1), (2, 2), (3, 1))
        )
        heard = await again.takes(len(messages) + len(pubrel(5)))
        # PUBREL may go before the messages or behind them.
        assert heard in (pubrel(5) + messages, messages + pubrel(5))
        await again.hears_nothing()
        await again.breaks()


@pytest.mark.spec311("MQTT-4.4.0-1")
async def test_nothing_is_sent_again_while_the_connection_stands(rig: Rig) -> None:
    sender, peer = await rig.client("sender"), await rig.client("peer", clean=False)
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await sender.asks(publish("a", b"x", qos=1, packet_id=1), puback(1))
    await peer.hears(publish("a", b"x", qos=1, packet_id=1))
    await rig.house.advance(3600)
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-4.5.0-1")
async def test_a_message_the_server_has_taken_over_is_for_every_subscriber(rig: Rig) -> None:
    sender = await rig.client("sender")
    here, away = await rig.client("here"), await rig.client("away", clean=False)
    await here.asks(subscribe(1, ("a", 2)), suback(1, 2))
    await away.asks(subscribe(1, ("+", 2)), suback(1, 2))
    await away.breaks()
    await sender.asks(publish("a", b"x", qos=2, packet_id=1), pubrec(1))
    await sender.breaks()  # also if the sender never comes back
    await here.hears(publish("a", b"x", qos=2, packet_id=1))
    back = await rig.client("away", clean=False, session_present=True)
    await back.hears(publish("a", b"x", qos=2, packet_id=1))
    await back.asks(pubrec(1), pubrel(1))
    await back.says(pubcomp(1))
    await back.hears_nothing()
