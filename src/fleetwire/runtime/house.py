"""House: every part of Fleetwire, put together in one place and started in the right order."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import APIRouter

from fleetwire.broker.broker import Broker, Limits
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.alarms.service import AlarmService
from fleetwire.features.alarms.sinks import AlarmSink
from fleetwire.features.audit.refusals import RefusalAudit
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.commands.service import CommandService
from fleetwire.features.commands.sinks import AnswerSink
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.events import last_cursor, make_event_log
from fleetwire.features.devices.presence import Presence
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import DeviceService
from fleetwire.features.devices.sinks import ReportSink
from fleetwire.features.messages.service import MessagesService
from fleetwire.features.organizations.service import Organizations
from fleetwire.features.quarantine.service import QuarantineService
from fleetwire.features.quarantine.sink import QuarantineSqlSink
from fleetwire.features.telemetry.service import TelemetryService
from fleetwire.features.telemetry.writer import ReadingSink
from fleetwire.ingest.events import EventBus
from fleetwire.ingest.road import Road
from fleetwire.ingest.router import Router
from fleetwire.ingest.sequence import Sequence
from fleetwire.ingest.source import Source
from fleetwire.kit import (
    Alarm,
    Answer,
    App,
    Audit,
    Commands,
    Devices,
    Health,
    Messages,
    Reading,
    Realtime,
    Report,
    Telemetry,
)
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.runtime.loader import load_apps, migrations_of
from fleetwire.runtime.observability import HouseHealth
from fleetwire.runtime.web import WebListener
from fleetwire.settings import Settings, is_loopback, secret_file
from fleetwire.store.database import Database
from fleetwire.store.migrate import migrate
from fleetwire.web.application import create_application
from fleetwire.web.gate import TokenGate
from fleetwire.web.realtime.stream import LiveStream
from fleetwire.web.rest.health import health_router
from fleetwire.web.rest.platform import landing_router, login_router, platform_routers

log = structlog.get_logger("fleetwire")

DRAIN_S = 10.0  # for the road to commit what has been read


class House:
    """Broker, database, road, features and web listeners of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.apps: list[App] = load_apps(settings.apps, settings.environment)
        self.ports: dict[str, int] = {}
        self.administrator: tuple[str, str] | None = None  # of the first start only
        by_name = {app.name: app for app in self.apps}
        open_here = is_loopback(settings.bind)

        self.database = Database(settings.store.url)
        sequence = Sequence()
        self._sequence = sequence
        self.bus = EventBus()
        events = make_event_log(sequence, self.bus)
        registry = Registry()
        self.source = Source(settings.ingest.queue_messages, self._hold, self._resume)
        self.broker = Broker(_limits(settings), self.source)
        self._authenticator = DeviceAuthenticator(registry, by_name, self.database)
        self.server = Server(self.broker, self._authenticator, _connection_limits(settings))
        secret = settings.auth.jwt_secret or secret_file(settings.data_dir / "jwt.secret")

        audit = SqlAudit(self.database)
        self.accounts = Accounts(self.database, secret, audit, jwks_url=settings.auth.jwks_url)
        self.devices = DeviceService(self.database, registry, audit, self.server, set(by_name))
        self.presence = Presence(self.database, registry, events)
        self.commands = CommandService(self.database, registry, self.server, events, by_name)
        self._refusals = RefusalAudit(self.database)
        self._readings = ReadingSink()
        self._quarantine = QuarantineSqlSink()
        quarantine = QuarantineService(self.database, self._quarantine, audit)
        router = Router(self.apps)
        self.road = Road(
            self.source,
            router,
            self.database,
            registry.find,
            {
                Reading: self._readings,
                Report: ReportSink(),
                Alarm: AlarmSink(),
                Answer: AnswerSink(self.commands.closed),
            },
            self._quarantine,
            sequence,
            events,
            self.bus,
            self.presence.seen,
            {app.name: app.readings_event for app in self.apps if app.readings_event},
            settings.ingest.batch_messages,
        )
        for topic_filter in router.filters:
            self.broker.tree.add_taker(topic_filter, self.source)
        self.server.observers += [self.presence, self.commands, self._refusals]
        self.health = HouseHealth(
            self.server, self.broker, self.road, self._readings, self.database
        )
        self._gate = TokenGate(self.accounts)
        self._services: dict[type, object] = {
            Accounts: self.accounts,
            AlarmService: AlarmService(self.database),
            Audit: audit,
            SqlAudit: audit,
            CommandService: self.commands,
            Commands: self.commands,
            Devices: self.devices,
            Health: self.health,
            Messages: MessagesService(self.server, self.devices, by_name),
            Organizations: Organizations(self.database, audit),
            QuarantineService: quarantine,
            Realtime: LiveStream(self.database, self.bus, registry.by_id, by_name),
            Telemetry: TelemetryService(self.database),
        }
        self._anonymous_allowed = open_here
        self._listeners: list[WebListener] = []
        self._tasks: list[asyncio.Task[None]] = []

    def _hold(self) -> None:
        self.server.hold()

    def _resume(self) -> None:
        self.server.resume()

    # --- start ---

    async def start(self) -> None:
        """Start everything. Raises SettingsError for what a person must change."""
        settings = self.settings
        applied = await asyncio.to_thread(self._migrate)
        if applied:
            log.info("database prepared", revisions=len(applied))
        self.database.open()
        await self.database.read(self._quarantine.load)
        self._sequence.last = max(
            await self.database.read(self._readings.load), await self.database.read(last_cursor)
        )
        self.administrator = await self.accounts.bootstrap()
        await self.devices.load()
        await self.presence.load()
        await self.commands.load()
        self._open_listeners()
        for work in (
            self.road.run, self.presence.run, self.commands.run, self._refusals.run,
            self._authenticator.run,
        ):  # fmt: skip
            self._start(work)
        for listener in self._listeners:
            await listener.start()
            self.ports[listener.name] = listener.port
        anonymous = self._anonymous_allowed
        self.ports["mqtt"] = await self.server.listen_tcp(
            settings.bind, settings.mqtt_port, anonymous_allowed=anonymous
        )
        self.ports["mqtt_ws"] = await self.server.listen_websocket(
            settings.bind, settings.mqtt_ws_port, anonymous_allowed=anonymous
        )

    def _migrate(self) -> list[str]:
        folders = [(app.name, migrations_of(app)) for app in self.apps]
        return migrate(
            self.database, [(name, folder) for name, folder in folders if folder is not None]
        )

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.append(asyncio.create_task(work(), name=work.__qualname__))

    def _open_listeners(self) -> None:
        settings = self.settings
        platform = create_application(
            title="Fleetwire",
            description="Devices, telemetry, commands, people: what every app shares.",
            version="1",
            routers=[
                *platform_routers(),
                health_router(metrics_open=self._anonymous_allowed),
                landing_router(self.urls),
            ],
            gate=self._gate,
            services=self._services,
        )
        self._listeners.append(WebListener("platform", platform, settings.bind, settings.http_port))
        for app in self.apps:
            if app.listener is None:
                continue
            routers: list[APIRouter] = [*app.routers, login_router()]
            application = create_application(
                title=app.listener.title,
                description=app.listener.description,
                version=app.listener.version,
                routers=routers,
                gate=self._gate,
                services=self._services,
                prefixes=("", "/mqtt") if app.name == "medical" else ("",),
            )
            port = settings.app_ports.get(app.name, app.listener.port)
            self._listeners.append(WebListener(app.name, application, settings.bind, port))

    def urls(self) -> list[tuple[str, str]]:
        """Return what runs here and where, for people to read."""
        host = "127.0.0.1" if self.settings.bind in ("0.0.0.0", "::") else self.settings.bind
        host = f"[{host}]" if ":" in host else host
        found = [("Platform", f"http://{host}:{self.ports['platform']}/")]
        for app in self.apps:
            if app.name in self.ports and app.listener is not None:
                found.append((app.listener.title, f"http://{host}:{self.ports[app.name]}/docs"))
        found.append(("MQTT", f"mqtt://{host}:{self.ports['mqtt']}"))
        found.append(("MQTT over WebSocket", f"ws://{host}:{self.ports['mqtt_ws']}/mqtt"))
        return found

    # --- life and end ---

    async def failed(self) -> str:
        """Return, in words, when a part that should run for ever has ended."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        task = done.pop()
        error = task.exception() if not task.cancelled() else None
        return f"{task.get_name()}: {error!r}"

    async def stop(self) -> None:
        """Stop accepting, commit and acknowledge what was read, close with a reason."""
        await self.server.stop_accepting()
        self.server.hold()
        self.source.close()
        road = [task for task in self._tasks if task.get_name().startswith("Road.")]
        if road:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(road[0]), DRAIN_S)
        await self.server.close()
        for listener in self._listeners:
            await listener.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for flush in (
            self.presence.flush, self.commands.flush, self._refusals.flush,
            self._authenticator.flush,
        ):  # fmt: skip
            with contextlib.suppress(StoreUnavailableError, AssertionError):
                await flush()
        await self.database.close()


def _limits(settings: Settings) -> Limits:
    broker = settings.broker
    return Limits(
        queue_messages=broker.queue_messages,
        queue_bytes=broker.queue_bytes,
        retained_messages=broker.retained_messages,
        session_expiry_s=broker.session_expiry_s,
        subscriptions=broker.subscriptions,
        topic_levels=broker.topic_levels,
        window=broker.window,
    )


def _connection_limits(settings: Settings) -> ConnectionLimits:
    broker = settings.broker
    return ConnectionLimits(
        maximum_packet_size=broker.max_packet_bytes,
        connect_packet_size=broker.connect_packet_bytes,
        connect_timeout_s=broker.connect_timeout_s,
        receive_maximum=broker.receive_maximum,
        keep_alive_s=broker.keep_alive_s,
        write_high_bytes=broker.write_high_bytes,
    )
