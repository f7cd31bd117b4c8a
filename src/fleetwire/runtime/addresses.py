"""Where everything is, for people to read."""

from collections.abc import Mapping, Sequence

from fleetwire.kit import App
from fleetwire.runtime import mqtt
from fleetwire.settings import Settings


def urls(
    settings: Settings, apps: Sequence[App], ports: Mapping[str, int]
) -> list[tuple[str, str]]:
    """Return the listeners that have these ports, with their addresses."""
    host = "127.0.0.1" if settings.bind in ("0.0.0.0", "::") else settings.bind
    host = f"[{host}]" if ":" in host else host
    found = [("Platform", f"http://{host}:{ports['platform']}/")]
    for app in apps:
        if app.name in ports and app.listener is not None:
            found.append((app.listener.title, f"http://{host}:{ports[app.name]}/docs"))
    return found + mqtt.urls(settings, dict(ports))
