"""Which of its app's topics a device may use: all of them, unless somebody narrows that."""

from collections.abc import Callable, Sequence

from fleetwire.kit.app import App
from fleetwire.kit.device import Device

TopicsOf = Callable[[App, Device], tuple[Sequence[str], Sequence[str]]]
"""Returns the templates of the topics that a device publishes on, and of those that it reads."""


def topics_of_app(app: App, device: Device) -> tuple[Sequence[str], Sequence[str]]:
    """Return all that the app grants its devices."""
    return app.publishes, app.subscribes
