"""MQTT 3.1.1 §3.1 and §3.2: CONNECT and its answer."""

import string

import pytest

from tests.octets import (
    DISCONNECT,
    PINGREQ,
    PINGRESP,
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

CLEAN, WILL, WILL_QOS_1, WILL_RETAIN, PASSWORD, USERNAME = 0x02, 0x04, 0x08, 0x20, 0x40, 0x80


@pytest.mark.spec311("MQTT-3.1.0-1")
@pytest.mark.parametrize(
    "first",
    [PINGREQ, DISCONNECT, publish("a"), subscribe(1, ("a", 0)), puback(1), connack()],
    ids=["PINGREQ", "DISCONNECT", "PUBLISH", "SUBSCRIBE", "PUBACK", "CONNACK"],
)
async def test_another_packet_before_connect_ends_the_connection(rig: Rig, first: bytes) -> None:
    peer = await rig.peer()
    await peer.says(first)
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.0-2")
@pytest.mark.over_the_wire
async def test_a_second_connect_ends_the_connection(rig: Rig) -> None:
    peer = await rig.client()
    await peer.says(connect())
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.0-2")
async def test_a_second_connect_in_the_same_read_ends_the_connection(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect() + connect())
    await peer.ends(connack())


@pytest.mark.spec311("MQTT-3.1.2-1")
@pytest.mark.parametrize("name", ["mqtt", "MQTt", "MQTTX", "MQT", "", "HTTP", "MQIsdp"])
async def test_another_protocol_name_is_not_served(rig: Rig, name: str) -> None:
    peer = await rig.peer()
    await peer.says(connect(name=name))
    heard = await peer.takes(4)
    # MQIsdp is a protocol of ours, at another level; of the others nothing is known.
    assert heard == (connack(1) if name == "MQIsdp" else b"")
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-2")
@pytest.mark.parametrize("level", [0, 1, 2, 3, 6, 127, 128, 132, 255])
async def test_a_level_that_is_not_supported_gets_return_code_1(rig: Rig, level: int) -> None:
    peer = await rig.peer()
    await peer.says(connect(level=level))
    await peer.ends(connack(1))


@pytest.mark.spec311("MQTT-3.1.2-3")
async def test_the_reserved_flag_ends_the_connection(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect(flags=CLEAN | 0x01))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-9")
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_the_will_has_its_topic_message_qos_and_retain(rig: Rig, qos: int) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("gone/#", 2)), suback(1, 2))
    flags = WILL | qos << 3 | WILL_RETAIN
    peer = await rig.client("c", "gone/c", b"\0\xff", flags=flags)
    await peer.breaks()
    await watcher.hears(publish("gone/c", b"\0\xff", qos=qos, packet_id=1))
    later = await rig.client("later")
    will = publish("gone/c", b"\0\xff", qos=qos, packet_id=1, retain=True)
    await later.asks(subscribe(1, ("gone/#", 2)), suback(1, 2), will)


@pytest.mark.spec311("MQTT-3.1.2-9")
@pytest.mark.parametrize("fields", [(), ("topic",)], ids=["no Will Topic", "no Will Message"])
async def test_a_will_flag_without_its_fields_ends_the_connection(
    rig: Rig, fields: tuple[str, ...]
) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", *fields, flags=CLEAN | WILL))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-15")
@pytest.mark.parametrize("flags", [WILL_QOS_1, 0x10, WILL_RETAIN])
async def test_a_will_qos_or_retain_without_the_will_flag_ends_the_connection(
    rig: Rig, flags: int
) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", flags=CLEAN | flags))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-11")
async def test_will_fields_without_the_will_flag_end_the_connection(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", "gone", "c", flags=CLEAN))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-12")
async def test_without_the_will_flag_nothing_is_published(rig: Rig) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("#", 0)), suback(1, 0))
    with_will = await rig.client("c", "gone", "c", flags=WILL)
    await with_will.says(DISCONNECT)
    await with_will.ends()
    without = await rig.client("c")
    await without.breaks()
    await watcher.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.2-14")
async def test_a_will_qos_of_3_ends_the_connection(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", "gone", "c", flags=CLEAN | WILL | 0x18))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-16")
async def test_a_will_without_retain_is_not_retained(rig: Rig) -> None:
    peer = await rig.client("c", "gone", "c", flags=WILL | WILL_QOS_1)
    await peer.breaks()
    later = await rig.client("later")
    await later.asks(subscribe(1, ("gone", 1)), suback(1, 1))
    await later.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.2-17")
async def test_a_will_with_retain_waits_for_who_comes_later(rig: Rig) -> None:
    peer = await rig.client("c", "gone", "c", flags=WILL | WILL_RETAIN)
    await peer.breaks()
    later = await rig.client("later")
    await later.asks(subscribe(1, ("gone", 1)), suback(1, 1), publish("gone", b"c", retain=True))


@pytest.mark.spec311("MQTT-3.1.2-18", "MQTT-3.1.2-20", "MQTT-3.1.3-1")
@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        (CLEAN, ("user",)),
        (CLEAN, ("user", "password")),
        (CLEAN | USERNAME, ("user", "password")),
        (CLEAN | USERNAME | PASSWORD, ("user", "password", "more")),
    ],
)
async def test_a_field_that_no_flag_announces_ends_the_connection(
    rig: Rig, flags: int, fields: tuple[str, ...]
) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", *fields, flags=flags))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-19", "MQTT-3.1.2-21")
@pytest.mark.parametrize(
    ("flags", "fields"),
    [(CLEAN | USERNAME, ()), (CLEAN | USERNAME | PASSWORD, ("user",))],
    ids=["user name", "password"],
)
async def test_a_field_that_its_flag_announces_and_that_is_missing_ends_the_connection(
    rig: Rig, flags: int, fields: tuple[str, ...]
) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", *fields, flags=flags))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-19", "MQTT-3.1.2-21")
async def test_user_name_and_password_say_who_the_client_is(rig: Rig) -> None:
    peer = await rig.client("c", "narrow", "secret", flags=USERNAME | PASSWORD)
    await peer.asks(subscribe(1, ("own/a", 0), ("others/a", 0)), suback(1, 0, 0x80))


@pytest.mark.spec311("MQTT-3.1.2-22")
async def test_a_password_without_a_user_name_ends_the_connection(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", "secret", flags=CLEAN | PASSWORD))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.2-24")
async def test_silence_for_one_and_a_half_keep_alives_ends_the_connection(rig: Rig) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("gone", 0)), suback(1, 0))
    peer = await rig.client("c", "gone", "c", flags=WILL, keep_alive=10)
    await rig.house.advance(14.9)
    await peer.asks(PINGREQ, PINGRESP)
    await rig.house.advance(14.9)
    await peer.asks(publish("a", qos=1, packet_id=1), puback(1))  # any packet counts
    await rig.house.advance(15.1)
    await peer.ends()
    await watcher.hears(publish("gone", b"c"))  # as if the network had failed


@pytest.mark.spec311("MQTT-3.1.2-24")
async def test_a_keep_alive_of_zero_lets_a_client_be_silent(rig: Rig) -> None:
    peer = await rig.client(keep_alive=0)
    await rig.house.advance(100_000)
    await peer.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.3-1")
async def test_the_fields_of_connect_are_read_in_their_order(rig: Rig) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("own/gone", 0)), suback(1, 0))
    fields = ("own/gone", "will message", "narrow", "secret")
    peer = await rig.client("c", *fields, flags=WILL | USERNAME | PASSWORD)
    await peer.asks(subscribe(1, ("own/a", 0), ("others/a", 0)), suback(1, 0, 0x80))
    assert "c" in rig.house.broker.sessions
    await peer.breaks()
    await watcher.hears(publish("own/gone", b"will message"))


@pytest.mark.spec311("MQTT-3.1.3-3")
@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\x05c"], ids=["none", "half", "cut"])
async def test_a_connect_without_a_whole_client_id_ends_the_connection(
    rig: Rig, payload: bytes
) -> None:
    peer = await rig.peer()
    head = field("MQTT") + bytes([4, CLEAN]) + number(60)
    await peer.says(packet(0x10, head, payload))
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11")
@pytest.mark.parametrize(
    "request_bytes",
    [
        connect(b"\xff"),
        connect("c", b"\xff", "m", flags=CLEAN | WILL),
        connect("c", b"\xff", flags=CLEAN | USERNAME),
    ],
    ids=["client id", "Will Topic", "user name"],
)
async def test_a_string_of_connect_that_is_no_utf8_ends_the_connection(
    rig: Rig, request_bytes: bytes
) -> None:
    peer = await rig.peer()
    await peer.says(request_bytes)
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11")
async def test_strings_of_connect_may_hold_any_character(rig: Rig) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("fort/ŝ😀", 0)), suback(1, 0))
    peer = await rig.client("klient-ŝ😀", "fort/ŝ😀", b"\xff", "ŝ😀", flags=WILL | USERNAME)
    assert "klient-ŝ😀" in rig.house.broker.sessions
    await peer.breaks()
    await watcher.hears(publish("fort/ŝ😀", b"\xff"))


@pytest.mark.spec311("MQTT-3.1.3-5")
async def test_every_client_id_of_letters_and_digits_is_accepted(rig: Rig) -> None:
    letters = string.digits + string.ascii_lowercase + string.ascii_uppercase
    for client_id in ["a", *letters, letters[:23], letters[23:46], letters[-23:]]:
        peer = await rig.client(client_id)
        await peer.says(DISCONNECT)
        await peer.ends()


@pytest.mark.spec311("MQTT-3.1.3-6")
async def test_clients_without_a_client_id_are_each_given_one(rig: Rig) -> None:
    first, second = await rig.client(""), await rig.client("")
    await first.asks(subscribe(1, ("a", 0)), suback(1, 0))
    await second.hears_nothing()
    assert len(rig.house.broker.sessions) == 2
    assert "" not in rig.house.broker.sessions


@pytest.mark.spec311("MQTT-3.1.3-8")
@pytest.mark.over_the_wire
async def test_no_client_id_and_no_clean_session_gets_return_code_2(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect("", flags=0))
    await peer.ends(connack(2))


@pytest.mark.spec311("MQTT-3.1.3-9")
async def test_a_client_id_that_is_too_long_for_us_gets_return_code_2(rig: Rig) -> None:
    accepted = await rig.client("x" * 256)
    await accepted.hears_nothing()
    peer = await rig.peer()
    await peer.says(connect("x" * 257))
    await peer.ends(connack(2))


@pytest.mark.spec311("MQTT-3.1.4-1")
@pytest.mark.parametrize(
    "bad",
    [
        connect(flags=0x03),
        connect("c", "a/#", "m", flags=CLEAN | WILL),
        packet(0x10, b""),
        packet(0x10, field("MQTT")),
        packet(0x10, field("MQTT") + bytes([4, CLEAN, 0])),
        b"\x10\xff\xff\xff\xff\x01",
        b"\x10\x80\x00",
    ],
    ids=["flags", "Will Topic", "empty", "cut", "half a Keep Alive", "endless", "long length"],
)
async def test_a_connect_against_the_rules_ends_the_connection_without_connack(
    rig: Rig, bad: bytes
) -> None:
    peer = await rig.peer()
    await peer.says(bad)
    await peer.ends()


@pytest.mark.spec311("MQTT-3.1.4-2")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("clean", [True, False])
async def test_a_newer_connection_with_the_same_client_id_ends_the_older(
    rig: Rig, clean: bool
) -> None:
    other = await rig.client("other")
    older = await rig.client("c", clean=clean)
    newer = await rig.client("c", clean=clean, session_present=not clean)
    await older.ends()
    await newer.hears_nothing()
    await other.hears_nothing()


@pytest.mark.spec311("MQTT-3.1.4-4", "MQTT-3.2.0-1")
@pytest.mark.over_the_wire
async def test_connack_with_0_is_the_first_that_a_client_hears(rig: Rig) -> None:
    peer = await rig.client("c", clean=False)
    await peer.asks(subscribe(1, ("a", 1)), suback(1, 1))
    await peer.breaks()
    sender = await rig.client("sender")
    await sender.asks(publish("a", b"x", qos=1, packet_id=1), puback(1))
    # Also where a message has waited, and where more comes with CONNECT.
    again = await rig.peer()
    await again.says(connect("c", flags=0) + PINGREQ)
    await again.hears(
        connack(session_present=True), publish("a", b"x", qos=1, packet_id=1), PINGRESP
    )


@pytest.mark.spec311("MQTT-3.1.4-5")
@pytest.mark.over_the_wire
async def test_what_comes_behind_a_refused_connect_is_not_carried_out(rig: Rig) -> None:
    watcher = await rig.client("watcher")
    await watcher.asks(subscribe(1, ("#", 0)), suback(1, 0))
    peer = await rig.peer()
    request = connect("c", "wrong", "x", flags=CLEAN | USERNAME | PASSWORD)
    await peer.says(request + publish("a", b"x", retain=True) + PINGREQ)
    await peer.ends(connack(4))
    await watcher.hears_nothing()
    await watcher.asks(subscribe(2, ("a", 0)), suback(2, 0))
    await watcher.hears_nothing()


@pytest.mark.spec311("MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-3.1.4-3")
@pytest.mark.over_the_wire
async def test_session_present_says_whether_a_session_was_kept(rig: Rig) -> None:
    for clean, is_present in [
        (True, False),
        (False, False),  # nothing was kept of the clean one
        (False, True),
        (False, True),
        (True, False),  # one is kept, and now discarded
        (False, False),
    ]:
        peer = await rig.client("c", clean=clean, session_present=is_present)
        await peer.says(DISCONNECT)
        await peer.ends()


REFUSALS = {"wrong": 4, "stranger": 5, "away": 3}


@pytest.mark.spec311("MQTT-3.2.2-4", "MQTT-3.2.2-5")
@pytest.mark.parametrize("username", REFUSALS)
async def test_a_refusal_has_its_return_code_no_session_and_ends_the_connection(
    rig: Rig, username: str
) -> None:
    kept = await rig.client("c", clean=False)
    await kept.breaks()
    peer = await rig.peer()
    await peer.says(connect("c", username, flags=USERNAME))
    await peer.ends(connack(REFUSALS[username]))
    # Nothing became of it for the one who was refused.
    await rig.client("c", clean=False, session_present=True)


@pytest.mark.spec311("MQTT-3.2.2-4")
async def test_somebody_elses_client_id_is_refused_while_he_is_connected(rig: Rig) -> None:
    owner = await rig.client("c", clean=False)
    peer = await rig.peer()
    await peer.says(connect("c", "narrow", flags=USERNAME))
    await peer.ends(connack(2))
    await owner.hears_nothing()


@pytest.mark.spec311("MQTT-3.2.2-6", "MQTT-3.1.4-1")
async def test_where_no_return_code_fits_the_connection_ends_without_connack(rig: Rig) -> None:
    peer = await rig.peer()
    await peer.says(connect("c", "a/+", "m", flags=CLEAN | WILL))  # a Will nobody may publish
    await peer.ends()
