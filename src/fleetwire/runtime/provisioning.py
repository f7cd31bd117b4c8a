"""Provisioning put together: claims, fleet keys, approvals, and devices that enrol themselves."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import Metric

from fleetwire.errors import SettingsError
from fleetwire.features.audit.service import SqlAudit
from fleetwire.features.devices.expiry import CredentialExpiry
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.service import DeviceService
from fleetwire.features.devices.topics import TopicsOf
from fleetwire.features.provisioning.approvals import Approvals
from fleetwire.features.provisioning.claims import Claims
from fleetwire.features.provisioning.enrolling import Enrolling
from fleetwire.features.provisioning.fleet_keys import FleetKeys
from fleetwire.features.provisioning.guesses import Guesses
from fleetwire.features.provisioning.newcomers import Newcomers
from fleetwire.features.provisioning.retention import ProvisioningRetention
from fleetwire.features.provisioning.self_enrolment import SelfEnrolment
from fleetwire.features.provisioning.way_in import WayIn
from fleetwire.ingest.events import EventLog
from fleetwire.kit.app import App
from fleetwire.runtime.metrics import gauge
from fleetwire.runtime.source import host_of_devices, ports_of_devices
from fleetwire.settings import Settings
from fleetwire.store.database import Database


class Provisioning:
    """The room's parts. `services` is what its routes ask for, by type."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        registry: Registry,
        devices: DeviceService,
        events: EventLog,
        audit: SqlAudit,
        apps: Mapping[str, App],
        secret: str,
        ports: Callable[[], Mapping[str, int]],
        topics_of: TopicsOf,
    ) -> None:
        _check_apps(settings, apps)
        mine = settings.provisioning
        newcomers = Newcomers(registry, devices, events, audit)
        guesses = Guesses(audit)
        way_in = WayIn(
            apps,
            ports_of_devices(settings, ports),
            host=host_of_devices(settings),
            public_url=mine.public_url,
            topics_of=topics_of,
        )
        self.itself = SelfEnrolment(
            database,
            newcomers,
            settings.unknown_devices_of,
            certificate_app=settings.tls.enrol,
            per_minute=mine.enrol_per_minute,
            most=mine.enrol_most,
        )
        self.expiry = CredentialExpiry(database, devices, registry, events)
        self.retention = ProvisioningRetention(database, newcomers, mine.keep_days)
        self.services: dict[type, object] = {
            CredentialExpiry: self.expiry,
            Approvals: Approvals(database, newcomers, audit),
            Claims: Claims(database, newcomers, audit, way_in, guesses, secret),
            Enrolling: Enrolling(database, newcomers, audit, way_in, guesses),
            FleetKeys: FleetKeys(database, newcomers, audit),
            WayIn: way_in,
        }

    def figures(self) -> Iterable[Metric]:
        """Yield how many devices came by themselves, and how many are about to be locked out."""
        yield gauge("devices_self_enrolled", "Devices that came by a message", self.itself.count)
        yield gauge(
            "credentials_expiring",
            "Device credentials that end within a week, with none that lives longer",
            self.expiry.expiring,
        )


def _check_apps(settings: Settings, apps: Mapping[str, App]) -> None:
    """Raise SettingsError for an app that does not run here."""
    named = [("unknown_devices", app) for app in settings.unknown_devices if app != "*"]
    if settings.tls.enrol is not None:
        named.append(("tls.enrol", settings.tls.enrol))
    for setting, app in named:
        if app not in apps:
            raise SettingsError(
                f"{setting} ({settings.sources.get(setting, 'default')}) names the app {app!r}, "
                f"which does not run here: {', '.join(sorted(apps)) or 'none'} does"
            )
