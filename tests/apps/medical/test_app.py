"""The app as declared: its topics by the settings, and its commands as devices read them."""

import msgspec
import pytest

from fleetwire.apps.medical import app, configure
from fleetwire.kit import InvalidValueError, SettingsError


def test_topics_are_those_of_the_field() -> None:
    assert app.publishes == ["devices/{device_id}/data", "devices/{device_id}/status"]
    assert app.subscribes == ["devices/{device_id}/commands"]
    assert app.command_topic == "devices/{device_id}/commands"
    assert [each.template for each in app.subscriptions] == app.publishes
    assert app.listener is not None
    assert app.listener.port == 8004


def test_settings_move_the_topics() -> None:
    moved = configure(
        {
            "MQTT_TOPIC_DEVICES": "ward/+/vitals",
            "MQTT_TOPIC_STATUS": "ward/+/state",
            "MQTT_TOPIC_COMMANDS": "ward/+/orders",
        }
    )
    assert moved.publishes == ["ward/{device_id}/vitals", "ward/{device_id}/state"]
    assert moved.command_topic == "ward/{device_id}/orders"
    assert moved.readings_topic == "ward/{device_id}/vitals"
    assert app.readings_topic == "devices/{device_id}/data"


@pytest.mark.parametrize(
    "topic", ["devices/data", "+/+/data", "a/+/#", "a/b+/c", "$SYS/+", "{x}/+"]
)
def test_a_topic_without_exactly_one_place_for_the_device_is_a_set_up_mistake(topic: str) -> None:
    with pytest.raises(SettingsError, match="MQTT_TOPIC_STATUS"):
        configure({"MQTT_TOPIC_STATUS": topic})


def test_two_equal_topics_are_a_set_up_mistake() -> None:
    with pytest.raises(SettingsError, match="differ"):
        configure({"MQTT_TOPIC_STATUS": "devices/+/data"})


def test_a_command_is_flat() -> None:
    payload = app.command_payload("start_monitoring", {"interval": 30, "duration": 3600})
    assert msgspec.json.decode(payload) == {
        "command": "start_monitoring",
        "interval": 30,
        "duration": 3600,
    }


def test_a_parameter_cannot_replace_the_command() -> None:
    with pytest.raises(InvalidValueError) as caught:
        app.command_payload("stop", {"command": "start"})
    assert caught.value.field == "parameters.command"
