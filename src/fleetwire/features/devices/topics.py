"""Which of its app's topics a device may use: all of them, unless somebody narrows that."""

from collections.abc import Callable, Sequence

from fleetwire.kit.app import App
from fleetwire.kit.device import Device

_NO_LEVEL = frozenset("/+#{}$\0")

TopicsOf = Callable[[App, Device], tuple[Sequence[str], Sequence[str]]]
"""Returns the templates of the topics that a device publishes on, and of those that it reads."""


def topics_of_app(app: App, device: Device) -> tuple[Sequence[str], Sequence[str]]:
    """Return all that the app grants its devices."""
    return placed(app, device, app.publishes), placed(app, device, app.subscribes)


def placed(app: App, device: Device, templates: Sequence[str]) -> Sequence[str]:
    """Return templates with the device's own attributes in the places that the app has for them.

    A template with a place for one that the device has not, or that is no level of a topic, is
    left out: a `+` there would be everybody's.
    """
    if not app.topic_attributes:
        return templates
    found = []
    for template in templates:
        levels = template.split("/")
        is_safe = True
        for index, level in enumerate(levels):
            if level[:1] == "{" and level[1:-1] in app.topic_attributes:
                value = device.attributes.get(level[1:-1])
                levels[index] = str(value) if isinstance(value, str | int) else ""
                is_safe &= levels[index] != "" and not set(levels[index]) & _NO_LEVEL
        if is_safe:
            found.append("/".join(levels))
    return found
