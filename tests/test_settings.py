"""Settings: what wins over what, and what is said about a mistake."""

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from fleetwire.broker.limits import Limits
from fleetwire.errors import SettingsError
from fleetwire.net.bans import BanLimits
from fleetwire.net.gatekeeper import GateLimits
from fleetwire.net.meter import FlowLimits
from fleetwire.settings import MASK, BrokerAddress, is_loopback, load, reachable_at, secret_file

SECRET = "s" * 32


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(environ={}, cwd=tmp_path)
    assert settings.data_dir == tmp_path / "data"
    assert settings.bind == "127.0.0.1"
    assert (settings.http_port, settings.mqtt_port, settings.mqtt_ws_port) == (8000, 1883, 9001)
    assert settings.apps is None
    assert settings.app_ports == {}
    assert settings.demo is False
    assert settings.store.url == f"sqlite:///{tmp_path}/data/fleetwire.db"
    assert settings.auth.jwt_secret is None
    assert settings.sources == {}


def test_who_may_connect_is_bounded_by_default_as_the_gatekeeper_says(tmp_path: Path) -> None:
    broker = load(environ={}, cwd=tmp_path).broker
    gate = GateLimits(
        opening=broker.opening_connections,
        per_address=broker.connections_per_address,
        per_identity=broker.connections_per_identity,
        connects_per_s=broker.connects_per_s,
        connects_per_s_per_address=broker.connects_per_s_per_address,
        bans=BanLimits(
            client_connects=broker.ban_client_connects,
            address_connects=broker.ban_address_connects,
            window_s=broker.ban_window_s,
            first_s=broker.ban_first_s,
            longest_s=broker.ban_longest_s,
        ),
    )
    assert gate == GateLimits()
    assert FlowLimits(broker.messages_per_s, broker.bytes_per_s, broker.burst_s) == FlowLimits()
    assert broker.max_payload_bytes == Limits().payload_bytes == 0


def test_each_source_wins_over_the_one_before(tmp_path: Path) -> None:
    ports = "http_port = 1\nmqtt_port = 1\nmqtt_ws_port = 11\n[broker]\nwindow = 1\n"
    (tmp_path / "fleetwire.toml").write_text(ports)
    (tmp_path / ".env").write_text("FLEETWIRE_HTTP_PORT=2\nFLEETWIRE_MQTT_PORT=22\n")
    environ = {"FLEETWIRE_HTTP_PORT": "3", "FLEETWIRE_BROKER_WINDOW": "4"}
    settings = load({"http_port": 5, "mqtt_port": None}, environ, tmp_path)
    assert (settings.http_port, settings.mqtt_port, settings.mqtt_ws_port) == (5, 22, 11)
    assert settings.broker.window == 4
    assert settings.sources == {
        "http_port": "command line",
        "mqtt_port": ".env",
        "mqtt_ws_port": "fleetwire.toml",
        "broker.window": "environment",
    }


def test_ports_of_apps_are_gathered_from_all_sources(tmp_path: Path) -> None:
    (tmp_path / "fleetwire.toml").write_text("[app_ports]\nmedical = 1\nfarm = 2\n")
    environ = {"FLEETWIRE_APP_PORTS": "medical=3, vending=4"}
    settings = load({"app_ports": "vending=5"}, environ, tmp_path)
    assert settings.app_ports == {"medical": 3, "farm": 2, "vending": 5}


def test_what_is_expected_of_devices_is_by_app_or_by_type(tmp_path: Path) -> None:
    (tmp_path / "fleetwire.toml").write_text('[presence.expected]\nfarm = "1h"\n')
    environ = {"FLEETWIRE_PRESENCE_EXPECTED": "medical=5m, medical/ecg_monitor=10s"}
    presence = load(environ=environ, cwd=tmp_path).presence
    assert presence.expected_us("medical", "pulse_oximeter") == 300_000_000
    assert presence.expected_us("medical", "ecg_monitor") == 10_000_000
    assert presence.expected_us("farm", "pump") == 3_600_000_000
    assert presence.expected_us("vending", "kiosk") == 0
    for wrong in ("medical", "medical=soon", "=5m"):
        with pytest.raises(SettingsError, match="FLEETWIRE_PRESENCE_EXPECTED"):
            load(environ={"FLEETWIRE_PRESENCE_EXPECTED": wrong}, cwd=tmp_path)


def test_a_denied_publish_is_acknowledged_or_ends_the_connection_and_nothing_else(
    tmp_path: Path,
) -> None:
    assert load(environ={}, cwd=tmp_path).broker.denied_publish == "acknowledge"
    environ = {"FLEETWIRE_BROKER_DENIED_PUBLISH": "Disconnect"}
    assert load(environ=environ, cwd=tmp_path).broker.denied_publish == "disconnect"
    with pytest.raises(SettingsError, match="acknowledge, disconnect"):
        load(environ={"FLEETWIRE_BROKER_DENIED_PUBLISH": "silence"}, cwd=tmp_path)


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert load(environ={"FLEETWIRE_HTTP_PORT": " "}, cwd=tmp_path).http_port == 8000


def test_apps_come_as_text_or_list(tmp_path: Path) -> None:
    (tmp_path / "fleetwire.toml").write_text('apps = ["medical", "farm"]\n')
    assert load(environ={}, cwd=tmp_path).apps == ("medical", "farm")
    assert load({"apps": "medical, farm,medical"}, {}, tmp_path).apps == ("medical", "farm")


def test_apps_read_their_settings_from_all_sources(tmp_path: Path) -> None:
    (tmp_path / "fleetwire.toml").write_text('[environment]\nA = "1"\nB = "1"\nC = "1"\n')
    (tmp_path / ".env").write_text("B=2\nC=2\n")
    environment = load(environ={"C": "3"}, cwd=tmp_path).environment
    assert (environment["A"], environment["B"], environment["C"]) == ("1", "2", "3")


def test_dotenv_knows_quotes_comments_and_export(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        '# a comment\n\nA=plain # why\nB="with # and \\"quotes\\"" # why\nC=\'as $is\'\n'
        "export D=4\nE=a#b\nF=\n"
    )
    environment = load(environ={}, cwd=tmp_path).environment
    assert environment["A"] == "plain"
    assert environment["B"] == 'with # and "quotes"'
    assert environment["C"] == "as $is"
    assert environment["D"] == "4"
    assert environment["E"] == "a#b"
    assert environment["F"] == ""


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"FLEETWIRE_HTTP_PROT": "1"},
            "FLEETWIRE_HTTP_PROT (environment) is not a setting. Did you mean FLEETWIRE_HTTP_PORT?",
        ),
        (
            {"FLEETWIRE_HTTP_PORT": "http"},
            "FLEETWIRE_HTTP_PORT (environment) must be a whole number from 0 to 65535, not 'http'",
        ),
        (
            {"FLEETWIRE_MQTT_PORT": "65536"},
            "FLEETWIRE_MQTT_PORT (environment) must be from 0 to 65535, not '65536'",
        ),
        ({"FLEETWIRE_HTTP_PORT": "-1"}, "whole number"),
        ({"FLEETWIRE_HTTP_PORT": "1e3"}, "whole number"),
        ({"FLEETWIRE_HTTP_PORT": "٣"}, "whole number"),
        ({"FLEETWIRE_BIND": "everywhere"}, "FLEETWIRE_BIND (environment) must be an address"),
        ({"FLEETWIRE_DEMO": "maybe"}, "must be true or false, not 'maybe'"),
        ({"FLEETWIRE_LOG_LEVEL": "loud"}, "must be one of debug, info, warning, error"),
        ({"FLEETWIRE_APP_PORTS": "medical"}, "must be app=port; the port of medical"),
        ({"FLEETWIRE_APP_PORTS": "=1"}, "must be app=port"),
        ({"FLEETWIRE_JWKS_URL": "ftp://x"}, "FLEETWIRE_JWKS_URL (environment) must be an address"),
        ({"MQTT_BROKER_URL": "mqtt://host:port"}, "MQTT_BROKER_URL (environment) must be"),
        ({"MQTT_BROKER_HOST": "h", "MQTT_BROKER_PORT": "x"}, "MQTT_BROKER_PORT (environment)"),
        ({"DATABASE_URL": "postgresql://u:p@h/d"}, "other databases are not supported yet"),
        (
            {"FLEETWIRE_HTTP_PORT": "1883"},
            "mqtt_port and http_port are both 1883; give one of them another port",
        ),
        (
            {"FLEETWIRE_MQTT_WS_PORT": "8004", "FLEETWIRE_APP_PORTS": "medical=8004"},
            "mqtt_ws_port and the port of medical are both 8004",
        ),
        (
            {"FLEETWIRE_JWT_SECRET": SECRET, "FLEETWIRE_JWT_SECRET_FILE": "x"},
            "FLEETWIRE_JWT_SECRET and FLEETWIRE_JWT_SECRET_FILE (environment) set the same thing",
        ),
        ({"FLEETWIRE_JWT_SECRET_FILE": "/no/such/file"}, "must name a file that can be read"),
        ({"FLEETWIRE_JWT_ROLES": "staff=root"}, "the roles are viewer, operator, administrator"),
        ({"FLEETWIRE_JWT_ROLES": "staff"}, "FLEETWIRE_JWT_ROLES (environment) must be name=role"),
        ({"FLEETWIRE_JWT_ROLES": "staff=viewer"}, "set FLEETWIRE_JWT_ROLE_CLAIM"),
        ({"FLEETWIRE_JWT_DEFAULT_ROLE": "root"}, "must be one of viewer, operator"),
        (
            {"FLEETWIRE_JWKS_URL": "https://x/y", "FLEETWIRE_JWT_DEFAULT_ROLE": "viewer"},
            "set FLEETWIRE_JWT_AUDIENCE",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    tmp_path: Path, environ: Mapping[str, str], said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ=environ, cwd=tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("htp_port = 1", "htp_port (fleetwire.toml) is not a setting. Did you mean http_port?"),
        ("[broker]\nwindwo = 1", "broker.windwo (fleetwire.toml) is not a setting"),
        ("[broker]\nwindwo = 1", "Did you mean broker.window?"),
        ("broker = 1", "broker (fleetwire.toml) must be a table: write [broker]"),
        ("http_port = true", "http_port (fleetwire.toml) must be a whole number"),
        ("bind = 1", "bind (fleetwire.toml) must be text"),
        ("apps = [1]", "apps (fleetwire.toml) must be names"),
        ("app_ports = 1", "app_ports (fleetwire.toml) must be app=port"),
        ("[environment]\nA = 1", "[environment] in fleetwire.toml must hold text"),
        ("http_port = ", "is not valid TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "fleetwire.toml").write_text(written)
    with pytest.raises(SettingsError) as caught:
        load(environ={}, cwd=tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("line", ["no equals sign", 'A="no end', "1A=x"])
def test_a_mistake_in_dotenv_names_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"OK=1\n{line}\n")
    with pytest.raises(SettingsError, match="line 2"):
        load(environ={}, cwd=tmp_path)


def test_a_mistake_on_the_command_line_is_named_as_the_option(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^--mqtt-ws-port \(command line\)"):
        load({"mqtt_ws_port": 70_000}, {}, tmp_path)


def test_port_0_may_be_used_by_all(tmp_path: Path) -> None:
    settings = load({"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}, {}, tmp_path)
    assert settings.mqtt_port == 0


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    environ = {
        "FLEETWIRE_JWT_SECRET": SECRET,
        "FLEETWIRE_TOKEN": "token-of-mine",
        "MQTT_BROKER_URL": "mqtts://me:hunter2@@host",
        "MQTT_PASSWORD": "of-an-app",
    }
    settings = load(environ=environ, cwd=tmp_path)
    shown = {name: value for name, value, _ in settings.shown()}
    assert shown["auth.jwt_secret"] == shown["client.token"] == MASK
    assert shown["mqtt_broker_url"] == f"mqtts://me:{MASK}@host"
    everything = repr(settings) + repr(shown) + repr(settings.external_broker)
    for secret in (SECRET, "token-of-mine", "hunter2", "of-an-app"):
        assert secret not in everything


def test_a_short_secret_is_refused_without_being_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="at least 32 characters") as caught:
        load(environ={"FLEETWIRE_JWT_SECRET": "tooshort"}, cwd=tmp_path)
    assert "tooshort" not in str(caught.value)


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    settings = load(environ={"FLEETWIRE_JWT_SECRET_FILE": str(path)}, cwd=tmp_path)
    assert settings.auth.jwt_secret == SECRET


def test_our_own_log_level_wins_over_everybodys(tmp_path: Path) -> None:
    environ = {"LOG_LEVEL": "DEBUG"}
    assert load(environ=environ, cwd=tmp_path).log_level == "debug"
    environ["FLEETWIRE_LOG_LEVEL"] = "error"
    assert load(environ=environ, cwd=tmp_path).log_level == "error"


def test_the_external_broker_is_one_url_or_several_variables(tmp_path: Path) -> None:
    url = load(environ={"MQTT_BROKER_URL": "mqtts://me:p%40ss@broker"}, cwd=tmp_path)
    assert url.external_broker == BrokerAddress("broker", 8883, True, "me", "p@ss")
    parts = {"MQTT_BROKER_HOST": "broker", "MQTT_USERNAME": "me", "MQTT_PASSWORD": "p@ss:/"}
    broker = load(environ=parts, cwd=tmp_path).external_broker
    assert broker == BrokerAddress("broker", 1883, False, "me", "p@ss:/")


@pytest.mark.parametrize(
    ("bind", "loopback", "reached"),
    [
        ("127.0.0.1", True, "127.0.0.1"),
        ("127.8.8.8", True, "127.8.8.8"),
        ("localhost", True, "127.0.0.1"),
        ("::1", True, "::1"),
        ("0.0.0.0", False, "127.0.0.1"),
        ("::", False, "::1"),
        ("192.0.2.1", False, "192.0.2.1"),
    ],
)
def test_which_addresses_are_this_machines_alone(bind: str, loopback: bool, reached: str) -> None:
    assert is_loopback(bind) is loopback
    assert reachable_at(bind) == reached


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "jwt.secret"
    secret = secret_file(path)
    assert len(secret) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret_file(path) == secret


def test_a_damaged_secret_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "jwt.secret"
    path.touch()
    with pytest.raises(SettingsError, match=r"Delete the file"):
        secret_file(path)


def test_a_secret_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read or made"):
        secret_file(tmp_path / "missing" / "jwt.secret")


TLS = {"FLEETWIRE_TLS_CERTIFICATE": "c.pem", "FLEETWIRE_TLS_KEY": "k.pem"}


def test_tls_listens_with_a_certificate_unless_it_is_off(tmp_path: Path) -> None:
    settings = load(environ=TLS, cwd=tmp_path)
    assert (settings.mqtt_tls_port, settings.mqtt_wss_port) == (8883, None)
    assert settings.tls.certificate == Path("c.pem")
    off = load(environ=TLS | {"FLEETWIRE_MQTT_TLS_PORT": "off"}, cwd=tmp_path)
    assert off.mqtt_tls_port is None


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"FLEETWIRE_TLS_CERTIFICATE": "c.pem"}, "set FLEETWIRE_TLS_KEY"),
        ({"FLEETWIRE_TLS_KEY": "k.pem"}, "tls.key (environment) is set"),
        ({"FLEETWIRE_MQTT_TLS_PORT": "8883"}, "mqtt_tls_port (environment) is set"),
        ({"FLEETWIRE_MQTT_WSS_PORT": "0"}, "mqtt_wss_port (environment) is set"),
        ({"FLEETWIRE_TLS_CLIENT_CA": "ca.pem"}, "tls.client_ca (environment) is set"),
        (TLS | {"FLEETWIRE_TLS_CLIENT_CERTIFICATE": "required"}, "set FLEETWIRE_TLS_CLIENT_CA"),
        (TLS | {"FLEETWIRE_TLS_MIN_VERSION": "1.1"}, "must be one of 1.2, 1.3"),
        (TLS | {"FLEETWIRE_MQTT_TLS_PORT": "on"}, "must be a whole number from 0 to 65535, or off"),
        (TLS | {"FLEETWIRE_MQTT_WSS_PORT": "8883"}, "mqtt_wss_port are both 8883"),
        (TLS | {"FLEETWIRE_MQTT_PORT": "8883"}, "mqtt_tls_port are both 8883"),
        ({"FLEETWIRE_MQTT_UNIX_MODE": "rw"}, "three digits as for chmod"),
        ({"FLEETWIRE_MQTT_UNIX_MODE": "888"}, "three digits as for chmod"),
        ({"FLEETWIRE_MQTT_UNIX_MODE": "4777"}, "three digits as for chmod"),
        ({"FLEETWIRE_ANONYMOUS": "auto,tcp"}, "must be auto, never, or some of"),
        ({"FLEETWIRE_ANONYMOUS": "everybody"}, "must be auto, never, or some of"),
        ({"FLEETWIRE_PROXY_PROTOCOL": "v3"}, "must be one of off, v1, v2, both"),
        ({"FLEETWIRE_PROXY_LISTENERS": "http"}, "must be some of tcp, tls"),
        ({"FLEETWIRE_PROXY_FROM": "proxy.example.org"}, "must be addresses or networks"),
        ({"FLEETWIRE_PROXY_FROM": "10.0.0.5/8"}, "must be addresses or networks"),
    ],
)
def test_a_mistake_about_listeners_is_named(
    tmp_path: Path, environ: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ=environ, cwd=tmp_path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "allowed"),
    [
        ({}, "tcp tls ws wss unix"),
        ({"FLEETWIRE_BIND": "0.0.0.0"}, "unix"),
        ({"FLEETWIRE_BIND": "0.0.0.0", "FLEETWIRE_MQTT_PLAIN_BIND": "::1"}, "tcp ws unix"),
        ({"FLEETWIRE_PROXY_PROTOCOL": "v2"}, "unix"),
        ({"FLEETWIRE_PROXY_PROTOCOL": "v2", "FLEETWIRE_PROXY_LISTENERS": "tls"}, "tcp ws wss unix"),
        ({"FLEETWIRE_ANONYMOUS": "never"}, ""),
        ({"FLEETWIRE_ANONYMOUS": "ws,TLS", "FLEETWIRE_BIND": "0.0.0.0"}, "tls ws"),
    ],
)
def test_clients_without_credentials_come_in_where_only_this_machine_can(
    tmp_path: Path, environ: dict[str, str], allowed: str
) -> None:
    settings = load(environ=environ, cwd=tmp_path)
    kinds = ("tcp", "tls", "ws", "wss", "unix")
    assert " ".join(kind for kind in kinds if settings.is_anonymous_allowed(kind)) == allowed


def test_listeners_are_settings_in_the_file_too(tmp_path: Path) -> None:
    (tmp_path / "fleetwire.toml").write_text(
        'mqtt_unix = "mqtt.sock"\nmqtt_unix_mode = 600\nanonymous = ["unix"]\n'
        '[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n'
        '[proxy]\nprotocol = "both"\ntrusted = ["10.0.0.5", "192.168.0.0/24"]\n'
    )
    settings = load(environ={}, cwd=tmp_path)
    assert settings.mqtt_unix_mode == "600"
    assert settings.anonymous == ("unix",)
    assert settings.tls.key == Path("k.pem")
    assert settings.proxy.trusted == ("10.0.0.5/32", "192.168.0.0/24")
    shown = {name: value for name, value, _ in settings.shown()}
    assert shown["mqtt_wss_port"] == "–"
    assert shown["proxy.trusted"] == "10.0.0.5/32,192.168.0.0/24"


BRIDGE = '{"name": "hub", "url": "mqtt://me:hush@h", "topics": [{"filter": "a/#"}]}'


def test_a_bridge_is_a_table_of_the_file_or_json_in_a_variable(tmp_path: Path) -> None:
    example = Path(__file__).parents[1] / "examples" / "bridge.toml"
    (tmp_path / "fleetwire.toml").write_text(example.read_text())
    (hospital,) = load(environ={}, cwd=tmp_path).bridge
    assert (hospital.scheme, hospital.host, hospital.port) == (
        "mqtts", "mqtt.hospital.example", 8883,
    )  # fmt: skip
    assert (hospital.username, hospital.password) == ("ward-3", "secret")
    assert hospital.ca == Path("hospital-ca.pem")
    assert [(each.local_filter, each.remote_filter) for each in hospital.topics] == [
        ("devices/+/data", "ward-3/devices/+/data"),
        ("settings/#", "ward-3/settings/#"),
    ]
    settings = load(environ={"FLEETWIRE_BRIDGES": f"[{BRIDGE}]"}, cwd=tmp_path)
    (hub,) = settings.bridge
    assert (hub.port, hub.version, hub.topics[0].direction, hub.topics[0].qos) == (
        1883, "auto", "out", 1,
    )  # fmt: skip
    shown = {name: value for name, value, _ in settings.shown()}
    assert shown["bridge"] == f"hub mqtt://me:{MASK}@h:1883"
    assert "hush" not in repr(settings) + repr(settings.bridge)


@pytest.mark.parametrize(
    ("url", "port", "path"),
    [
        ("mqtts://h", 8883, None),
        ("ws://h:9001", 9001, "/mqtt"),
        ("wss://h/", 443, "/"),
        ("ws://[::1]/a/b?c=d", 80, "/a/b?c=d"),
    ],
)
def test_the_address_of_a_bridge_has_usual_parts(
    tmp_path: Path, url: str, port: int, path: str | None
) -> None:
    text = BRIDGE.replace("mqtt://me:hush@h", url)
    (hub,) = load(environ={"FLEETWIRE_BRIDGES": f"[{text}]"}, cwd=tmp_path).bridge
    assert (hub.port, hub.websocket) == (port, path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"hub"', '"h u b"', "'h u b': name must be up to 32 letters"),
        ('"name": "hub", ', "", "number 1: name is missing"),
        ("mqtt://me:hush@h", "http://h", "'hub': url must be an address such as mqtts://"),
        ("mqtt://me:hush@h", "mqtt://h:x", "'hub': url must be an address"),
        ("mqtt://me:hush@h", "mqtt://h/path", "'hub': url has a path, which mqtt has no use for"),
        ('"topics"', '"topic"', "'hub': 'topic' is none of name, url,"),
        ('[{"filter": "a/#"}]', "[]", "'hub': topics must be a list with at least one table"),
        ("a/#", "a/#/b", "'hub': topic 1: filter is wrong: Topic Filter has '#' before"),
        ("a/#", "$share/g/a", "'hub': topic 1: a shared subscription cannot be bridged"),
        ('"a/#"', '"a", "qos": 3', "'hub': topic 1: qos must be from 0 to 2"),
        ('"a/#"', '"a", "direction": "up"', "topic 1: direction must be one of in, out, both"),
        ('"a/#"', '"a", "local_prefix": "+/"', "topic 1: local_prefix must hold no wildcards"),
        ('"a/#"', '"$SYS/#", "direction": "in"', "cannot go to topics that begin with $"),
        ('"topics"', '"ca": "x", "topics"', "'hub': ca is set, but mqtt is not encrypted"),
        ('"topics"', '"version": 4, "topics"', "'hub': version must be one of auto, 5, 3.1.1"),
        ("}]}", "}]}, 1", "number 2: must be a table"),
        ("}]}", f"}}]}}, {BRIDGE}", "'hub': there are two of this name"),
        ("}]}", "}]", "is not JSON"),
    ],
)
def test_a_wrong_bridge_is_refused_by_name_without_its_password(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    text = BRIDGE.replace(old, new)
    with pytest.raises(SettingsError) as caught:
        load(environ={"FLEETWIRE_BRIDGES": f"[{text}]"}, cwd=tmp_path)
    assert str(caught.value).startswith("FLEETWIRE_BRIDGES (environment) ")
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("bind", "said", "of_medical", "of_others"),
    [
        ("127.0.0.1", None, "enrol_anonymous", "enrol_anonymous"),
        ("::1", "auto", "enrol_anonymous", "enrol_anonymous"),
        ("0.0.0.0", None, "quarantine", "quarantine"),
        ("0.0.0.0", "enrol", "enrol", "enrol"),
        ("127.0.0.1", "quarantine", "quarantine", "quarantine"),
        ("127.0.0.1", "medical=Quarantine", "quarantine", "enrol_anonymous"),
        ("0.0.0.0", "medical=quarantine, *=enrol", "quarantine", "enrol"),
    ],
)
def test_what_becomes_of_unknown_devices_follows_from_the_setting_or_who_can_come_in(
    tmp_path: Path, bind: str, said: str | None, of_medical: str, of_others: str
) -> None:
    environ = {"FLEETWIRE_BIND": bind}
    if said is not None:
        environ["FLEETWIRE_UNKNOWN_DEVICES"] = said
    settings = load(environ=environ, cwd=tmp_path)
    assert settings.unknown_devices_of("medical") == of_medical
    assert settings.unknown_devices_of("vending") == of_others


def test_unknown_devices_can_be_a_word_or_a_table_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "fleetwire.toml").write_text('unknown_devices = "quarantine"')
    assert load(environ={}, cwd=tmp_path).unknown_devices_of("x") == "quarantine"
    (tmp_path / "fleetwire.toml").write_text('[unknown_devices]\nmedical = "enrol"')
    assert load(environ={}, cwd=tmp_path).unknown_devices_of("medical") == "enrol"


@pytest.mark.parametrize("said", ["yes", "medical=", "=enrol", "medical=enrol,tablets"])
def test_another_word_for_unknown_devices_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(SettingsError, match=r"FLEETWIRE_UNKNOWN_DEVICES.*auto, enrol, quarantine"):
        load(environ={"FLEETWIRE_UNKNOWN_DEVICES": said}, cwd=tmp_path)


def test_certificates_enrol_only_where_they_say_who_somebody_is(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"tls\.enrol .* FLEETWIRE_TLS_IDENTITY=common_name"):
        load(environ={"FLEETWIRE_TLS_ENROL": "medical"}, cwd=tmp_path)


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"MQTT_BROKER_URL": "ws://hub"}, BrokerAddress("hub", 80, False, None, None, "/mqtt")),
        (
            {"MQTT_BROKER_URL": "wss://hub/a?b=1"},
            BrokerAddress("hub", 443, True, None, None, "/a?b=1"),
        ),
        (
            {"MQTT_BROKER_URL": "mqtt://hub", "MQTT_USERNAME": "me", "MQTT_PASSWORD": "it"},
            BrokerAddress("hub", 1883, False, "me", "it"),
        ),
        (
            {"MQTT_BROKER_URL": "mqtt://you:yours@hub", "MQTT_USERNAME": "me"},
            BrokerAddress("hub", 1883, False, "you", "yours"),
        ),
        (
            {"MQTT_HOST": "hub", "MQTT_PORT": "8884", "MQTT_PROTOCOL": "mqtts"},
            BrokerAddress("hub", 8884, True, None, None),
        ),
        ({"MQTT_HOST": "::1"}, BrokerAddress("::1", 1883, False, None, None)),
        ({"MQTT_HOST": "hub", "ENABLE_MQTT": "true"}, None),
        ({"MQTT_USERNAME": "me"}, None),
    ],
)
def test_where_the_external_broker_is(
    environ: dict[str, str], address: BrokerAddress | None, tmp_path: Path
) -> None:
    assert load(environ=environ, cwd=tmp_path).external_broker == address


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MQTT_BROKER_URL": "http://hub"}, "must be an address such as mqtt://"),
        ({"MQTT_BROKER_URL": "mqtt://hub/path"}, "must have no path"),
        ({"MQTT_HOST": "hub", "MQTT_PROTOCOL": "amqp"}, "MQTT_PROTOCOL, MQTT_HOST, MQTT_PORT"),
        ({"MQTT_BROKER_CA": "ca.pem"}, "mqtt:// is not encrypted"),
        (
            {"MQTT_BROKER_URL": "mqtts://hub", "MQTT_BROKER_KEY": "key.pem"},
            "set MQTT_BROKER_CERTIFICATE",
        ),
        ({"MQTT_BROKER_SHARE": "a/b"}, "without / + #, or off"),
        ({"MQTT_BROKER_TOPICS": "a/#/b"}, "must be Topic Filters"),
        ({"MQTT_BROKER_TOPICS": "$share/a/b"}, "which source.share adds"),
    ],
)
def test_what_cannot_be_meant_of_an_external_broker(
    environ: dict[str, str], said: str, tmp_path: Path
) -> None:
    environ = {"MQTT_BROKER_URL": "mqtt://hub"} | environ if "MQTT_HOST" not in environ else environ
    with pytest.raises(SettingsError) as caught:
        load(environ=environ, cwd=tmp_path)
    assert said in str(caught.value)


def test_no_bridge_may_be_called_as_the_external_broker_is(tmp_path: Path) -> None:
    bridges = '[{"name": "source", "url": "mqtt://x", "topics": [{"filter": "a"}]}]'
    with pytest.raises(SettingsError, match="give it another name"):
        load(environ={"MQTT_BROKER_URL": "mqtt://hub", "FLEETWIRE_BRIDGES": bridges}, cwd=tmp_path)
