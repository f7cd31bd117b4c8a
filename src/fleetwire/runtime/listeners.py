"""Listeners: the platform's HTTP application and those of the apps, each on its port."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from fleetwire.errors import SettingsError
from fleetwire.kit import App, Gate, Mode
from fleetwire.runtime.web import WebListener
from fleetwire.settings import Settings
from fleetwire.web.application import create_application
from fleetwire.web.idempotency import Idempotency
from fleetwire.web.realtime.channels import Channels
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.rest.health import health_router
from fleetwire.web.rest.platform import landing_router, login_router, platform_routers
from fleetwire.web.traffic import Traffic

PLATFORM = "platform"


class Listeners:
    """Makes the applications once everything that they stand on is there.

    `gate` is asked who calls; `applications` are those that have been made, by name.
    """

    def __init__(
        self,
        settings: Settings,
        apps: Sequence[App],
        gate: Gate,
        services: Mapping[type, object],
        idempotency: Idempotency,
        hub: RealtimeHub,
        *,
        urls: Callable[[], list[tuple[str, str]]],
        metrics_open: bool,
        served: Callable[[str, ASGIApp], ASGIApp],
        traffic: Traffic,
    ) -> None:
        """`served` gives of a listener and its application what answers on its port.

        What it answers is counted in `traffic`.
        """
        self._settings = settings
        self._apps = apps
        self.gate = gate
        self._services = services
        self._idempotency = idempotency
        self._hub = hub
        self._urls = urls
        self._metrics_open = metrics_open
        self._served = served
        self._traffic = traffic
        self.applications: dict[str, FastAPI] = {}
        self._channels: list[Channels] = []
        self._open: list[WebListener] = []

    def _application_of(self, name: str) -> FastAPI:
        app = next(each for each in self._apps if each.name == name)
        listener = app.listener
        assert listener is not None, "the app has no routes"
        mode = self._services[Mode]
        assert isinstance(mode, Mode)
        routers = [*app.routers, *(app.debug_routers if mode.is_development else [])]
        application = create_application(
            title=listener.title,
            description=listener.description,
            version=listener.version,
            routers=[*routers, login_router()],
            gate=self.gate,
            services=self._services,
            prefixes=listener.prefixes,
            error_form=app.error_form,
            idempotency=self._idempotency,
        )
        self._serve_live(application, app.name)
        return application

    def _platform(self) -> FastAPI:
        routers: list[APIRouter] = [
            *platform_routers(),
            health_router(metrics_open=self._metrics_open),
            landing_router(self._urls),
        ]
        application = create_application(
            title="Fleetwire",
            description="Devices, telemetry, commands, people: what every app shares.",
            version="1",
            routers=routers,
            gate=self.gate,
            services=self._services,
            idempotency=self._idempotency,
        )
        self._serve_live(application)
        return application

    def _serve_live(self, application: FastAPI, only_app: str | None = None) -> None:
        origins = self._settings.realtime.origins
        channels = Channels(self._hub, self.gate, origins, only_app)
        channels.add_to(application)
        self._channels.append(channels)

    def application(self, name: str) -> FastAPI:
        """Return an application, made when it is first asked for. Raises SettingsError."""
        found = self.applications.get(name)
        if found is None:
            found = self._platform() if name == PLATFORM else self._application_of(name)
            self.applications[name] = found
        return found

    def bind(self) -> None:
        """Take the ports; nobody is served yet. Raises SettingsError."""
        settings = self._settings
        ports = {PLATFORM: settings.http_port}
        for app in self._apps:
            if app.listener is not None:
                ports[app.name] = settings.app_ports.get(app.name, app.listener.port)
        _check(ports)
        for name, port in ports.items():
            served = self._served(name, self.application(name))
            counted = self._traffic.counted(name, served)
            self._open.append(WebListener(name, counted, settings.bind, port))

    async def serve(self) -> dict[str, int]:
        """Begin to serve; return the ports by name."""
        for listener in self._open:
            await listener.start()
        return {listener.name: listener.port for listener in self._open}

    async def stop(self) -> None:
        """Finish what is under way and close."""
        for channels in self._channels:
            await channels.close()
        await asyncio.gather(*[listener.stop() for listener in self._open])


def _check(ports: Mapping[str, int]) -> None:
    """Raise SettingsError naming both, if two listeners are to have one port."""
    taken: dict[int, str] = {}
    for name, port in ports.items():
        other = taken.setdefault(port, name) if port else name
        if other != name:
            raise SettingsError(
                f"The listeners of {other!r} and {name!r} are both given port {port}. Give one of "
                f"them another: FLEETWIRE_APP_PORTS={name}={port + 1}, or leave the app out."
            )
