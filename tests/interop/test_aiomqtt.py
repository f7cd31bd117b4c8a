"""aiomqtt, paho-mqtt under asyncio, in MQTT 3.1, 3.1.1 and 5.0."""

import asyncio
import socket
import uuid

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.house import House

WAIT_S = 10.0


@pytest.fixture(params=[ProtocolVersion.V31, ProtocolVersion.V311, ProtocolVersion.V5])
def version(request: pytest.FixtureRequest) -> ProtocolVersion:
    found = request.param
    assert isinstance(found, ProtocolVersion)
    return found


@pytest.fixture
def name() -> str:
    """A client id that no other test uses, short enough for MQTT 3.1 with a letter behind it."""
    return uuid.uuid4().hex[:16]


def client(
    house: House, client_id: str, version: ProtocolVersion, **more: object
) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        house.mqtt_port,
        identifier=client_id,
        protocol=version,
        timeout=WAIT_S,
        **more,  # type: ignore[arg-type]  # passed on
    )


async def take(client: aiomqtt.Client, count: int) -> list[aiomqtt.Message]:
    """Return the next messages."""
    found: list[aiomqtt.Message] = []
    async with asyncio.timeout(WAIT_S):
        async for message in client.messages:
            found.append(message)
            if len(found) == count:
                break
    return found


async def lose_connection(device: aiomqtt.Client) -> None:
    """Connect, and lose the socket. Raises MqttError."""
    async with device:
        connection = device._client.socket()
        assert connection is not None
        connection.shutdown(socket.SHUT_RDWR)
        await take(device, 1)


async def test_messages_of_each_qos_arrive_in_order(
    shared_house: House, version: ProtocolVersion, name: str
) -> None:
    async with (
        client(shared_house, name + "s", version) as subscriber,
        client(shared_house, name + "p", version) as publisher,
    ):
        await subscriber.subscribe(f"{name}/+", qos=2)
        for qos in (0, 1, 2):
            for number in range(20):
                await publisher.publish(f"{name}/{qos}", str(number), qos=qos)
        messages = await take(subscriber, 60)
    for qos in (0, 1, 2):
        of_this = [message for message in messages if message.qos == qos]
        assert [message.payload for message in of_this] == [b"%d" % n for n in range(20)]
        assert {message.topic.value for message in of_this} == {f"{name}/{qos}"}


async def test_many_publishers_at_once_are_each_acknowledged(
    shared_house: House, version: ProtocolVersion, name: str
) -> None:
    async with client(shared_house, name + "s", version) as subscriber:
        await subscriber.subscribe(f"{name}/#", qos=1)
        async with client(shared_house, name + "p", version) as publisher:
            async with asyncio.TaskGroup() as tasks:
                for number in range(100):
                    tasks.create_task(publisher.publish(f"{name}/{number}", b"x", qos=1))
            messages = await take(subscriber, 100)
    assert {message.topic.value for message in messages} == {f"{name}/{n}" for n in range(100)}


async def test_the_will_of_a_client_that_fails_arrives(
    shared_house: House, version: ProtocolVersion, name: str
) -> None:
    async with client(shared_house, name + "s", version) as subscriber:
        await subscriber.subscribe(f"{name}/gone", qos=1)
        will = aiomqtt.Will(f"{name}/gone", b"lost", qos=1)
        async with client(shared_house, name + "d", version, will=will):
            pass  # leaves with a DISCONNECT: no Will
        with pytest.raises(aiomqtt.MqttError):
            await lose_connection(client(shared_house, name + "d", version, will=will))
        [message] = await take(subscriber, 1)
    assert message.payload == b"lost"


async def test_a_retained_message_is_found_and_cleared(
    shared_house: House, version: ProtocolVersion, name: str
) -> None:
    async with client(shared_house, name + "p", version) as publisher:
        await publisher.publish(f"{name}/state", b"on", qos=1, retain=True)
        async with client(shared_house, name + "s", version) as subscriber:
            await subscriber.subscribe(f"{name}/#", qos=1)
            [message] = await take(subscriber, 1)
            assert (message.payload, message.retain) == (b"on", True)
            await publisher.publish(f"{name}/state", b"", qos=1, retain=True)
            [message] = await take(subscriber, 1)
            assert (message.payload, message.retain) == (b"", False)


async def test_a_wrong_password_is_refused(shared_house: House, name: str) -> None:
    shared_house.register_device(name)
    with pytest.raises(aiomqtt.MqttCodeError, match=r"(?i)user ?name or password|authori[sz]ed"):
        async with client(shared_house, name, ProtocolVersion.V5, username=name, password="wrong"):
            pass


async def test_mqtt_5_properties_pass_through(shared_house: House, name: str) -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
    properties.ContentType = "text/plain"
    properties.ResponseTopic = f"{name}/answer"
    properties.CorrelationData = b"\x00\x01"
    properties.UserProperty = [("b", "1"), ("a", "2"), ("b", "3")]
    async with (
        client(shared_house, name + "s", ProtocolVersion.V5) as subscriber,
        client(shared_house, name + "p", ProtocolVersion.V5) as publisher,
    ):
        await subscriber.subscribe(f"{name}/t", qos=1)
        await publisher.publish(f"{name}/t", b"x", qos=1, properties=properties)
        [message] = await take(subscriber, 1)
    found = message.properties
    assert found is not None
    assert (found.ContentType, found.ResponseTopic) == ("text/plain", f"{name}/answer")
    assert found.CorrelationData == b"\x00\x01"
    assert found.UserProperty == [("b", "1"), ("a", "2"), ("b", "3")]
