"""paho-mqtt, the client most devices written in Python use, in MQTT 3.1, 3.1.1 and 5.0."""

import json
import uuid

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.house import House
from tests.interop.paho_client import PahoClient, connected

V31, V311, V5 = (
    MQTTProtocolVersion.MQTTv31,
    MQTTProtocolVersion.MQTTv311,
    MQTTProtocolVersion.MQTTv5,
)
TAKEN_OVER = 0x8E
NOT_AUTHORIZED = 0x87
BAD_USER_NAME_OR_PASSWORD = 0x86
MANY = 500


@pytest.fixture(params=[V31, V311, V5], ids=["3.1", "3.1.1", "5.0"])
def protocol(request: pytest.FixtureRequest) -> MQTTProtocolVersion:
    found = request.param
    assert isinstance(found, MQTTProtocolVersion)
    return found


@pytest.fixture
def port(shared_house: House) -> int:
    return shared_house.mqtt_port


@pytest.fixture
def name() -> str:
    """A client id that no other test uses, short enough for MQTT 3.1 with a letter behind it."""
    return uuid.uuid4().hex[:16]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_arrives_with_its_payload_and_qos(
    port: int, protocol: MQTTProtocolVersion, name: str, qos: int
) -> None:
    with (
        connected(port, protocol, name + "s") as subscriber,
        connected(port, protocol, name + "p") as publisher,
    ):
        subscriber.subscribe(f"{name}/+/x", 2)
        publisher.publish(f"{name}/a/x", b"\x00 bytes \xff", qos)
        message = subscriber.receive()
        assert (message.topic, message.payload) == (f"{name}/a/x", b"\x00 bytes \xff")
        assert (message.qos, message.retain) == (qos, False)
        assert subscriber.receives_nothing()


@pytest.mark.parametrize("qos", [1, 2])
def test_many_messages_arrive_once_and_in_order(port: int, name: str, qos: int) -> None:
    with (
        connected(port, V311, name + "s") as subscriber,
        connected(port, V5, name + "p") as publisher,
    ):
        subscriber.subscribe(f"{name}/#", qos)
        for number in range(MANY):
            publisher.paho.publish(f"{name}/n", str(number), qos)
        received = [int(subscriber.receive().payload) for _ in range(MANY)]
        assert received == list(range(MANY))
        assert subscriber.receives_nothing()


def test_a_large_payload_passes(port: int, protocol: MQTTProtocolVersion, name: str) -> None:
    payload = bytes(range(256)) * 1000
    with connected(port, protocol, name) as client:
        client.subscribe(f"{name}/large", 1)
        client.publish(f"{name}/large", payload, 1)
        assert client.receive().payload == payload


def test_an_unsubscribed_client_hears_nothing_more(
    port: int, protocol: MQTTProtocolVersion, name: str
) -> None:
    with connected(port, protocol, name) as client:
        client.subscribe(f"{name}/t", 1)
        client.publish(f"{name}/t", b"1", 1)
        assert client.receive().payload == b"1"
        client.unsubscribe(f"{name}/t")
        client.publish(f"{name}/t", b"2", 1)
        assert client.receives_nothing()


def test_a_retained_message_waits_for_who_comes_later_until_it_is_cleared(
    port: int, protocol: MQTTProtocolVersion, name: str
) -> None:
    with connected(port, protocol, name + "p") as publisher:
        publisher.publish(f"{name}/state", b"on", 1, retain=True)
        with connected(port, protocol, name + "s") as subscriber:
            subscriber.subscribe(f"{name}/#", 1)
            message = subscriber.receive()
            assert (message.payload, message.retain) == (b"on", True)
        publisher.publish(f"{name}/state", b"", 1, retain=True)
        with connected(port, protocol, name + "s") as subscriber:
            subscriber.subscribe(f"{name}/#", 1)
            assert subscriber.receives_nothing()


def test_the_will_is_published_when_a_client_is_lost_and_not_when_it_leaves(
    port: int, protocol: MQTTProtocolVersion, name: str
) -> None:
    with connected(port, protocol, name + "s") as subscriber:
        subscriber.subscribe(f"{name}/gone", 1)
        for is_lost in (False, True):
            device = PahoClient(protocol, name + "d")
            device.paho.will_set(f"{name}/gone", b"lost", qos=1)
            device.connect(port)
            if is_lost:
                device.lose_connection()
                assert subscriber.receive().payload == b"lost"
            else:
                device.disconnect()
                assert subscriber.receives_nothing()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_persistent_session_keeps_what_came_while_the_client_was_away(
    port: int, protocol: MQTTProtocolVersion, name: str, qos: int
) -> None:
    with connected(port, protocol, name + "s", clean=False) as subscriber:
        subscriber.subscribe(f"{name}/#", 2)
    with connected(port, protocol, name + "p") as publisher:
        for number in range(10):
            publisher.publish(f"{name}/n", str(number).encode(), qos)

    subscriber = PahoClient(protocol, name + "s", clean=False)
    session_present, _ = subscriber.connect(port)
    if protocol != V31:  # MQTT 3.1 has no such flag
        assert session_present
    assert [int(subscriber.receive().payload) for _ in range(10)] == list(range(10))
    assert subscriber.receives_nothing()
    subscriber.disconnect()

    # A clean start forgets it all.
    with connected(port, protocol, name + "s") as fresh, connected(port, V5, name + "q") as other:
        other.publish(f"{name}/n", b"11", 1)
        assert fresh.receives_nothing()


def test_the_second_client_with_an_id_takes_over_from_the_first(
    port: int, protocol: MQTTProtocolVersion, name: str
) -> None:
    first = PahoClient(protocol, name)
    first.connect(port)
    with connected(port, protocol, name) as second:
        reason = first.wait_for_end()
        if protocol == V5:  # the older ones have no DISCONNECT from the server
            assert reason == TAKEN_OVER
        second.subscribe(f"{name}/t", 1)
        second.publish(f"{name}/t", b"mine", 1)
        assert second.receive().payload == b"mine"
    first.paho.loop_stop()


def test_mqtt_over_websocket(shared_house: House, protocol: MQTTProtocolVersion, name: str) -> None:
    ws_port = shared_house.mqtt_ws_port
    with (
        connected(ws_port, protocol, name + "w", transport="websockets") as browser,
        connected(shared_house.mqtt_port, protocol, name + "t") as device,
    ):
        browser.subscribe(f"{name}/#", 1)
        device.publish(f"{name}/a", b"x" * 70_000, 1)
        assert browser.receive().payload == b"x" * 70_000
        device.subscribe(f"{name}/b", 1)
        browser.publish(f"{name}/b", b"back", 2)
        assert device.receive().payload == b"back"


def test_what_a_device_publishes_is_stored_before_it_is_acknowledged(
    shared_house: House, protocol: MQTTProtocolVersion, name: str
) -> None:
    login = shared_house.register_device(name)
    device = PahoClient(protocol, name)
    device.paho.username_pw_set(*login)
    device.connect(shared_house.mqtt_port)
    for qos in (1, 2):
        body = {"device_id": name, "metric_type": "count", "value": qos}
        device.publish(f"devices/{name}/data", json.dumps(body).encode(), qos)
        # The very moment after the acknowledgement:
        assert shared_house.select(
            """
            SELECT count(*) FROM readings JOIN devices ON devices.id = readings.device
            WHERE devices.device_id = ? AND readings.number = ?
            """,
            name,
            qos,
        ) == [(1,)]
    device.disconnect()


def test_a_wrong_password_is_refused(
    shared_house: House, protocol: MQTTProtocolVersion, name: str
) -> None:
    shared_house.register_device(name)
    device = PahoClient(protocol, name)
    device.paho.username_pw_set(name, "wrong")
    _, reason = device.connect(shared_house.mqtt_port)
    # paho writes the return codes of the older versions in the words of version 5.
    assert reason.value in (BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED)
    device.paho.loop_stop()


def test_a_device_may_not_listen_to_another(shared_house: House, name: str) -> None:
    login = shared_house.register_device(name)
    device = PahoClient(V5, name)
    device.paho.username_pw_set(*login)
    device.connect(shared_house.mqtt_port)
    assert device.ask_for("devices/other/commands", 1) == NOT_AUTHORIZED
    assert device.ask_for(f"devices/{name}/commands", 1) == 1
    device.disconnect()
