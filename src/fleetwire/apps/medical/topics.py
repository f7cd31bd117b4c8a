"""The app's three topics, which a setting can move."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleetwire.kit import SettingsError


@dataclass(frozen=True)
class Topics:
    """Topic templates with `{device_id}` where the device's own name stands."""

    data: str
    status: str
    commands: str

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> "Topics":
        """Return the topics that these settings name. Raises SettingsError."""
        topics = cls(
            _template(settings, "MQTT_TOPIC_DEVICES", "devices/+/data"),
            _template(settings, "MQTT_TOPIC_STATUS", "devices/+/status"),
            _template(settings, "MQTT_TOPIC_COMMANDS", "devices/+/commands"),
        )
        if len({topics.data, topics.status, topics.commands}) < 3:
            raise SettingsError(
                "MQTT_TOPIC_DEVICES, MQTT_TOPIC_STATUS and MQTT_TOPIC_COMMANDS must differ"
            )
        return topics

    def of_device(self, device_id: str) -> dict[str, str]:
        """Return the topics of one device, by what they carry."""
        return {
            "data": self.data.replace("{device_id}", device_id),
            "status": self.status.replace("{device_id}", device_id),
            "commands": self.commands.replace("{device_id}", device_id),
        }


def _template(settings: Mapping[str, str], name: str, default: str) -> str:
    topic_filter = settings.get(name, "").strip() or default
    levels = topic_filter.split("/")
    if levels.count("+") != 1 or topic_filter.count("+") != 1 or set("#{}$") & set(topic_filter):
        raise SettingsError(
            f"{name}={topic_filter!r} must hold one level '+' for the device, as in {default!r}, "
            "and no '#', '$' or braces"
        )
    return topic_filter.replace("+", "{device_id}")
