"""What a 3.1.1 device gets for a PUBLISH it may not make: by setting, and never silence."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from tests.house import House
from tests.interop.paho_client import PahoClient

TOPIC = "devices/another/data"


@pytest.fixture
def strict_house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, environment={"FLEETWIRE_BROKER_DENIED_PUBLISH": "disconnect"})
    try:
        house.start()
        yield house
    finally:
        house.close()


def device(house: House, device_id: str) -> PahoClient:
    """Return a registered device that is connected with MQTT 3.1.1."""
    login = house.register_device(device_id)
    client = PahoClient(MQTTProtocolVersion.MQTTv311, device_id)
    client.paho.username_pw_set(*login)
    client.connect(house.mqtt_port)
    return client


def quarantined(house: House, payload: str) -> list[tuple[object, ...]]:
    return house.select("SELECT topic FROM quarantine WHERE CAST(payload AS TEXT) = ?", payload)


@pytest.mark.parametrize("qos", [1, 2])
def test_by_default_it_is_acknowledged_once_it_is_in_quarantine(
    shared_house: House, qos: int
) -> None:
    client = device(shared_house, f"denied-{qos}")
    client.publish(TOPIC, b"not mine %d" % qos, qos)
    # The very moment after the acknowledgement:
    assert quarantined(shared_house, f"not mine {qos}") == [(TOPIC,)]
    client.disconnect()


def test_by_setting_it_is_in_quarantine_and_ends_the_connection(strict_house: House) -> None:
    client = device(strict_house, "denied")
    client.paho.publish(TOPIC, b"not mine", 1)
    client.wait_for_end()
    client.paho.loop_stop()
    strict_house.stop()  # what has been taken in is committed by then
    assert quarantined(strict_house, "not mine") == [(TOPIC,)]
