"""MQTT 5.0 §3.1.3.1: the Client Identifier."""

import string

import pytest

from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Connack, Properties
from tests.octets import field
from tests.spec.v5.test_connect import connect_bytes, is_refused
from tests.spec.wire import House

KEPT: Properties = {c.SESSION_EXPIRY_INTERVAL: 3600}
LETTERS = string.digits + string.ascii_letters


@pytest.mark.spec("MQTT-3.1.3-2")
async def test_sessions_are_known_by_their_client_identifier(house: House) -> None:
    for client_id, topic in (("one", "a"), ("two", "b")):
        wire = await house.client(client_id, properties=KEPT)
        await wire.subscribe(topic, 1)
        await wire.disconnect()
    publisher = await house.client("publisher")
    await publisher.publish("a", b"for one", 1)
    await publisher.publish("b", b"for two", 1)
    for client_id, payload in (("two", b"for two"), ("one", b"for one")):
        wire = await house.client(client_id, clean=False, properties=KEPT)
        assert [message.payload for message in await wire.messages()] == [payload]


@pytest.mark.spec("MQTT-3.1.3-2")
async def test_client_identifiers_are_compared_exactly(house: House) -> None:
    for client_id in ("id", "ID", "id ", "\u00efd", "i\u0308d"):
        assert not (await (await house.wire()).connect(client_id, clean=False)).session_present
    assert len(house.broker.sessions) == 5


@pytest.mark.spec("MQTT-3.1.3-4")
@pytest.mark.parametrize("bad", [b"\xed\xa0\x80", b"\xff", b"a\0b"])
async def test_a_client_identifier_that_is_not_utf8_is_refused(house: House, bad: bytes) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes(payload=field(bad)))
    assert await is_refused(wire, c.MALFORMED_PACKET)


@pytest.mark.spec("MQTT-3.1.3-5")
@pytest.mark.parametrize("client_id", [*LETTERS, LETTERS[:23], LETTERS[23:46], LETTERS[-23:]])
async def test_letters_and_digits_up_to_23_are_accepted(house: House, client_id: str) -> None:
    assert (await (await house.wire()).connect(client_id)).reason_code == 0


@pytest.mark.spec("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("clean", [True, False])
async def test_a_client_without_an_identifier_is_given_one(house: House, clean: bool) -> None:
    given = set()
    for _ in range(5):
        wire = await house.wire()
        connack = await wire.connect("", clean=clean, properties=KEPT)
        assert (connack.reason_code, connack.session_present) == (0, False)
        assert connack.properties is not None
        given.add(connack.properties[c.ASSIGNED_CLIENT_IDENTIFIER])
    assert given == house.broker.sessions.keys()
    assert len(given) == 5


@pytest.mark.spec("MQTT-3.1.3-7")
@pytest.mark.over_the_wire
async def test_an_assigned_identifier_finds_its_session_again(house: House) -> None:
    first = await house.wire()
    connack = await first.connect("", properties=KEPT)
    assert connack.properties is not None
    assigned = connack.properties[c.ASSIGNED_CLIENT_IDENTIFIER]
    await first.cut()
    second = await house.wire()
    again = await second.connect(str(assigned), clean=False, properties=KEPT)
    assert again.session_present
    assert again.properties is not None
    assert c.ASSIGNED_CLIENT_IDENTIFIER not in again.properties


@pytest.mark.spec("MQTT-3.1.3-8")
async def test_a_client_identifier_that_is_not_accepted_is_refused_with_0x85(house: House) -> None:
    wire = await house.wire()
    wire.send_bytes(connect_bytes(payload=field(b"x" * 5000)))
    (connack,) = await wire.end()
    assert isinstance(connack, Connack)
    assert connack.reason_code == c.CLIENT_IDENTIFIER_NOT_VALID


@pytest.mark.spec("MQTT-3.1.3-8")
async def test_a_client_identifier_of_another_identity_is_not_taken_over(house: House) -> None:
    owner = await house.client("c", username="owner", password=b"secret")
    thief = await house.wire()
    connack = await thief.connect("c", username="thief", password=b"secret")
    assert connack.reason_code == c.CLIENT_IDENTIFIER_NOT_VALID
    assert await thief.end() == []
    assert await owner.is_alive()
