"""Whose a topic or a client is, and who may see it.

A caller sees the clients of his organisation and the topics of its devices. What is nobody's
(anonymous clients, topics of no device, connections before their CONNECT is answered) is for owners
and administrators of the organisation that runs the platform.
"""

from collections.abc import Mapping

from fleetwire.broker.grants import Grant
from fleetwire.features.audit.visibility import PLATFORM_ORGANIZATION
from fleetwire.kit.app import App
from fleetwire.kit.services import Caller, Devices
from fleetwire.protocol.topics import Template

SEES_WHAT_IS_NOBODYS = frozenset({"owner", "administrator"})


class TopicOwners:
    """Finds the organisations that registered devices of a topic belong to."""

    def __init__(self, devices: Devices, apps: Mapping[str, App]) -> None:
        self._devices = devices
        self._templates = _device_templates(apps)

    def of(self, topic_name: str) -> set[int]:
        """Return the organisations, empty if the topic is nobody's."""
        found = set()
        for app, template in self._templates:
            values = template.match(topic_name)
            device = None if values is None else self._devices.find(app, values["device_id"])
            if device is not None:
                found.add(device.organization_id)
        return found

    def may_see(self, caller: Caller, topic_name: str) -> bool:
        """Say whether a topic is the caller's organisation's alone, or nobody's and he may.

        One device_id may exist in several apps, and belong to several organisations.
        """
        owners = self.of(topic_name)
        return owners == {caller.organization_id} if owners else sees_nobodys(caller)


def sees_nobodys(caller: Caller) -> bool:
    """Say whether the caller sees what belongs to no organisation."""
    return caller.organization_id == PLATFORM_ORGANIZATION and caller.role in SEES_WHAT_IS_NOBODYS


def may_see_client(caller: Caller, grant: Grant | None) -> bool:
    """Say whether the caller sees a client with this grant; None = it has none yet."""
    organization_id = 0 if grant is None else grant.organization_id
    if organization_id:
        return organization_id == caller.organization_id
    return sees_nobodys(caller)


def _device_templates(apps: Mapping[str, App]) -> list[tuple[str, Template]]:
    found: dict[tuple[str, str], Template] = {}
    for name, app in apps.items():
        texts = [*app.publishes, *app.subscribes]
        texts += [subscription.template for subscription in app.subscriptions]
        if app.command_topic is not None:
            texts.append(app.command_topic)
        for text in texts:
            template = Template(text)
            if "device_id" in template.names:
                found[(name, text)] = template
    return [(name, template) for (name, _), template in found.items()]
