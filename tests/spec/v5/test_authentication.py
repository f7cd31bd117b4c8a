"""MQTT 5.0 §3.15, §4.12: AUTH and enhanced authentication."""

import pytest

from fleetwire.net.server import ConnectionLimits
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Properties,
    Publish,
    Subscribe,
    Subscription,
)
from tests.spec.door import METHOD
from tests.spec.v5.test_connack import sizes
from tests.spec.wire import House, MakeHouse, Wire


def said(data: bytes = b"", method: str = METHOD) -> Properties:
    properties: Properties = {c.AUTHENTICATION_METHOD: method}
    if data:
        properties[c.AUTHENTICATION_DATA] = data
    return properties


async def begin(house: House, client_id: str = "c") -> tuple[Wire, Auth]:
    """Send CONNECT with a method; return the wire and the server's challenge."""
    wire = await house.wire()
    wire.send(Connect(c.V5, client_id, properties=said(b"hello")))
    return wire, await wire.expect(Auth)


async def authenticated(house: House) -> Wire:
    wire, _ = await begin(house)
    wire.send(Auth(c.CONTINUE_AUTHENTICATION, said(b"CHALLENGE")))
    assert (await wire.expect(Connack)).reason_code == 0
    return wire


@pytest.mark.spec("MQTT-4.12.0-1")
@pytest.mark.over_the_wire
@pytest.mark.parametrize("method", ["UNKNOWN", ""])
async def test_an_unknown_method_is_refused(house: House, method: str) -> None:
    wire = await house.wire()
    connack = await wire.connect(properties={c.AUTHENTICATION_METHOD: method})
    assert connack.reason_code in (c.BAD_AUTHENTICATION_METHOD, c.NOT_AUTHORIZED)
    assert await wire.end() == []


@pytest.mark.spec("MQTT-4.12.0-2", "MQTT-4.12.0-5", "MQTT-3.15.2-1", "MQTT-3.2.0-1")
@pytest.mark.over_the_wire
async def test_an_exchange_ends_with_connack(house: House) -> None:
    wire, challenge = await begin(house)
    assert challenge.reason_code == c.CONTINUE_AUTHENTICATION
    assert challenge.properties == said(b"challenge")
    wire.send(Auth(c.CONTINUE_AUTHENTICATION, said(b"CHALLENGE")))
    connack = await wire.expect(Connack)
    assert connack.reason_code == 0
    assert connack.properties is not None
    assert connack.properties[c.AUTHENTICATION_METHOD] == METHOD
    assert connack.properties[c.AUTHENTICATION_DATA] == b"welcome"
    assert await wire.is_alive()


@pytest.mark.spec("MQTT-4.12.0-3")
@pytest.mark.parametrize("reason_code", [c.SUCCESS, c.RE_AUTHENTICATE, 0x80])
async def test_the_clients_step_must_have_the_reason_code_0x18(
    house: House, reason_code: int
) -> None:
    wire, _ = await begin(house)
    wire.send(Auth(reason_code, said(b"CHALLENGE")))
    assert_refused(await wire.end())


@pytest.mark.spec("MQTT-4.12.0-4")
@pytest.mark.over_the_wire
async def test_a_wrong_answer_ends_the_exchange(house: House) -> None:
    wire, _ = await begin(house)
    wire.send(Auth(c.CONTINUE_AUTHENTICATION, said(b"wrong")))
    assert_refused(await wire.end())
    assert not house.broker.sessions


def assert_refused(packets: list[object]) -> None:
    assert len(packets) <= 1
    for packet in packets:
        assert isinstance(packet, Connack)
        assert packet.reason_code >= 0x80


@pytest.mark.spec("MQTT-4.12.0-5")
@pytest.mark.parametrize("method", ["OTHER", METHOD.lower(), None])
async def test_every_auth_must_name_the_method_of_connect(house: House, method: str | None) -> None:
    wire, _ = await begin(house)
    properties = None if method is None else said(b"CHALLENGE", method)
    wire.send(Auth(c.CONTINUE_AUTHENTICATION, properties))
    assert_refused(await wire.end())


@pytest.mark.spec("MQTT-3.1.2-30")
@pytest.mark.parametrize(
    "packet",
    [Pingreq(), Publish("a", b"x"), Subscribe(1, [Subscription("a")])],
    ids=["PINGREQ", "PUBLISH", "SUBSCRIBE"],
)
async def test_nothing_but_auth_and_disconnect_may_come_before_connack(
    house: House,
    packet: Publish,
) -> None:
    wire, _ = await begin(house)
    wire.send(packet)
    assert_refused(await wire.end())


@pytest.mark.spec("MQTT-3.1.2-30", "MQTT-3.14.0-1")
async def test_a_client_may_give_up_in_the_middle(house: House) -> None:
    wire, _ = await begin(house)
    wire.send(Disconnect())
    assert await wire.end() == []
    assert not house.broker.sessions


@pytest.mark.spec("MQTT-4.12.0-6")
@pytest.mark.over_the_wire
async def test_without_a_method_the_server_sends_no_auth_and_no_method(house: House) -> None:
    wire = await house.wire()
    connack = await wire.connect(username="user", password=b"secret")
    assert c.AUTHENTICATION_METHOD not in (connack.properties or {})
    assert c.AUTHENTICATION_DATA not in (connack.properties or {})


@pytest.mark.spec("MQTT-4.12.0-7")
@pytest.mark.parametrize("reason_code", [c.RE_AUTHENTICATE, c.CONTINUE_AUTHENTICATION, c.SUCCESS])
async def test_auth_without_a_method_at_connect_is_a_protocol_error(
    house: House, reason_code: int
) -> None:
    wire = await house.client()
    wire.send(Auth(reason_code, said()))
    assert await wire.closed_with() == c.PROTOCOL_ERROR


async def test_authentication_data_without_a_method_is_a_protocol_error(house: House) -> None:
    wire = await house.wire()
    wire.send_bytes("10 11 00 04 4d 51 54 54 05 02 00 00 04 16 00 01 78 00 00")
    assert_refused(await wire.end())


@pytest.mark.spec("MQTT-4.12.1-1", "MQTT-3.15.2-1")
@pytest.mark.over_the_wire
async def test_a_client_may_authenticate_again(house: House) -> None:
    wire = await authenticated(house)
    await wire.subscribe("a")
    wire.send(Auth(c.RE_AUTHENTICATE, said(b"again")))
    assert (await wire.expect(Auth)).reason_code == c.CONTINUE_AUTHENTICATION
    await wire.publish("a")  # life goes on under the earlier grant
    assert len(await wire.messages()) == 1
    wire.send(Auth(c.CONTINUE_AUTHENTICATION, said(b"CHALLENGE")))
    done = await wire.expect(Auth)
    assert (done.reason_code, done.properties) == (c.SUCCESS, said(b"welcome"))
    assert await wire.is_alive()


@pytest.mark.spec("MQTT-4.12.1-1")
@pytest.mark.parametrize("method", ["OTHER", None])
async def test_authenticating_again_needs_the_same_method(house: House, method: str | None) -> None:
    wire = await authenticated(house)
    wire.send(Auth(c.RE_AUTHENTICATE, None if method is None else said(method=method)))
    assert await wire.closed_with() in (c.PROTOCOL_ERROR, c.BAD_AUTHENTICATION_METHOD)


@pytest.mark.spec("MQTT-4.12.1-2")
@pytest.mark.over_the_wire
async def test_a_failed_re_authentication_closes_the_connection(house: House) -> None:
    wire = await authenticated(house)
    wire.send(Auth(c.RE_AUTHENTICATE, said(b"again")))
    await wire.expect(Auth)
    wire.send(Auth(c.CONTINUE_AUTHENTICATION, said(b"wrong")))
    assert await wire.closed_with() == c.NOT_AUTHORIZED


@pytest.mark.spec("MQTT-3.15.2-2", "MQTT-3.15.2-3")
async def test_the_servers_auth_has_nothing_that_it_could_leave_out(house: House) -> None:
    wire = await house.wire()
    wire.send(Connect(c.V5, "c", properties={**said(), c.MAXIMUM_PACKET_SIZE: 26}))
    challenge = await wire.expect(Auth)
    assert (challenge.properties or {}).keys() == said(b"x").keys()
    assert max(sizes(bytes(wire.said))) <= 26


async def test_a_step_that_does_not_come_ends_the_exchange(make_house: MakeHouse) -> None:
    house = await make_house(connection_limits=ConnectionLimits(connect_timeout_s=0.01))
    wire, _ = await begin(house)
    await house.server._tasks.copy().pop()  # the exchange itself
    assert_refused(await wire.end())
