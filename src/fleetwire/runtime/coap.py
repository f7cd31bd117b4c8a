"""CoAP of the apps that speak it, where the extra `coap` is installed."""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import structlog

from fleetwire.ingest.events import EventBus
from fleetwire.kit import App, Commands, Devices, Intake, Machines, Mode, Store
from fleetwire.settings import Settings

log = structlog.get_logger("fleetwire.coap")


class CoapListeners:
    """Opened after everything else, closed before it."""

    def __init__(
        self,
        settings: Settings,
        apps: Sequence[App],
        services: Mapping[type, object],
        bus: EventBus,
    ) -> None:
        self._settings = settings
        self._apps = [app for app in apps if app.coap is not None]
        self._services = services
        self._bus = bus
        self._servers: list[Any] = []
        self._ends: list[Callable[[], None]] = []

    async def open(self) -> dict[str, int]:
        """Serve; return the ports by name, `farm.coap`. Raises SettingsError."""
        if not self._apps:
            return {}
        if find_spec("aiocoap") is None:
            names = [app.name for app in self._apps]
            log.info("CoAP is not served: the extra `coap` is not installed", apps=names)
            return {}
        ports = {}
        for app in self._apps:
            ports[f"{app.name}.coap"] = await self._open(app)
        return ports

    async def _open(self, app: App) -> int:
        from fleetwire.edge.coap.server import CoapServer, CoapServices

        coap = app.coap
        assert coap is not None, "only such apps are kept"
        given = self._services
        services = CoapServices(
            given[Intake],  # type: ignore[arg-type]  # each type has its own implementation
            given[Machines],  # type: ignore[arg-type]  # likewise
            given[Devices],  # type: ignore[arg-type]  # likewise
            given[Commands],  # type: ignore[arg-type]  # likewise
            given[Store],  # type: ignore[arg-type]  # likewise
            lambda: given[Mode],  # type: ignore[arg-type,return-value]  # likewise
        )
        server = CoapServer(app, coap, services)
        settings = self._settings
        port = settings.app_ports.get(f"{app.name}.coap", _port_of(settings, app, coap.port))
        self._servers.append(server)
        bound = await server.open(settings.bind, port)
        self._ends.append(self._bus.subscribe(server.told, wants_readings=False))
        return bound

    async def close(self) -> None:
        """End all of them."""
        for end in self._ends:
            end()
        for server in self._servers:
            await server.close()


def _port_of(settings: Settings, app: App, default: int) -> int:
    """Return the app's own port; where its HTTP has whatever is free, so has its CoAP."""
    return 0 if settings.app_ports.get(app.name) == 0 else default
