"""MQTT 3.1 (IBM's specification of 2010, `MQIsdp` level 3): where it differs from 3.1.1.

It has no numbered statements, so these tests carry no tags.
"""

import pytest

from tests.octets import (
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    connack,
    connect,
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
from tests.spec.v3.rig import Peer, Rig

CLEAN, WILL, USERNAME, PASSWORD = 0x02, 0x04, 0x80, 0x40


def connect31(client_id: str, *fields: str | bytes, flags: int = CLEAN) -> bytes:
    return connect(client_id, *fields, flags=flags, name="MQIsdp", level=3, keep_alive=0)


async def client31(rig: Rig, client_id: str, *fields: str, flags: int = CLEAN) -> Peer:
    peer = await rig.peer()
    await peer.asks(connect31(client_id, *fields, flags=flags), connack())
    return peer


@pytest.mark.over_the_wire
async def test_a_3_1_client_connects_subscribes_publishes_and_leaves(rig: Rig) -> None:
    peer = await client31(rig, "c")
    await peer.asks(subscribe(1, ("a/+", 2)), suback(1, 2))
    sender = await client31(rig, "sender")
    await sender.says(publish("a/0", b"0"))
    await peer.hears(publish("a/0", b"0"))
    await sender.asks(publish("a/1", b"1", qos=1, packet_id=1), puback(1))
    await peer.hears(publish("a/1", b"1", qos=1, packet_id=1))
    await peer.says(puback(1))
    await sender.asks(publish("a/2", b"2", qos=2, packet_id=2), pubrec(2))
    await sender.asks(pubrel(2), pubcomp(2))
    await peer.hears(publish("a/2", b"2", qos=2, packet_id=2))
    await peer.asks(pubrec(2), pubrel(2))
    await peer.says(pubcomp(2))
    await peer.asks(unsubscribe(2, "a/+"), unsuback(2))
    await peer.asks(PINGREQ, PINGRESP)
    await peer.says(DISCONNECT)
    await peer.ends()


@pytest.mark.parametrize("length", [1, 23, 24, 64, 256])
async def test_a_client_id_longer_than_23_characters_is_accepted(rig: Rig, length: int) -> None:
    await client31(rig, "x" * length)


async def test_a_client_id_beyond_our_own_bound_is_rejected(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect31("x" * 257))
    await peer.ends(connack(2))


@pytest.mark.parametrize("flags", [CLEAN, 0], ids=["clean", "kept"])
async def test_an_empty_client_id_is_rejected(rig: Rig, flags: int) -> None:
    peer = await rig.peer()
    await peer.says(connect31("", flags=flags))
    await peer.ends(connack(2))


async def test_connack_has_no_session_present(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.asks(connect31("c", flags=0), connack())
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await peer.breaks()
    sender = await rig.client("sender")
    await sender.asks(publish("a", b"x", qos=1, packet_id=1), puback(1))
    again = await rig.peer()
    # The session is there all the same.
    await again.asks(connect31("c", flags=0), connack(), publish("a", b"x", qos=1, packet_id=1))


async def test_the_reserved_flag_of_connect_means_nothing(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.asks(connect31("c", flags=CLEAN | 0x01), connack())


@pytest.mark.parametrize("level", [0, 2, 4, 5])
async def test_mqisdp_at_another_level_gets_return_code_1(rig: Rig, level: int) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", name="MQIsdp", level=level))
    await peer.ends(connack(1))


@pytest.mark.parametrize(("username", "code"), [("away", 3), ("wrong", 4), ("stranger", 5)])
async def test_refusals_have_the_return_codes_of_3_1(rig: Rig, username: str, code: int) -> None:
    peer = await rig.peer()
    await peer.says(connect31("c", username, flags=CLEAN | USERNAME))
    await peer.ends(connack(code))


async def test_what_is_sent_again_may_carry_dup_on_any_packet(rig: Rig) -> None:
    peer = await client31(rig, "c")
    await peer.asks(b"\x8a" + subscribe(1, ("a", 1))[1:], suback(1, 1))
    await peer.asks(publish("b", qos=2, packet_id=2), pubrec(2))
    await peer.asks(b"\x6a" + pubrel(2)[1:], pubcomp(2))
    await peer.asks(b"\xaa" + unsubscribe(3, "a")[1:], unsuback(3))


async def test_reserved_bits_of_a_requested_qos_mean_nothing(rig: Rig) -> None:
    peer = await client31(rig, "c")
    await peer.asks(subscribe(1, ("a", 0xFD)), suback(1, 1))
    await peer.says(subscribe(2, ("a", 3)))
    await peer.ends()  # QoS 3 is reserved there too


async def test_a_subscription_that_is_refused_gets_the_failure_code_of_3_1_1(rig: Rig) -> None:
    peer = await client31(rig, "c", "narrow", flags=CLEAN | USERNAME)
    await peer.asks(subscribe(1, ("others", 1), ("own/a", 1)), suback(1, 0x80, 1))


async def test_the_will_goes_out_as_in_3_1_1(rig: Rig) -> None:
    watcher = await client31(rig, "watcher")
    await watcher.asks(subscribe(1, ("gone", 1)), suback(1, 1))
    peer = await client31(rig, "c", "gone", "c", flags=CLEAN | WILL | 0x08)
    await peer.breaks()
    await watcher.hears(publish("gone", b"c", qos=1, packet_id=1))


async def test_dup_with_qos_0_means_nothing(rig: Rig) -> None:
    peer = await client31(rig, "c")
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await peer.asks(publish("a", b"x", dup=True), publish("a", b"x"))


async def test_versions_hear_each_other(rig: Rig) -> None:
    old, new = await client31(rig, "old"), await rig.client("new")
    for peer in (old, new):
        await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await new.says(publish("a", b"x"))
    for peer in (old, new):
        await peer.hears(publish("a", b"x"))


async def test_a_session_left_in_3_1_is_resumed_in_3_1_1(rig: Rig) -> None:
    old = await client31(rig, "c", flags=0)
    await old.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await old.says(DISCONNECT)
    await old.ends()
    new = await rig.client("c", clean=False, session_present=True)
    await new.says(publish("a", b"x"))
    await new.hears(publish("a", b"x"))


async def test_auth_does_not_exist(rig: Rig) -> None:
    peer = await client31(rig, "c")
    await peer.says(packet(0xF0, b"\0"))
    await peer.ends()
