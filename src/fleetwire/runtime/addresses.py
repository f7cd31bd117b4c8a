"""Where everything is, for people to read."""

from collections.abc import Mapping, Sequence

from fleetwire.kit import App
from fleetwire.runtime import mqtt
from fleetwire.runtime.sharing import in_order
from fleetwire.settings import Settings


def urls(
    settings: Settings, apps: Sequence[App], ports: Mapping[str, int]
) -> list[tuple[str, str]]:
    """Return the listeners that have these ports, with their addresses."""
    host = "127.0.0.1" if settings.bind in ("0.0.0.0", "::") else settings.bind
    host = f"[{host}]" if ":" in host else host
    found = [("Platform", f"http://{host}:{ports['platform']}/")]
    for app in apps:
        if app.name not in ports or app.listener is None:
            continue
        port = ports[app.name]
        first = in_order([other for other in apps if ports.get(other.name) == port])[0]
        docs = "/docs" if app is first else f"/{app.name}/docs"
        found.append((app.listener.title, f"http://{host}:{port}{docs}"))
        if f"{app.name}.coap" in ports:
            found.append(
                (f"{app.listener.title}, CoAP", f"coap://{host}:{ports[f'{app.name}.coap']}")
            )
    return found + mqtt.urls(settings, dict(ports))
