"""The settings themselves: one frozen section per concern.

A setting is declared once, as a field. That gives it a key in `fleetwire.toml` (`http_port`, or
`max_packet_bytes` under `[broker]`) and a variable (`FLEETWIRE_HTTP_PORT`,
`FLEETWIRE_BROKER_MAX_PACKET_BYTES`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from fleetwire.net.bridge.plan import BridgePlan
from fleetwire.net.external.plan import SHARE
from fleetwire.settings import values as v
from fleetwire.settings.bridges import bridges
from fleetwire.settings.places import (
    DEFAULT_MQTT_PORT,
    DEFAULT_MQTTS_PORT,
    BrokerAddress,
    is_loopback,
)
from fleetwire.settings.values import Parse

PREFIX = "FLEETWIRE_"
MASK = "********"
NOT_SET = "–"

KIB = 1024
MIB = 1024 * KIB
DAY_S = 86_400


class Setting(NamedTuple):
    """What is known of a setting beside its value."""

    parse: Parse
    variables: Mapping[str, Parse]  # further variables that set it
    variable: str | None  # instead of the one that follows from its name
    is_secret: bool


def setting(
    default: object,
    parse: Parse,
    *,
    variable: str | None = None,
    also: Mapping[str, Parse] = MappingProxyType({}),
    is_secret: bool = False,
) -> Any:
    """Return the dataclass field of one setting; `also` are further variables that set it."""
    known = Setting(parse, also, variable, is_secret)
    metadata = {"setting": known}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata, repr=not is_secret)


@dataclass(frozen=True)
class BrokerSettings:
    """Bounds of the embedded broker: what one client may ask of it."""

    max_packet_bytes: int = setting(MIB, v.number(KIB, 268_435_455))
    connect_packet_bytes: int = setting(64 * KIB, v.number(KIB, MIB))
    connect_timeout_s: int = setting(10, v.number(1, 300))
    receive_maximum: int = setting(1024, v.number(1, 65_535))
    keep_alive_s: int = setting(0, v.number(0, 65_535))
    write_high_bytes: int = setting(MIB, v.number(16 * KIB, 64 * MIB))
    queue_messages: int = setting(10_000, v.number(1, 1_000_000))
    queue_bytes: int = setting(16 * MIB, v.number(KIB, 1024 * MIB))
    queue_policy: str = setting("reject_new", v.one_of("reject_new", "drop_oldest"))
    retained_messages: int = setting(100_000, v.number(0, 10_000_000))
    retained_bytes: int = setting(256 * MIB, v.number(KIB, 64 * 1024 * MIB))
    sessions: int = setting(1_000_000, v.number(1, 10_000_000))
    session_expiry_s: int = setting(7 * DAY_S, v.number(0, 0xFFFFFFFF))
    subscriptions: int = setting(1_000, v.number(1, 100_000))
    topic_levels: int = setting(32, v.number(1, 128))
    topic_bytes: int = setting(65_535, v.number(1, 65_535))
    window: int = setting(1_000, v.number(1, 65_535))
    denied_publish: str = setting("acknowledge", v.one_of("acknowledge", "disconnect"))
    sys_interval_s: int = setting(10, v.number(0, 3600))
    max_payload_bytes: int = setting(0, v.number(0, 268_435_455))
    messages_per_s: int = setting(0, v.number(0, 1_000_000))
    bytes_per_s: int = setting(0, v.number(0, 1024 * MIB))
    burst_s: int = setting(5, v.number(1, 3600))
    opening_connections: int = setting(20_000, v.number(0, 1_000_000))
    connections_per_address: int = setting(0, v.number(0, 1_000_000))
    connections_per_identity: int = setting(0, v.number(0, 1_000_000))
    connects_per_s: int = setting(0, v.number(0, 1_000_000))
    connects_per_s_per_address: int = setting(0, v.number(0, 1_000_000))
    ban_client_connects: int = setting(120, v.number(0, 1_000_000))
    ban_address_connects: int = setting(0, v.number(0, 1_000_000))
    ban_window_s: int = setting(60, v.number(1, 86_400))
    ban_first_s: int = setting(60, v.number(1, 86_400))
    ban_longest_s: int = setting(3600, v.number(1, 7 * DAY_S))


@dataclass(frozen=True)
class IngestSettings:
    """The road from the broker to the database."""

    queue_messages: int = setting(20_000, v.number(100, 1_000_000))
    batch_messages: int = setting(2_000, v.number(1, 100_000))


@dataclass(frozen=True)
class QuarantineSettings:
    """How many refused messages are kept, and for how long; 0 days = until there are too many."""

    keep_days: int = setting(90, v.number(0, 36_500))
    max_messages: int = setting(100_000, v.number(100, 100_000_000))
    max_mib: int = setting(256, v.number(1, 1_000_000))


@dataclass(frozen=True)
class AuditSettings:
    """How long it is kept who did what; 0 days = for ever."""

    keep_days: int = setting(0, v.number(0, 36_500))


@dataclass(frozen=True)
class RealtimeSettings:
    """Who may follow events from web pages, and what readers may take up."""

    origins: tuple[str, ...] = setting((), v.origins)  # beside pages of our own host
    connections: int = setting(10_000, v.number(1, 1_000_000))
    connections_per_identity: int = setting(100, v.number(1, 100_000))
    subscriptions: int = setting(32, v.number(1, 1_000))
    buffer_events: int = setting(10_000, v.number(10, 1_000_000))
    buffer_bytes: int = setting(8 * MIB, v.number(64 * KIB, 1024 * MIB))


@dataclass(frozen=True)
class TracingSettings:
    """Where OpenTelemetry spans go; without an endpoint none are made."""

    endpoint: str | None = setting(None, v.otlp_url)
    headers: tuple[tuple[str, str], ...] = setting((), v.headers, is_secret=True)
    sample_percent: int = setting(100, v.number(0, 100))  # of traces that begin here
    service: str = setting("fleetwire", v.text)


@dataclass(frozen=True)
class StoreSettings:
    """The database; without a URL it is `fleetwire.db` in the data folder."""

    # Left out of repr: the URL may hold a password.
    url: str = setting("", v.database_url, variable="DATABASE_URL", is_secret=True)


@dataclass(frozen=True)
class AuthSettings:
    """How access tokens are signed; without a secret, one is made and kept in the data folder."""

    jwt_secret: str | None = setting(
        None,
        v.secret,
        variable="FLEETWIRE_JWT_SECRET",
        also={"FLEETWIRE_JWT_SECRET_FILE": v.secret_in_file},
        is_secret=True,
    )
    jwks_url: str | None = setting(None, v.http_url, variable="FLEETWIRE_JWKS_URL")
    # What the tokens of others must say, if anything.
    jwt_audience: str | None = setting(None, v.text, variable="FLEETWIRE_JWT_AUDIENCE")
    jwt_issuer: str | None = setting(None, v.text, variable="FLEETWIRE_JWT_ISSUER")
    # Which of their claims says what; dots lead into claims inside claims.
    jwt_subject_claim: str = setting("sub", v.text, variable="FLEETWIRE_JWT_SUBJECT_CLAIM")
    jwt_email_claim: str = setting("email", v.text, variable="FLEETWIRE_JWT_EMAIL_CLAIM")
    jwt_username_claim: str = setting("username", v.text, variable="FLEETWIRE_JWT_USERNAME_CLAIM")
    jwt_organization_claim: str | None = setting(
        None, v.text, variable="FLEETWIRE_JWT_ORGANIZATION_CLAIM"
    )
    jwt_role_claim: str | None = setting(None, v.text, variable="FLEETWIRE_JWT_ROLE_CLAIM")
    jwt_roles: Mapping[str, str] = setting({}, v.roles_by_name, variable="FLEETWIRE_JWT_ROLES")
    # Of whom no token says one; None = he needs an account.
    jwt_default_role: str | None = setting(None, v.role, variable="FLEETWIRE_JWT_DEFAULT_ROLE")


@dataclass(frozen=True)
class TLSSettings:
    """The server's certificate, and who may connect over TLS. Files are PEM."""

    certificate: Path | None = setting(None, v.folder_or_file)  # noqa: RUF009  # it is a field()
    key: Path | None = setting(None, v.folder_or_file)  # noqa: RUF009  # as above
    client_ca: Path | None = setting(None, v.folder_or_file)  # noqa: RUF009  # as above
    client_certificate: Literal["optional", "required"] = setting(
        "required", v.one_of("optional", "required")
    )
    min_version: Literal["1.2", "1.3"] = setting("1.2", v.one_of("1.2", "1.3"))
    # What a client certificate says of who a client is: nothing, the device that its fingerprint is
    # bound to, or else the device of its common name.
    identity: Literal["off", "fingerprint", "common_name"] = setting(
        "fingerprint", v.one_of("off", "fingerprint", "common_name")
    )
    # The app that a device is registered with of whose common name nobody has heard.
    enrol: str | None = setting(None, v.text)


@dataclass(frozen=True)
class ProxySettings:
    """Proxies in front of the MQTT listeners that say in a PROXY header who is behind them."""

    protocol: Literal["off", "v1", "v2", "both"] = setting(
        "off", v.one_of("off", "v1", "v2", "both")
    )
    listeners: tuple[str, ...] = setting(("tcp", "tls", "ws", "wss"), v.some_of(*v.LISTENERS))
    trusted: tuple[str, ...] = setting(
        ("127.0.0.0/8", "::1/128"), v.networks, variable="FLEETWIRE_PROXY_FROM"
    )

    def is_on(self, listener: str) -> bool:
        """Say whether connections of this listener begin with a PROXY header."""
        return self.protocol != "off" and listener in self.listeners


@dataclass(frozen=True)
class PresenceSettings:
    """What is expected of devices: how often they send, by `app` or `app/type`, in seconds."""

    expected: Mapping[str, float] = setting({}, v.lengths_of_time)

    def expected_us(self, app: str, type: str) -> int:
        """Return how old the last message of such a device may be, 0 = it is not judged."""
        if not self.expected:  # asked for every device of every batch
            return 0
        length_s = self.expected.get(f"{app}/{type}", self.expected.get(app, 0.0))
        return round(length_s * 1_000_000)


@dataclass(frozen=True)
class ProvisioningSettings:
    """What devices are told that get in, how many may come in by themselves, what is kept of it.

    What is over, such as a used claim, is kept for `keep_days`; 0 = for ever.
    """

    public_url: str | None = setting(None, v.http_url)  # where people and devices reach HTTP
    mqtt_host: str | None = setting(None, v.text)  # the name devices connect to
    enrol_per_minute: int = setting(600, v.number(1, 1_000_000))
    enrol_most: int = setting(10_000, v.number(1, 10_000_000))
    keep_days: int = setting(90, v.number(0, 36_500))


@dataclass(frozen=True)
class SourceSettings:
    """How we come to the broker that `mqtt_broker_url` names. Files are PEM."""

    username: str | None = setting(None, v.text, variable="MQTT_USERNAME")
    password: str | None = setting(None, v.text, variable="MQTT_PASSWORD", is_secret=True)
    client_id: str = setting("", v.text, variable="MQTT_CLIENT_ID")  # "" = one of our own
    version: Literal["auto", "5", "3.1.1"] = setting(
        "auto", v.one_of("auto", "5", "3.1.1"), variable="MQTT_BROKER_VERSION"
    )
    ca: Path | None = setting(None, v.folder_or_file, variable="MQTT_BROKER_CA")  # noqa: RUF009  # it is a field()
    certificate: Path | None = setting(  # noqa: RUF009  # as above
        None, v.folder_or_file, variable="MQTT_BROKER_CERTIFICATE"
    )
    key: Path | None = setting(None, v.folder_or_file, variable="MQTT_BROKER_KEY")  # noqa: RUF009  # as above
    # The group of our shared subscriptions, "" = they are not shared.
    share: str = setting(SHARE, v.share_name, variable="MQTT_BROKER_SHARE")
    # Topic Filters beside those of the apps, such as what people follow.
    topics: tuple[str, ...] = setting((), v.topic_filters, variable="MQTT_BROKER_TOPICS")


@dataclass(frozen=True)
class RuleSettings:
    """What rule chains may reach: without `private_webhooks` public addresses only."""

    private_webhooks: bool = setting(False, v.flag)


@dataclass(frozen=True)
class ClientSettings:
    """What the command line sends to a server's HTTP interface."""

    token: str | None = setting(None, v.text, variable="FLEETWIRE_TOKEN", is_secret=True)


@dataclass(frozen=True)
class Settings:
    """All of them. `apps` None means every installed app; port 0 means any free one.

    `environment` is what the apps read their own settings from: `[environment]` of the file, .env
    and the environment together. `sources` says where each value came from, by dotted name.
    """

    data_dir: Path = setting(Path("data"), v.folder_or_file)  # noqa: RUF009  # it is a field()
    bind: str = setting("127.0.0.1", v.address)
    http_port: int = setting(8000, v.port_number)
    mqtt_port: int = setting(DEFAULT_MQTT_PORT, v.port_number)
    mqtt_ws_port: int = setting(9001, v.port_number)
    # Where these two, which do not encrypt, listen instead of `bind`.
    mqtt_plain_bind: str | None = setting(None, v.address)
    mqtt_tls_port: int | None = setting(DEFAULT_MQTTS_PORT, v.port_or_off)  # with a certificate
    mqtt_wss_port: int | None = setting(None, v.port_or_off)
    mqtt_unix: Path | None = setting(None, v.folder_or_file)  # noqa: RUF009  # as above
    mqtt_unix_mode: str = setting("660", v.file_mode)
    anonymous: tuple[str, ...] = setting(("auto",), v.anonymous)
    # By app, `*` = every other one: auto | enrol | quarantine.
    unknown_devices: Mapping[str, str] = setting({}, v.unknown_devices)
    apps: tuple[str, ...] | None = setting(None, v.names)
    app_ports: Mapping[str, int] = setting({}, v.ports_by_app)
    demo: bool = setting(False, v.flag)
    # auto: bound to loopback it is development, where apps open their debugging routes.
    mode: str = setting("auto", v.one_of("auto", "production"))
    log_level: str = setting(
        "info",
        v.one_of("debug", "info", "warning", "error"),
        also={"LOG_LEVEL": v.one_of("debug", "info", "warning", "error")},
    )
    log_format: str = setting("console", v.one_of("console", "json"))
    mqtt_broker_url: str | None = setting(
        None, v.mqtt_url, variable="MQTT_BROKER_URL", is_secret=True
    )
    # Several, but in the file each is one [[bridge]].
    bridge: tuple[BridgePlan, ...] = setting(
        (), bridges, variable="FLEETWIRE_BRIDGES", is_secret=True
    )
    # For whoever starts the server from a program: where to write its ports once it is ready, and
    # where to leave a profile of its event loop.
    ready_file: Path | None = setting(None, v.folder_or_file)  # noqa: RUF009  # as above
    profile: Path | None = setting(None, v.folder_or_file)  # noqa: RUF009  # as above

    broker: BrokerSettings = field(default_factory=BrokerSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    quarantine: QuarantineSettings = field(default_factory=QuarantineSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    realtime: RealtimeSettings = field(default_factory=RealtimeSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    client: ClientSettings = field(default_factory=ClientSettings)
    presence: PresenceSettings = field(default_factory=PresenceSettings)
    tls: TLSSettings = field(default_factory=TLSSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    provisioning: ProvisioningSettings = field(default_factory=ProvisioningSettings)
    rules: RuleSettings = field(default_factory=RuleSettings)
    source: SourceSettings = field(default_factory=SourceSettings)

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def external_broker(self) -> BrokerAddress | None:
        """The broker that MQTT_BROKER_URL names, None = it is the one in this process."""
        if self.mqtt_broker_url is None:
            return None
        address = BrokerAddress.of(self.mqtt_broker_url)
        if address.username is not None or not self.source.username:
            return address
        return replace(
            address, username=self.source.username, password=self.source.password or None
        )

    def bind_of(self, listener: str) -> str:
        """Return the address of an MQTT listener: tcp, tls, ws or wss."""
        plain = self.mqtt_plain_bind
        return plain if plain is not None and listener in ("tcp", "ws") else self.bind

    def is_anonymous_allowed(self, listener: str) -> bool:
        """Say whether clients without credentials are let in by an MQTT listener.

        `auto` lets them in where only this machine can come in. What a proxy brings comes from
        elsewhere.
        """
        if self.anonymous != ("auto",):
            return listener in self.anonymous
        if self.proxy.is_on(listener):
            return False
        return listener == "unix" or is_loopback(self.bind_of(listener))

    def unknown_devices_of(self, app: str) -> str:
        """Return what becomes of an app's unknown devices that send something.

        `quarantine` (their messages wait for a person), `enrol` (they are registered) or
        `enrol_anonymous`: only those that come without credentials, as `auto` says where only this
        machine can come in.
        """
        word = self.unknown_devices.get(app, self.unknown_devices.get("*", "auto"))
        if word != "auto":
            return word
        return "enrol_anonymous" if is_loopback(self.bind) else "quarantine"

    def shown(self) -> Iterator[tuple[str, str, str]]:
        """Yield (dotted name, value as text with secrets masked, source) of every setting."""
        for name, known in KNOWN.items():
            section, _, last = name.rpartition(".")
            value = getattr(getattr(self, section) if section else self, last)
            yield name, _shown(value, known), self.sources.get(name, "default")


SECTIONS: Mapping[str, type] = {
    "broker": BrokerSettings,
    "ingest": IngestSettings,
    "quarantine": QuarantineSettings,
    "audit": AuditSettings,
    "realtime": RealtimeSettings,
    "tracing": TracingSettings,
    "store": StoreSettings,
    "auth": AuthSettings,
    "client": ClientSettings,
    "presence": PresenceSettings,
    "tls": TLSSettings,
    "proxy": ProxySettings,
    "provisioning": ProvisioningSettings,
    "rules": RuleSettings,
    "source": SourceSettings,
}


def _known() -> dict[str, Setting]:
    """Return every setting by its dotted name, such as `broker.queue_bytes`."""
    known = {}
    for prefix, section in (("", Settings), *((f"{name}.", of) for name, of in SECTIONS.items())):
        for one in fields(section):
            if "setting" in one.metadata:
                known[prefix + one.name] = one.metadata["setting"]
    return known


KNOWN: Mapping[str, Setting] = _known()


def _variables() -> dict[str, tuple[str, Parse]]:
    """Return every variable with the setting it sets and how its text is read."""
    variables = {}
    for name, known in KNOWN.items():
        usual = PREFIX + name.upper().replace(".", "_")
        variables[known.variable or usual] = (name, known.parse)
        for variable, parse in known.variables.items():
            variables[variable] = (name, parse)
    return variables


VARIABLES: Mapping[str, tuple[str, Parse]] = _variables()


def _shown(value: object, known: Setting) -> str:
    if value is None:
        return NOT_SET
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)  # a bridge masks its own password
    if known.is_secret:
        text = str(value)
        # Of a URL only the password is secret.
        return re.sub(r"(://[^:@/]*):.*@", rf"\1:{MASK}@", text) if "://" in text else MASK
    if isinstance(value, Mapping):
        return ",".join(f"{key}={of}" for key, of in value.items()) or NOT_SET
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
