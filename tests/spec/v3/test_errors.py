"""MQTT 3.1.1 §4.8: what happens to a client that breaks the rules, and to the others."""

import pytest

from tests.octets import (
    connack,
    connect,
    field,
    number,
    packet,
    puback,
    publish,
    suback,
    subscribe,
)
from tests.spec.v3.rig import Rig

USERNAME = 0x80

VIOLATIONS = {
    "packet type 0": b"\x00\x00",
    "packet type 15": b"\xf0\x00",
    "CONNACK": connack(),
    "SUBACK": suback(1, 0),
    "UNSUBACK": b"\xb0\x02\x00\x01",
    "PINGRESP": b"\xd0\x00",
    "PINGREQ with a body": b"\xc0\x01\x00",
    "PUBACK that is too short": packet(0x40, b"\0"),
    "PUBACK that is too long": packet(0x40, number(1), b"\0"),
    "an endless Remaining Length": b"\x30\xff\xff\xff\xff\x01",
    "a Remaining Length that is longer than needed": b"\x30\x83\x00\x00\x01a",
    "256 MB announced": b"\x30\xff\xff\xff\x7f",
    "SUBSCRIBE that is cut": packet(0x82, number(1), b"\0\5a"),
}


@pytest.mark.spec311("MQTT-4.8.0-1")
@pytest.mark.parametrize("kind", VIOLATIONS)
async def test_a_violation_ends_that_connection_and_no_other(rig: Rig, kind: str) -> None:
    other = await rig.client("other")
    peer = await rig.client()
    await peer.says(VIOLATIONS[kind])
    await peer.ends()  # below MQTT 5 a server has no DISCONNECT
    await other.hears_nothing()


@pytest.mark.spec311("MQTT-4.8.0-1")
@pytest.mark.over_the_wire
async def test_what_came_before_a_violation_is_carried_out_and_nothing_after_it(rig: Rig) -> None:
    other = await rig.client("other")
    await other.asks(subscribe(1, ("a", 0)), suback(1, 0))
    peer = await rig.client()
    await peer.says(
        publish("a", b"1", qos=1, packet_id=1) + b"\x00\x00" + publish("a", b"2", qos=0)
    )
    await peer.ends(puback(1))
    await other.hears(publish("a", b"1"))
    await other.hears_nothing()


@pytest.mark.spec311("MQTT-4.8.0-1")
@pytest.mark.parametrize("kind", VIOLATIONS)
async def test_a_violation_is_found_however_the_bytes_are_cut(rig: Rig, kind: str) -> None:
    peer = await rig.client()
    await peer.says(*(bytes([byte]) for byte in VIOLATIONS[kind]))
    await peer.ends()


@pytest.mark.spec311("MQTT-4.8.0-2")
async def test_an_authenticator_that_cannot_answer_ends_the_connection(rig: Rig) -> None:
    other = await rig.client("other")
    peer = await rig.peer()
    await peer.says(connect("c", "away", flags=0x02 | USERNAME))
    await peer.ends(connack(3))
    await other.hears_nothing()


@pytest.mark.spec311("MQTT-4.8.0-2")
async def test_a_fault_while_connect_is_processed_ends_the_connection(rig: Rig) -> None:
    other = await rig.client("other")
    peer = await rig.peer()
    await peer.says(connect("c", "broken", flags=0x02 | USERNAME))
    await peer.ends(connack(3))
    await other.hears_nothing()


@pytest.mark.spec311("MQTT-4.8.0-2")
async def test_a_packet_beyond_what_the_server_takes_ends_the_connection(rig: Rig) -> None:
    limit = rig.house.server.limits.maximum_packet_size
    fits = publish("a", bytes(limit - 2 - len(field("a")) - 2))
    assert len(fits) == limit
    peer = await rig.client()
    await peer.says(fits)
    await peer.hears_nothing()
    await peer.says(publish("a", bytes(limit)))
    await peer.ends()
