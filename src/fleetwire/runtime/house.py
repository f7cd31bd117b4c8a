"""House: every part of Fleetwire, put together in one place and started in the right order."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence as SequenceOf
from functools import partial
from typing import Any

import structlog

from fleetwire.broker.broker import Broker
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.accounts.api_keys import ApiKeys
from fleetwire.features.accounts.service import Accounts
from fleetwire.features.acl.rights import Rights
from fleetwire.features.acl.service import RightsOfNow
from fleetwire.features.alarms.sinks import AlarmSink
from fleetwire.features.areas.service import AreaService
from fleetwire.features.audit.refusals import RefusalAudit
from fleetwire.features.audit.retention import AuditRetention
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.broker.service import BrokerService
from fleetwire.features.commands.batches import BatchService
from fleetwire.features.commands.sending import SendSink
from fleetwire.features.commands.service import CommandService
from fleetwire.features.commands.sinks import AnswerSink
from fleetwire.features.devices.authenticator import DeviceAuthenticator
from fleetwire.features.devices.client_ids import ClientIds
from fleetwire.features.devices.door import Door
from fleetwire.features.devices.events import last_cursor, make_event_log
from fleetwire.features.devices.groups import Groups
from fleetwire.features.devices.membership import Memberships
from fleetwire.features.devices.overflows import QueueOverflows
from fleetwire.features.devices.people import PersonGrants
from fleetwire.features.devices.presence import Presence
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import DeviceService
from fleetwire.features.devices.sinks import ReportSink
from fleetwire.features.devices.topic_owners import TopicOwners
from fleetwire.features.devicetypes.book import TypeBook
from fleetwire.features.devicetypes.service import DeviceTypeService
from fleetwire.features.devicetypes.sinks import RangeCheck, StateCheck
from fleetwire.features.jobs.service import JobService
from fleetwire.features.machines.service import MachineTokens, is_held
from fleetwire.features.messages.keeping import Keeper
from fleetwire.features.messages.service import MessagesService
from fleetwire.features.messages.taps import BrokerTaps
from fleetwire.features.organizations.repository import first_organization
from fleetwire.features.quarantine.rerun import Rerun
from fleetwire.features.quarantine.service import QuarantineService
from fleetwire.features.quarantine.sink import QuarantineSqlSink
from fleetwire.features.telemetry.service import TelemetryService
from fleetwire.features.telemetry.writer import ReadingSink
from fleetwire.features.work.intake import RoadIntake
from fleetwire.features.work.store import SqlStore
from fleetwire.ingest.events import EventBus
from fleetwire.ingest.proofs import Proofs
from fleetwire.ingest.road import Road
from fleetwire.ingest.router import Router
from fleetwire.ingest.sequence import Sequence
from fleetwire.ingest.source import Source
from fleetwire.ingest.works import Works
from fleetwire.kit import (
    Alarm,
    Answer,
    App,
    Audit,
    Clock,
    CommandBatches,
    Commands,
    Devices,
    Health,
    Intake,
    Machines,
    Messages,
    Mode,
    Reading,
    Realtime,
    Report,
    SendCommand,
    Sockets,
    Store,
    Taps,
    Telemetry,
    instants,
)
from fleetwire.kit.areas import Areas
from fleetwire.kit.jobs import Jobs
from fleetwire.kit.types import DeviceTypes
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.net.sys_topics import SysTopics
from fleetwire.runtime import figures, mqtt
from fleetwire.runtime.addresses import urls
from fleetwire.runtime.coap import CoapListeners
from fleetwire.runtime.guests import Guests
from fleetwire.runtime.issuers import claim_rules
from fleetwire.runtime.limits import broker_limits, connection_limits, realtime_bounds
from fleetwire.runtime.listeners import Listeners
from fleetwire.runtime.loader import load_apps, migrate_all
from fleetwire.runtime.metrics import Metrics
from fleetwire.runtime.observability import HouseHealth
from fleetwire.runtime.observers import Tracing, tracing_of
from fleetwire.runtime.provisioning import Provisioning
from fleetwire.runtime.rules import RuleChains
from fleetwire.runtime.services import services_of_routes
from fleetwire.runtime.source import SourceServer, server_of, source_plans
from fleetwire.settings import Settings, is_loopback, secret_file
from fleetwire.store.journal.journal import SqlJournal
from fleetwire.web.gate import TokenGate
from fleetwire.web.idempotency import Idempotency
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.realtime.spaces import Spaces
from fleetwire.web.realtime.stream import LiveStream
from fleetwire.web.traffic import Traffic

log = structlog.get_logger("fleetwire")

DRAIN_S = 10.0  # for the road to commit what has been read


class House:
    """Broker, database, road, features and web listeners of one process."""

    def __init__(
        self,
        settings: Settings,
        *,
        apps: SequenceOf[App] | None = None,
        clock: Callable[[], int] = instants.now,
        tracing: Tracing | None = None,
    ) -> None:
        """`apps` and `tracing` None = what the settings name. Raises SettingsError."""
        self.settings = settings
        self.apps = list(load_apps(settings.apps, settings.environment) if apps is None else apps)
        self._clock = clock
        self.ports: dict[str, int] = {}
        self.administrator: tuple[str, str] | None = None  # of the first start only
        by_name = {app.name: app for app in self.apps}
        open_here = is_loopback(settings.bind)

        self._tracing = tracing_of(settings) if tracing is None else tracing
        self.database = self._tracing.database(settings.store.url)
        sequence = Sequence()
        self._sequence = sequence
        self.bus = EventBus()
        events = make_event_log(sequence, self.bus)
        registry = Registry()
        self.certificate = mqtt.certificate_of(settings)
        self.source = Source(settings.ingest.queue_messages, self._hold, self._resume)
        self.journal = SqlJournal(self.database, self._hold, self._resume)
        self.broker = Broker(broker_limits(settings), self.source, self.journal)
        secret = settings.auth.jwt_secret or secret_file(settings.data_dir / "jwt.secret")
        types = TypeBook(self.apps)
        device_authenticator = DeviceAuthenticator(
            registry,
            by_name,
            self.database,
            secret=secret.encode(),
            tls_identity=settings.tls.identity,
            topics_of=types.topics_of,
        )
        self.server = server_of(
            settings, self.broker, device_authenticator, connection_limits(settings)
        )

        audit = SqlAudit(self.database)
        self.jobs = JobService(self.database)
        self.accounts = Accounts(
            self.database,
            secret,
            audit,
            jwks_url=settings.auth.jwks_url,
            jwt_audience=settings.auth.jwt_audience,
            jwt_issuer=settings.auth.jwt_issuer,
            claim_rules=claim_rules(settings),
            allows_known_passwords=settings.demo and open_here,
            downlink=self.server,
        )
        self.keys = ApiKeys(self.database, audit, self.server, find_person=self.accounts.caller_of)
        self.accounts.watchers.append(self.keys.person_changed)
        self.accounts.leavers.append(self.keys.person_left)
        people = PersonGrants(self.accounts, registry, by_name)
        self._authenticator = Door(device_authenticator, self.keys, people)
        self.server.authenticator = self._authenticator  # people's and keys' ends need the server
        self.devices = DeviceService(self.database, registry, audit, self.server, set(by_name))
        self.presence = Presence(
            self.database,
            registry,
            events,
            clock,
            expected_us=lambda device: settings.presence.expected_us(device.app, device.type),
            client_ids=ClientIds({app.name: app.client_id for app in self.apps if app.client_id}),
        )
        self.provisioning = Provisioning(
            settings, self.database, registry, self.devices, events, audit, by_name, secret,
            lambda: self.ports, types.topics_of,
        )  # fmt: skip
        device_authenticator.enrol = self.provisioning.itself.admit
        self._types = DeviceTypeService(self.database, types, audit)
        self.commands = CommandService(
            self.database, registry, self.server, events, by_name, check=types.check_command,
            clock=clock,
        )  # fmt: skip
        self._memberships = Memberships(self.database, registry)
        self._groups = Groups(
            self.database, self.devices, audit, touched=self._memberships.touch_group
        )
        self.batches = BatchService(self.database, registry, self.commands, self._groups)
        self._refusals = RefusalAudit(self.database)
        self._readings = ReadingSink()
        kept = settings.quarantine
        self._quarantine = QuarantineSqlSink(
            max_rows=kept.max_messages, max_bytes=kept.max_mib * 1024 * 1024
        )
        self.quarantine = QuarantineService(
            self.database, self._quarantine, audit, keep_days=kept.keep_days
        )
        self._audit_retention = AuditRetention(self.database, settings.audit.keep_days)
        self.rules = RuleChains(
            self.database, registry, clock,
            allows_private_webhooks=settings.rules.private_webhooks,
        )  # fmt: skip
        router = Router(self.apps)
        alarms = AlarmSink()
        self.road = Road(
            self.source,
            router,
            self.database,
            registry.find,
            {
                Reading: self.rules.tap(RangeCheck(types, self._readings, alarms)),
                Report: StateCheck(types, ReportSink(registry.touch), alarms),
                Alarm: alarms,
                Answer: AnswerSink(self.commands.closed),
                SendCommand: SendSink(self.commands),
            },
            self._quarantine,
            sequence,
            events,
            self.bus,
            self.presence.seen,
            {app.name: app.readings_event for app in self.apps if app.readings_event},
            settings.ingest.batch_messages,
        )
        self.road.preparation.unknown = self.provisioning.itself
        if any(app.token_fields for app in self.apps):
            self.road.preparation.proofs = Proofs(router, by_name, partial(is_held, registry))
        self.road.forbidden = self._refusals.refused
        rights = Rights(
            device_authenticator,
            registry,
            by_name,
            people,
            self.accounts.caller_of,
            self.keys,
            settings.is_anonymous_allowed,
        )
        self.rerun = Rerun(
            self.database, self.road, self._quarantine, RightsOfNow(rights), audit, self.jobs
        )
        for topic_filter in router.filters:
            self.broker.tree.add_taker(topic_filter, self.source)
        self._overflows = QueueOverflows(self.database, registry, events)
        self.server.observers += [
            self.presence, self.commands, self._refusals, self._overflows,
        ]  # fmt: skip
        self.bridges = Bridges(
            plans := (*source_plans(settings, router.filters), *settings.bridge),
            self.broker,
            secret_file(settings.data_dir / "bridge.id")[:16] if plans else "",
            maximum_packet_size=settings.broker.max_packet_bytes,
        )
        self.server.observers.append(self.bridges)
        if isinstance(self.server, SourceServer):
            self.server.join(self.bridges, self.commands)
        self._sys_topics = SysTopics(self.broker, settings.broker.sys_interval_s)
        self.server.observers.append(self._sys_topics)
        machines = MachineTokens(registry, secret, clock=clock)
        self._gate = TokenGate(self.accounts, self.keys, machines)
        self._works = Works(self.road.apply, clock)
        self.intake = RoadIntake(
            self.source, router, by_name, registry.find,
            waiting_most=settings.ingest.queue_messages, clock=clock, topics_of=types.topics_of,
        )  # fmt: skip
        self._idempotency = Idempotency(self.database, secret)
        stream = LiveStream(self.database, self.bus, registry.by_id, by_name)
        telemetry = TelemetryService(self.database)
        self.realtime = RealtimeHub(
            stream, self.devices, telemetry, audit, by_name, self._memberships,
            bounds=realtime_bounds(settings),
        )  # fmt: skip
        overview = BrokerService(self.server, audit)
        self.server.identity_watchers += [self.realtime.recheck, overview.recheck]
        traffic = Traffic()
        self.health = HouseHealth(
            self.server, self.broker, self.road, self.database, self.bridges, self.journal,
            Metrics([
                partial(figures.mqtt_figures, self.server, self.broker),
                partial(figures.bridge_figures, self.bridges),
                partial(figures.http_figures, traffic),
                partial(figures.ingest_figures, self.road, self.server, self._readings),
                partial(figures.trust_figures, self._quarantine, self._audit_retention),
                partial(figures.store_figures, self.database, self.journal),
                partial(figures.realtime_figures, self.realtime),
                figures.CommandFigures(self.commands, self.bus),
                self.provisioning.figures,
                self.rules.figures,
                partial(figures.backup_figures, settings.data_dir),
            ]),
            lambda: mqtt.address_of(settings, self.ports),
        )  # fmt: skip
        areas = AreaService(self.database, audit, self._memberships.touch_organization)
        owners = TopicOwners(self.devices, by_name)
        of_routes = services_of_routes(
            self.database, audit, accounts=self.accounts, keys=self.keys, devices=self.devices,
            registry=registry, areas=areas, owners=owners, rights=rights, broker=self.broker,
            bridges=self.bridges,
        )  # fmt: skip
        store = SqlStore(self.database, self._works)
        messages = MessagesService(self.server, owners, Keeper(self.broker))
        of_rules = self.rules.join(store, messages, audit, frozenset(by_name), self.road)
        self.services: dict[type, object] = {
            Accounts: self.accounts,
            ApiKeys: self.keys,
            DeviceService: self.devices,
            Audit: audit,
            SqlAudit: audit,
            BrokerService: overview,
            BatchService: self.batches,
            CommandBatches: self.batches,
            CommandService: self.commands,
            Commands: self.commands,
            DeviceTypes: self._types,
            Devices: self.devices,
            Areas: areas,
            Groups: self._groups,
            Health: self.health,
            JobService: self.jobs,
            Jobs: self.jobs,
            Clock: Clock(clock),
            Intake: self.intake,
            Store: store,
            Machines: machines,
            Messages: messages,
            QuarantineService: self.quarantine,
            Rerun: self.rerun,
            Realtime: stream,
            RealtimeHub: self.realtime,
            Sockets: Spaces(),
            Taps: BrokerTaps(self.broker, owners, lambda: self.server.is_draining),
            Telemetry: telemetry,
            **self.provisioning.services,
            **of_routes,
            **of_rules,
        }
        self.listeners = Listeners(
            settings, self.apps, self._gate, self.services, self._idempotency, self.realtime,
            urls=self.urls, metrics_open=open_here, served=self._tracing.application,
            traffic=traffic,
        )  # fmt: skip
        self.coap = CoapListeners(settings, self.apps, self.services, self.bus)
        self._tracing.join(self.road, self.commands, self.bus)
        self._holding = 0  # of the road and the journal, how many can take no more
        self._tasks: list[asyncio.Task[None]] = []

    def _hold(self) -> None:
        self._holding += 1
        self.server.hold()
        self.bridges.hold()

    def _resume(self) -> None:
        self._holding -= 1
        if not self._holding:
            self.server.resume()
            self.bridges.resume()

    # --- start ---

    async def start(self, *, is_listening: bool = True) -> None:
        """Start everything. Raises SettingsError for what a person must change.

        A house that is not listening has no ports, and somebody else calls its timers.
        """
        settings = self.settings
        applied = await asyncio.to_thread(migrate_all, self.database, self.apps)
        if applied:
            log.info("database prepared", revisions=len(applied))
        self.database.open()
        await self.database.read(self._quarantine.load)
        self._sequence.last = max(
            await self.database.read(self._readings.load), await self.database.read(last_cursor)
        )
        self.administrator = await self.accounts.bootstrap()
        first = await self.database.read(first_organization)
        is_development = settings.mode == "auto" and is_loopback(settings.bind)
        self.services[Mode] = Mode(is_development, settings.demo, first)
        self.guests = Guests(
            self.apps, self.services, self.bus, settings.data_dir, self._clock, first
        )
        await self.devices.load()
        await self._types.load()
        await self.provisioning.itself.load()
        await self.keys.load()
        await self.presence.load()
        await self.commands.load()
        await self.jobs.load()
        await self.rules.load()
        now = time.time_ns() // 1000
        restored = await self.journal.load(now)
        self.broker.restore(
            restored.sessions, restored.retained, restored.wills, now, restored.shared
        )
        self.bridges.start()
        if is_listening:
            self.listeners.bind()
        for work in (
            self.road.run, self.presence.run, self.commands.run, self.batches.run,
            self._refusals.run, self.realtime.run, self._memberships.run, self.rerun.run,
            self.quarantine.run, self._audit_retention.run, self.provisioning.expiry.run,
            self._authenticator.run, self._overflows.run, self.jobs.run, self.journal.run,
            self.provisioning.retention.run,
        ):  # fmt: skip
            self._start(work)
        self._start(self.guests.hearing.run)
        self._start(self.guests.hearers.run)
        await self.guests.start(with_demo=settings.demo)
        # Not before: apps say at their start what commands of chains are.
        self._start(self.rules.outbox.run)
        self._start(self.rules.engine.run)
        if settings.broker.sys_interval_s:
            self._start(self._sys_topics.run)
        self.guests.timers.start()
        if not is_listening:
            return
        self.ports |= await self.listeners.serve()
        self._start(self.guests.timers.run)
        if self.certificate is not None:
            self._start(self.certificate.watch)
        self.ports |= await mqtt.listen(settings, self.server, self.certificate)
        self.ports |= await self.coap.open()

    def _start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._tasks.append(asyncio.create_task(work(), name=work.__qualname__))

    def urls(self) -> list[tuple[str, str]]:
        """Return what runs here and where, for people to read."""
        return urls(self.settings, self.apps, self.ports)

    # --- life and end ---

    async def failed(self) -> str:
        """Return, in words, when a part that should run for ever has ended."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        task = done.pop()
        error = task.exception() if not task.cancelled() else None
        return f"{task.get_name()}: {error!r}"

    async def stop(self) -> None:
        """Stop accepting, commit and acknowledge what was read, close with a reason."""
        await self.coap.close()
        await self.server.stop_accepting()
        self.server.hold()
        self.bridges.hold()
        self.source.close()
        road = [task for task in self._tasks if task.get_name().startswith("Road.")]
        if road:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(road[0]), DRAIN_S)
        await self.journal.flush(DRAIN_S)  # and with it, what waits for that is acknowledged
        await self.bridges.close()
        await self.server.close()
        self.realtime.close()
        await self.listeners.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._works.close()
        await self.journal.flush(DRAIN_S)  # the sessions whose connections have just ended
        for flush in (
            self.presence.flush, self.commands.flush, self._refusals.flush,
            self._authenticator.flush, self._overflows.flush, self.rules.engine.flush,
        ):  # fmt: skip
            with contextlib.suppress(StoreUnavailableError, AssertionError):
                await flush()
        await self.database.close()
        await asyncio.to_thread(self._tracing.close)
