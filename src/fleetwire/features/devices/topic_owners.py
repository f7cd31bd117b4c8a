"""TopicOwners: whose a topic is, by the apps' templates and the registry."""

from collections.abc import Mapping

from fleetwire.kit.app import App
from fleetwire.kit.services import Devices
from fleetwire.protocol.topics import Template


class TopicOwners:
    """Finds the organisations that registered devices of a topic belong to."""

    def __init__(self, devices: Devices, apps: Mapping[str, App]) -> None:
        self._devices = devices
        self._templates = _device_templates(apps)

    def of(self, topic_name: str) -> set[int]:
        """Return the organisations, empty if the topic is nobody's.

        One device_id may exist in several apps, and belong to several organisations.
        """
        found = set()
        for app, template in self._templates:
            values = template.match(topic_name)
            device = None if values is None else self._devices.find(app, values["device_id"])
            if device is not None:
                found.add(device.organization_id)
        return found


def _device_templates(apps: Mapping[str, App]) -> list[tuple[str, Template]]:
    found: dict[tuple[str, str], Template] = {}
    for name, app in apps.items():
        texts = [*app.publishes, *app.subscribes]
        texts += [subscription.template for subscription in app.subscriptions]
        texts += app.command_topics
        for text in texts:
            template = Template(text)
            if "device_id" in template.names:
                found[(name, text)] = template
    return [(name, template) for (name, _), template in found.items()]
