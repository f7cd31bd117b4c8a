"""MQTT 5.0 §3.1.2.5, §3.1.3.2: the Will."""

import pytest

from fleetwire.broker.broker import Limits
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish
from tests.octets import field
from tests.spec.v5.test_connect import connect_bytes, is_refused
from tests.spec.wire import House, MakeHouse, Wire

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 3600}


def will(
    *, delay: int = 0, qos: int = 1, retain: bool = False, properties: Properties | None = None
) -> Publish:
    said: Properties = {c.WILL_DELAY_INTERVAL: delay} if delay else {}
    return Publish("a/will", b"gone", qos, retain, properties=said | (properties or {}) or None)


@pytest.fixture
async def watcher(house: House) -> Wire:
    """Somebody who hears Wills."""
    wire = await house.client("watcher")
    await wire.subscribe("a/#", 2, retain_as_published=True)
    return wire


@pytest.mark.spec("MQTT-3.1.2-7", "MQTT-3.1.2-8")
@pytest.mark.over_the_wire
async def test_the_will_goes_out_when_the_connection_is_lost(house: House, watcher: Wire) -> None:
    wire = await house.client(will=will())
    assert await watcher.rest() == []
    await wire.cut()
    (message,) = await watcher.messages()
    assert (message.topic_name, message.payload, message.qos) == ("a/will", b"gone", 1)


@pytest.mark.spec("MQTT-3.1.2-8")
@pytest.mark.parametrize("reason_code", [0x04, 0x80, 0x99])
async def test_a_disconnect_with_a_reason_sends_the_will(
    house: House, watcher: Wire, reason_code: int
) -> None:
    wire = await house.client(will=will())
    await wire.disconnect(reason_code)
    assert len(await watcher.messages()) == 1


@pytest.mark.spec("MQTT-3.1.2-8")
async def test_a_protocol_error_sends_the_will(house: House, watcher: Wire) -> None:
    wire = await house.client(will=will())
    wire.send_bytes("00 00")
    await wire.end()
    assert len(await watcher.messages()) == 1


@pytest.mark.spec("MQTT-3.1.2-8")
async def test_silence_past_keep_alive_sends_the_will(house: House, watcher: Wire) -> None:
    await house.client(will=will(), keep_alive=10)
    await house.advance(16)
    assert len(await watcher.messages()) == 1


@pytest.mark.spec("MQTT-3.1.2-10", "MQTT-3.14.4-3")
@pytest.mark.over_the_wire
async def test_a_normal_disconnect_discards_the_will(house: House, watcher: Wire) -> None:
    wire = await house.client(will=will())
    await wire.disconnect()
    await house.advance(10)
    assert await watcher.rest() == []


@pytest.mark.spec("MQTT-3.1.2-10")
async def test_a_will_goes_out_once(house: House, watcher: Wire) -> None:
    wire = await house.client("c", will=will(), properties=KEPT)
    await wire.cut()
    assert len(await watcher.messages()) == 1
    again = await house.client("c", clean=False, properties=KEPT)  # without a Will
    await again.cut()
    await house.advance(4000)
    assert await watcher.rest() == []


@pytest.mark.spec("MQTT-3.1.2-8")
async def test_a_delayed_will_waits_for_its_delay(house: House, watcher: Wire) -> None:
    wire = await house.client(will=will(delay=60), properties=KEPT)
    await wire.cut()
    await house.advance(59)
    assert await watcher.rest() == []
    await house.advance(2)
    (message,) = await watcher.messages()
    assert message.properties is None  # Will Delay Interval is none of a PUBLISH


@pytest.mark.spec("MQTT-3.1.2-8")
async def test_a_delayed_will_goes_out_when_the_session_ends_first(
    house: House, watcher: Wire
) -> None:
    wire = await house.client(will=will(delay=60), properties={c.SESSION_EXPIRY_INTERVAL: 10})
    await wire.cut()
    await house.advance(9)
    assert await watcher.rest() == []
    await house.advance(2)
    assert len(await watcher.messages()) == 1


async def test_a_delay_without_a_session_is_none(house: House, watcher: Wire) -> None:
    wire = await house.client(will=will(delay=60))
    await wire.cut()
    assert len(await watcher.messages()) == 1


async def test_a_clean_start_ends_the_session_and_sends_its_delayed_will(
    house: House, watcher: Wire
) -> None:
    wire = await house.client("c", will=will(delay=60), properties=KEPT)
    await wire.cut()
    await house.client("c", clean=True)
    assert len(await watcher.messages()) == 1


@pytest.mark.spec("MQTT-3.1.3-9")
async def test_a_client_that_is_back_in_time_keeps_its_will_unsaid(
    house: House, watcher: Wire
) -> None:
    wire = await house.client("c", will=will(delay=60), properties=KEPT)
    await wire.cut()
    await house.advance(30)
    await house.client("c", clean=False, properties=KEPT)
    await house.advance(4000)
    assert await watcher.rest() == []


@pytest.mark.spec("MQTT-3.1.3-9")
async def test_a_take_over_keeps_a_delayed_will_unsaid(house: House, watcher: Wire) -> None:
    await house.client("c", will=will(delay=60), properties=KEPT)
    await house.client("c", clean=False, properties=KEPT)
    await house.advance(4000)
    assert await watcher.rest() == []


@pytest.mark.spec("MQTT-3.1.2-8")
async def test_a_take_over_sends_a_will_without_delay(house: House, watcher: Wire) -> None:
    await house.client("c", will=will(), properties=KEPT)
    await house.client("c", clean=False, properties=KEPT)
    assert len(await watcher.messages()) == 1


@pytest.mark.spec("MQTT-3.1.2-11", "MQTT-3.1.2-13")
@pytest.mark.parametrize("flags", [0x0A, 0x12, 0x22])
async def test_will_qos_and_will_retain_need_a_will(house: House, flags: int) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes(flags=flags))
    assert await is_refused(wire, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.1.2-12")
async def test_will_qos_3_is_malformed(house: House) -> None:
    wire = await house.wire()
    payload = field(b"c") + b"\0" + field(b"a") + field(b"x")
    wire.send_bytes(connect_bytes(flags=0x1E, payload=payload))
    assert await is_refused(wire, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.1.2-12")
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_the_will_has_the_qos_it_was_given(house: House, watcher: Wire, qos: int) -> None:
    wire = await house.client(will=will(qos=qos))
    await wire.cut()
    assert [message.qos for message in await watcher.messages()] == [qos]


@pytest.mark.spec("MQTT-3.1.2-14", "MQTT-3.1.2-15")
@pytest.mark.parametrize("retain", [False, True])
async def test_the_will_is_retained_if_it_says_so(
    house: House, watcher: Wire, retain: bool
) -> None:
    wire = await house.client(will=will(retain=retain))
    await wire.cut()
    assert [message.retain for message in await watcher.messages()] == [retain]
    late = await house.client("late")
    await late.subscribe("a/#")
    assert [message.payload for message in await late.messages()] == [b"gone"] * retain


@pytest.mark.spec("MQTT-3.1.2-9")
@pytest.mark.parametrize(
    "payload",
    [
        field(b"c"),
        field(b"c") + b"\0",
        field(b"c") + b"\0" + field(b"a"),
        field(b"c") + field(b"a") + field(b"x"),  # no Will Properties
    ],
)
async def test_an_announced_will_must_be_there(house: House, payload: bytes) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes(flags=0x06, payload=payload))
    assert await is_refused(wire, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.1.3-10")
async def test_the_user_properties_of_a_will_keep_their_order(house: House, watcher: Wire) -> None:
    pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("", "")]
    wire = await house.client(will=will(properties={c.USER_PROPERTY: pairs}))
    await wire.cut()
    (message,) = await watcher.messages()
    assert message.properties == {c.USER_PROPERTY: pairs}


async def test_the_properties_of_a_will_are_passed_on(house: House, watcher: Wire) -> None:
    properties: Properties = {
        c.PAYLOAD_FORMAT_INDICATOR: 1,
        c.MESSAGE_EXPIRY_INTERVAL: 100,
        c.CONTENT_TYPE: "text/plain",
        c.RESPONSE_TOPIC: "a/answer",
        c.CORRELATION_DATA: b"\0\1",
    }
    wire = await house.client(will=will(delay=30, properties=properties), properties=KEPT)
    await wire.cut()
    await house.advance(31)
    (message,) = await watcher.messages()
    assert message.properties == properties  # its lifetime begins when it is published


@pytest.mark.spec("MQTT-3.1.3-11")
async def test_a_will_topic_that_is_not_utf8_is_refused(house: House) -> None:
    wire = await house.wire()
    payload = field(b"c") + b"\0" + field(b"\xed\xa0\x80") + field(b"x")
    wire.send_bytes(connect_bytes(flags=0x06, payload=payload))
    assert await is_refused(wire, c.MALFORMED_PACKET)


@pytest.mark.parametrize("topic", [b"a/#", b"+", b""])
async def test_a_will_topic_that_is_no_topic_name_is_refused(house: House, topic: bytes) -> None:
    wire = await house.wire()
    payload = field(b"c") + b"\0" + field(topic) + field(b"x")
    wire.send_bytes(connect_bytes(flags=0x06, payload=payload))
    assert await is_refused(wire, c.TOPIC_NAME_INVALID)


async def test_a_will_that_its_client_may_not_publish_is_refused(house: House) -> None:
    wire = await house.wire()
    connack = await wire.connect(username="limited", password=b"secret", will=will())
    assert connack.reason_code == c.NOT_AUTHORIZED
    assert await wire.end() == []


@pytest.mark.spec("MQTT-3.2.2-13")
async def test_a_retained_will_is_refused_where_nothing_is_retained(
    make_house: MakeHouse,
) -> None:
    house = await make_house(limits=Limits(retained_messages=0))
    wire = await house.wire()
    connack = await wire.connect(will=will(retain=True))
    assert connack.reason_code == c.RETAIN_NOT_SUPPORTED
    assert await wire.end() == []
    plain = await house.wire()
    connack = await plain.connect(will=will())
    assert connack.reason_code == 0
    assert connack.properties is not None
    assert connack.properties[c.RETAIN_AVAILABLE] == 0
