"""MQTT 5.0 §3.4 to §3.7: PUBACK, PUBREC, PUBREL, PUBCOMP."""

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish
from tests.spec.wire import House, Wire

PUBACK_CODES = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}  # PUBREC has the same
PUBREL_CODES = {0x00, 0x92}  # and PUBCOMP


@pytest.mark.spec("MQTT-3.4.2-1", "MQTT-3.5.2-1")
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_publish_is_answered_with_a_reason_code_of_its_table(
    house: House, qos: int
) -> None:
    wire = await house.client(username="limited", password=b"secret")
    deep = "free/" + "/".join("x" * 100)
    text = {c.PAYLOAD_FORMAT_INDICATOR: 1}
    codes = [
        await wire.publish("free/a", qos=qos),
        await wire.publish("secret/a", qos=qos),
        await wire.publish(deep, qos=qos),
        await wire.publish("free/a", b"\xff", qos, properties=text),  # type: ignore[arg-type]
    ]
    assert codes == [
        c.NO_MATCHING_SUBSCRIBERS,
        c.NOT_AUTHORIZED,
        c.TOPIC_NAME_INVALID,
        c.PAYLOAD_FORMAT_INVALID,
    ]
    assert set(codes) <= PUBACK_CODES
    await wire.subscribe("free/#")
    assert await wire.publish("free/a", qos=qos) == 0


@pytest.mark.spec("MQTT-3.6.2-1", "MQTT-3.7.2-1")
async def test_unknown_packet_identifiers_are_answered_with_0x92(house: House) -> None:
    wire = await house.client()
    wire.send(Ack(c.PUBREC, 77), Ack(c.PUBREL, 78), Ack(c.PUBREC, 79, 0x80))
    answers = [packet for packet in await wire.rest() if isinstance(packet, Ack)]
    assert [(ack.type, ack.packet_id, ack.reason_code) for ack in answers][:2] == [
        (c.PUBREL, 77, c.PACKET_IDENTIFIER_NOT_FOUND),
        (c.PUBCOMP, 78, c.PACKET_IDENTIFIER_NOT_FOUND),
    ]
    assert {ack.reason_code for ack in answers} <= PUBREL_CODES
    assert await wire.is_alive()


@pytest.mark.spec("MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3")
@pytest.mark.spec("MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-2", "MQTT-3.7.2-3")
async def test_acknowledgements_fit_a_client_that_takes_little(house: House) -> None:
    wire = await house.client(
        username="limited", password=b"secret", properties={c.MAXIMUM_PACKET_SIZE: 20}
    )
    wire.send(Publish("secret/a", b"x", 1, packet_id=1), Publish("secret/a", b"x", 2, packet_id=2))
    wire.send(Ack(c.PUBREC, 77), Ack(c.PUBREL, 78))
    answers = await wire.rest()
    assert [packet.type for packet in answers] == [c.PUBACK, c.PUBREC, c.PUBREL, c.PUBCOMP]
    for answer in answers:
        assert isinstance(answer, Ack)
        assert answer.properties is None


@pytest.mark.parametrize("reason_code", [0x00, 0x10])
@pytest.mark.parametrize("form", ["short", "with code", "with properties"])
async def test_every_form_of_an_acknowledgement_is_understood(
    house: House, form: str, reason_code: int
) -> None:
    wire, publisher = await house.client("c"), await house.client("publisher")
    await wire.subscribe("a", 1)
    await publisher.publish("a", qos=1)
    (message,) = await wire.messages()
    code = "" if form == "short" else f"{reason_code:02x}"
    properties = "06 1f 00 03 77 68 79" if form == "with properties" else ""
    body = bytes.fromhex(f"{message.packet_id:04x} {code} {properties}")
    wire.send_bytes(bytes([0x40, len(body)]) + body)
    await wire.barrier()
    assert not house.broker.sessions["c"].inflight


async def test_a_puback_for_nothing_is_let_pass(house: House) -> None:
    wire = await house.client()
    wire.send(Ack(c.PUBACK, 77), Ack(c.PUBCOMP, 78))
    assert await wire.rest() == []
    assert await wire.is_alive()


@pytest.fixture
async def receiver(house: House) -> Wire:
    """A client in the middle of a QoS 2 exchange: it has PUBLISH with packet identifier 1."""
    wire, publisher = await house.client("c"), await house.client("publisher")
    await wire.subscribe("a", 2)
    await publisher.publish("a", qos=2)
    (message,) = await wire.messages()
    assert message.packet_id == 1
    return wire


async def test_an_acknowledgement_of_the_wrong_kind_ends_nothing(
    house: House, receiver: Wire
) -> None:
    receiver.send(Ack(c.PUBACK, 1), Ack(c.PUBCOMP, 1))
    await receiver.rest()
    receiver.send(Ack(c.PUBREC, 1))
    (answer,) = await receiver.rest()
    assert isinstance(answer, Ack)
    assert (answer.type, answer.packet_id, answer.reason_code) == (c.PUBREL, 1, 0)


async def test_a_pubrec_that_comes_twice_is_answered_twice(house: House, receiver: Wire) -> None:
    receiver.send(Ack(c.PUBREC, 1), Ack(c.PUBREC, 1))
    answers = await receiver.rest()
    assert [(packet.type, getattr(packet, "reason_code", None)) for packet in answers] == [
        (c.PUBREL, 0),
        (c.PUBREL, 0),
    ]
