"""Listeners: the platform's HTTP application and those of the apps, each on its port."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from fleetwire.errors import SettingsError
from fleetwire.kit import App, Gate, Mode, Sockets
from fleetwire.runtime.sharing import SharedPort, check, in_order
from fleetwire.runtime.web import WebListener
from fleetwire.settings import Settings
from fleetwire.web.application import create_application
from fleetwire.web.idempotency import Idempotency
from fleetwire.web.realtime.channels import Channels
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.realtime.space_server import AppSpace
from fleetwire.web.realtime.spaces import Spaces
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
        self._groups = self._grouped()
        self._channels: dict[str, Channels] = {}  # by the first app of a port
        self._open: list[tuple[list[str], WebListener]] = []  # with those who are served there

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
            routers=routers if app.signs_in else [*routers, login_router()],
            gate=self.gate,
            services=self._services,
            prefixes=listener.prefixes,
            error_form=app.error_form,
            idempotency=self._idempotency,
        )
        self._channels_of(app).add_to(application, app.name)
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
        channels = self._channels[PLATFORM] = Channels(
            self._hub, self.gate, self._settings.realtime.origins
        )
        channels.add_to(application)
        return application

    def _channels_of(self, app: App) -> Channels:
        """Return the live channels of the port that an app has, alone or with others."""
        apps = next(group for group in self._groups if app in group)
        first = apps[0].name
        found = self._channels.get(first)
        if found is None:
            spaces = self._services[Sockets]
            assert isinstance(spaces, Spaces)
            served = [
                AppSpace(each.name, space, self._services)
                for each in apps
                for space in each.socket_spaces
            ]
            found = self._channels[first] = Channels(
                self._hub, self.gate, self._settings.realtime.origins, first, spaces, served
            )
        return found

    def _port_of(self, app: App) -> int:
        assert app.listener is not None, "the app has no routes"
        return self._settings.app_ports.get(app.name, app.listener.port)

    def _grouped(self) -> list[list[App]]:
        """Return the apps that have routes, those together that have one port."""
        groups: list[list[App]] = []
        by_port: dict[int, list[App]] = {}
        for app in self._apps:
            if app.listener is None:
                continue
            port = self._port_of(app)
            group = by_port.setdefault(port, []) if port else []
            if not group:
                groups.append(group)
            group.append(app)
        return [in_order(group) for group in groups]

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
        for group in self._groups:
            if settings.http_port and self._port_of(group[0]) == settings.http_port:
                raise SettingsError(_both(PLATFORM, group[0].name, settings.http_port))
            check(group)
        self._open_on(settings.http_port, [PLATFORM], self._answers(PLATFORM))
        for group in self._groups:
            answers = [self._answers(app.name) for app in group]
            shared = answers[0] if len(group) == 1 else SharedPort(group, answers)
            self._open_on(self._port_of(group[0]), [app.name for app in group], shared)

    def _answers(self, name: str) -> ASGIApp:
        return self._traffic.counted(name, self._served(name, self.application(name)))

    def _open_on(self, port: int, names: list[str], answers: ASGIApp) -> None:
        listener = WebListener(" and ".join(names), answers, self._settings.bind, port)
        self._open.append((names, listener))

    async def serve(self) -> dict[str, int]:
        """Begin to serve; return the ports by name."""
        for _, listener in self._open:
            await listener.start()
        return {name: listener.port for names, listener in self._open for name in names}

    async def stop(self) -> None:
        """Finish what is under way and close."""
        for channels in self._channels.values():
            await channels.close()
        await asyncio.gather(*[listener.stop() for _, listener in self._open])


def _both(one: str, other: str, port: int) -> str:
    return (
        f"The listeners of {one!r} and {other!r} are both given port {port}. Give one of "
        f"them another: FLEETWIRE_APP_PORTS={other}={port + 1}, or leave the app out."
    )
