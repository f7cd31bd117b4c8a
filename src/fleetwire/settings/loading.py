"""load: from files, environment and command line to Settings."""

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fleetwire.errors import SettingsError
from fleetwire.net.external.plan import SOURCE
from fleetwire.settings.files import read_config, read_dotenv
from fleetwire.settings.sections import KNOWN, PREFIX, SECTIONS, VARIABLES, Settings
from fleetwire.settings.values import Parse

CONFIG_FILE = "fleetwire.toml"
DOTENV_FILE = ".env"


def load(
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Return the settings of the command line, the environment and the files in `cwd`.

    `overrides` is the command line's, by dotted name; None there means not given. Raises
    SettingsError.
    """
    cwd = Path.cwd() if cwd is None else cwd
    environ = os.environ if environ is None else environ
    written = read_config(cwd / CONFIG_FILE)
    dotenv = read_dotenv(cwd / DOTENV_FILE)
    for_apps = written.pop("environment", {})
    if not isinstance(for_apps, dict) or not all(isinstance(v, str) for v in for_apps.values()):
        raise SettingsError(f"[environment] in {CONFIG_FILE} must hold text values only")
    environment = for_apps | dotenv | dict(environ)

    chosen = _Chosen()
    _choose_written(chosen, written)
    _choose_variables(chosen, dotenv, DOTENV_FILE)
    _choose_variables(chosen, environ, "environment")
    for name, value in (overrides or {}).items():
        if value is not None:
            shown = "--" + name.replace("_", "-").replace("app-ports", "app-port")
            chosen.take(name, shown, value, "command line", KNOWN[name].parse)

    values = chosen.values
    if "mqtt_broker_url" not in values:
        _choose_broker_in_parts(chosen, environment)
    data_dir = cwd / values.get("data_dir", "data")
    values["data_dir"] = data_dir
    values.setdefault("store.url", f"sqlite:///{data_dir / 'fleetwire.db'}")
    settings = _assemble(chosen, environment)
    _check_tls(settings)
    _check_ports(settings)
    _check_source(settings)
    _check_issuers(settings)
    return settings


_BROKER_PARTS = (
    "MQTT_BROKER_HOST",
    "MQTT_BROKER_PORT",
    "MQTT_HOST",
    "MQTT_PORT",
    "MQTT_PROTOCOL",
    "ENABLE_MQTT",
)


class _Chosen:
    """The values chosen so far, by dotted name, and where each came from."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}

    def take(self, name: str, shown: str, value: object, source: str, parse: Parse) -> None:
        """Choose this value over what was chosen before. `shown` is its name in the source."""
        try:
            parsed = parse(value)
        except ValueError as error:
            # A secret's value has no place in a log, however wrong it is.
            secret = KNOWN[name].is_secret
            was = "" if secret else f", not {str(value)[:60]!r}"
            raise SettingsError(f"{shown} ({source}) {error}{was}") from None
        if isinstance(parsed, dict):  # the ports of other apps stay as they were
            parsed = self.values.get(name, {}) | parsed
        self.values[name] = parsed
        self.sources[name] = source


def _choose_written(chosen: _Chosen, written: dict[str, Any]) -> None:
    flat: dict[str, object] = {}
    for key, value in written.items():
        if key in SECTIONS:
            if not isinstance(value, dict):
                raise SettingsError(f"{key} ({CONFIG_FILE}) must be a table: write [{key}]")
            flat |= {f"{key}.{inner}": of for inner, of in value.items()}
        else:
            flat[key] = value
    for name, value in flat.items():
        if name not in KNOWN:
            possible = [*KNOWN, "environment"]
            raise SettingsError(
                f"{name} ({CONFIG_FILE}) is not a setting.{_nearest(name, possible)}"
            )
        chosen.take(name, name, value, CONFIG_FILE, KNOWN[name].parse)


def _choose_variables(chosen: _Chosen, variables: Mapping[str, str], source: str) -> None:
    taken: dict[str, str] = {}
    for variable, text in sorted(variables.items()):
        if variable not in VARIABLES:
            if variable.startswith(PREFIX):
                raise SettingsError(
                    f"{variable} ({source}) is not a setting.{_nearest(variable, VARIABLES)}"
                )
            continue
        if not text.strip():
            continue
        name, parse = VARIABLES[variable]
        if name in taken:
            if variable == "LOG_LEVEL":  # everybody's variable yields to our own
                continue
            raise SettingsError(
                f"{taken[name]} and {variable} ({source}) set the same thing; remove one of them"
            )
        taken[name] = variable
        chosen.take(name, variable, text, source, parse)


def _choose_broker_in_parts(chosen: _Chosen, environment: Mapping[str, str]) -> None:
    """Take the broker's address from variables that say it piece by piece."""
    given = {name: environment.get(name, "").strip() for name in _BROKER_PARTS}
    if given["MQTT_BROKER_HOST"]:
        host_name, port_name = "MQTT_BROKER_HOST", "MQTT_BROKER_PORT"
    elif given["MQTT_HOST"] and not given["ENABLE_MQTT"]:
        # Where it is set, these two say where somebody's own broker listens.
        host_name, port_name = "MQTT_HOST", "MQTT_PORT"
    else:
        return
    host, scheme = given[host_name], given["MQTT_PROTOCOL"].lower().removesuffix("://") or "mqtt"
    port = f":{given[port_name]}" if given[port_name] else ""
    url = f"{scheme}://[{host}]{port}" if ":" in host else f"{scheme}://{host}{port}"
    shown = f"{host_name}, {port_name}"
    if given["MQTT_PROTOCOL"]:
        shown = f"MQTT_PROTOCOL, {shown}"
    parse = KNOWN["mqtt_broker_url"].parse
    chosen.take("mqtt_broker_url", shown, url, "environment", parse)


def _assemble(chosen: _Chosen, environment: dict[str, str]) -> Settings:
    inside: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    plain: dict[str, Any] = {}
    for name, value in chosen.values.items():
        section, _, last = name.rpartition(".")
        (inside[section] if section else plain)[last] = value
    if "app_ports" in plain:
        plain["app_ports"] = MappingProxyType(plain["app_ports"])
    sections = {name: section(**inside[name]) for name, section in SECTIONS.items()}
    return Settings(
        **plain,
        **sections,
        environment=MappingProxyType(environment),
        sources=MappingProxyType(chosen.sources),
    )


def _check_tls(settings: Settings) -> None:
    tls = settings.tls
    if tls.certificate is not None and tls.key is None:
        raise SettingsError("tls.certificate is set, but no key for it: set FLEETWIRE_TLS_KEY")
    if tls.certificate is None:
        for name in ("mqtt_tls_port", "mqtt_wss_port", "tls.key", "tls.client_ca"):
            section, _, last = name.rpartition(".")
            value = getattr(tls if section else settings, last)
            if name in settings.sources and value is not None:
                raise SettingsError(
                    f"{name} ({settings.sources[name]}) is set, but there is no certificate: "
                    "set FLEETWIRE_TLS_CERTIFICATE and FLEETWIRE_TLS_KEY"
                )
    if tls.enrol is not None and (tls.client_ca is None or tls.identity != "common_name"):
        raise SettingsError(
            f"tls.enrol ({settings.sources['tls.enrol']}) needs FLEETWIRE_TLS_CLIENT_CA and "
            "FLEETWIRE_TLS_IDENTITY=common_name: a device is called as its certificate says"
        )
    if tls.client_ca is None and "tls.client_certificate" in settings.sources:
        raise SettingsError(
            f"tls.client_certificate ({settings.sources['tls.client_certificate']}) is set, but "
            "not who signs clients' certificates: set FLEETWIRE_TLS_CLIENT_CA"
        )


def _check_issuers(settings: Settings) -> None:
    auth = settings.auth
    if auth.jwt_roles and auth.jwt_role_claim is None:
        raise SettingsError(
            f"auth.jwt_roles ({settings.sources['auth.jwt_roles']}) is set, but not where a token "
            "says its role: set FLEETWIRE_JWT_ROLE_CLAIM"
        )
    # Many share an issuer with us: a token that was made for another application is genuine, too.
    for name in ("auth.jwt_default_role", "auth.jwt_role_claim"):
        if name in settings.sources and auth.jwks_url is not None and auth.jwt_audience is None:
            raise SettingsError(
                f"{name} ({settings.sources[name]}) lets in whom we do not know, of everybody "
                "whom the issuer of FLEETWIRE_JWKS_URL knows: set FLEETWIRE_JWT_AUDIENCE"
            )


def _check_source(settings: Settings) -> None:
    broker, source = settings.external_broker, settings.source
    if broker is None:
        return
    for name in ("ca", "certificate", "key"):
        if getattr(source, name) is not None and not broker.is_tls:
            raise SettingsError(
                f"source.{name} ({settings.sources[f'source.{name}']}) is set, but "
                f"{broker.scheme}:// is not encrypted: use mqtts:// or wss:// in MQTT_BROKER_URL"
            )
    if source.key is not None and source.certificate is None:
        raise SettingsError(
            f"source.key ({settings.sources['source.key']}) is set, but no certificate for it: "
            "set MQTT_BROKER_CERTIFICATE"
        )
    if any(each.name == SOURCE for each in settings.bridge):
        raise SettingsError(
            f"A bridge is called {SOURCE}, as the broker of MQTT_BROKER_URL is: give it another "
            "name"
        )


def _check_ports(settings: Settings) -> None:
    # Two apps may share a port; nobody shares the broker's. HTTP may be shared with apps too.
    http = {f"the port of {app}": port for app, port in settings.app_ports.items()}
    http["http_port"] = settings.http_port
    mqtt = {"mqtt_port": settings.mqtt_port, "mqtt_ws_port": settings.mqtt_ws_port}
    if settings.tls.certificate is not None:
        mqtt["mqtt_tls_port"] = settings.mqtt_tls_port or 0
        mqtt["mqtt_wss_port"] = settings.mqtt_wss_port or 0
    for name, port in mqtt.items():
        for other, taken in (http | mqtt).items():
            if port and port == taken and name != other:
                raise SettingsError(
                    f"{name} and {other} are both {port}; give one of them another port"
                )


def _nearest(name: str, possible: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(possible), n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else " Remove it."
