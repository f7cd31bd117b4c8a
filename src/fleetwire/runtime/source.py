"""The broker where devices are, when it is not the one in this process."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fleetwire.errors import SettingsError
from fleetwire.features.commands.service import CommandService
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.net.bridge.plan import BridgePlan
from fleetwire.net.external.plan import SOURCE, SourcePlan, distinct, overlap, rules
from fleetwire.net.external.source import ExternalSource
from fleetwire.protocol.packets import Properties, Publish
from fleetwire.settings import Settings
from fleetwire.web.realtime.revocation import WatchedServer

LOOPBACK = ("localhost", "127.0.0.1", "::1")  # it says nothing to a device
PORT_NAMES = {"mqtt": "mqtt", "mqtts": "mqtts", "ws": "mqtt_ws", "wss": "mqtt_wss"}


def source_plans(settings: Settings, filters: Sequence[str]) -> tuple[BridgePlan, ...]:
    """Return the plan of the external broker, with the Topic Filters of the apps, if there is one.

    It is to stand before the bridges, of which it is one. Raises SettingsError for topics beside
    them that would bring some messages twice.
    """
    broker, source = settings.external_broker, settings.source
    if broker is None:
        return ()
    wanted = distinct([*filters, *source.topics])
    for each in source.topics:
        for other in wanted:
            if each in wanted and each != other and overlap(each, other):
                raise SettingsError(
                    f"MQTT_BROKER_TOPICS: {each!r} and {other!r} have some topics in common, whose "
                    "messages a broker may send twice; choose one that covers the other, such as #"
                )
    plan = SourcePlan(
        SOURCE,
        broker.scheme,
        broker.host,
        broker.port,
        broker.websocket or "",
        broker.username,
        broker.password,
        source.client_id,
        source.version,
        source.ca,
        source.certificate,
        source.key,
        rules(wanted),
        source.share,
    )
    return (plan,)


def host_of_devices(settings: Settings) -> str | None:
    """Return the host devices connect to; None = the name under which they reach us over HTTP."""
    named, broker = settings.provisioning.mqtt_host, settings.external_broker
    if named is not None or broker is None or broker.host in LOOPBACK:
        return named
    return broker.host


def ports_of_devices(
    settings: Settings, ours: Callable[[], Mapping[str, int]]
) -> Callable[[], Mapping[str, int]]:
    """Return what tells the ports devices connect to, by name: ours, or the external broker's."""
    broker = settings.external_broker
    if broker is None:
        return ours
    ports = {PORT_NAMES[broker.scheme]: broker.port}
    return lambda: ports


class SourceServer(WatchedServer):
    """The server of a house whose devices are at another broker: it listens nowhere.

    It runs while that broker is connected.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._source: ExternalSource | None = None

    def join(self, bridges: Bridges, commands: CommandService) -> None:
        """Send to devices by the external broker from now on."""
        self._source = bridges.source
        if self._source is not None:
            self._source.turned = commands.way_turned

    def open(self) -> None:
        """Begin to keep time, which listeners otherwise have begun."""
        self._begin()

    def is_running(self) -> bool:
        return self._source is not None and self._source.is_open and not self.is_draining

    def send_to_device(
        self,
        device: int,
        topic: str,
        payload: bytes,
        *,
        expires_at: int = 0,
        delivered: Callable[[], None],
        lost: Callable[[str], None],
        properties: Properties | None = None,
    ) -> bool:
        """As ExternalSource has it: what the broker acknowledges counts as delivered."""
        if self._source is None:
            return False
        publish = Publish(topic, payload, 1, properties=properties)
        return self._source.send_to_device(publish, expires_at, delivered, lost)


def server_of(settings: Settings, *arguments: Any) -> WatchedServer:
    """Return the server of the broker in this process, or of one without listeners."""
    kind = WatchedServer if settings.external_broker is None else SourceServer
    return kind(*arguments)
