"""What `fleetwire doctor` looks at: each check says what it found and what to do about it."""

import asyncio
import errno
import os
import secrets
import shutil
import socket
import sqlite3
import ssl
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from alembic.script import ScriptDirectory

from fleetwire.cli.rest import RestClient, RestError
from fleetwire.errors import SettingsError
from fleetwire.kit import App
from fleetwire.net.client import (
    ClientError,
    ConnectionRefusedByServerError,
    MQTTClient,
    UnreachableError,
)
from fleetwire.protocol import constants as c
from fleetwire.runtime.loader import load_apps, migrations_of
from fleetwire.settings import Settings, is_loopback, reachable_at
from fleetwire.store.migrate import FOLDER

Level = Literal["good", "notice", "wrong"]

TIMEOUT_S = 5.0
DATABASE_CHECK_S = 10.0
LITTLE_DISK_BYTES = 1024**3
NO_DISK_BYTES = 100 * 1024**2
FIRST_SANE_YEAR = 2025
LAST_SANE_YEAR = 2100
CLOCK_LOOK_S = 0.2
CLOCK_STEP_S = 0.05


SETTING_OF_PORT: Mapping[str, str] = {
    "http port": "FLEETWIRE_HTTP_PORT",
    "mqtt port": "FLEETWIRE_MQTT_PORT",
    "mqtt websocket port": "FLEETWIRE_MQTT_WS_PORT",
    "mqtt tls port": "FLEETWIRE_MQTT_TLS_PORT",
    "mqtt secure websocket port": "FLEETWIRE_MQTT_WSS_PORT",
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what was looked at, what was found, what to do."""

    about: str
    level: Level
    found: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it for a program."""
        return asdict(self)


def check_python() -> Finding:
    """Look at the interpreter and its SQLite."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    found = f"Python {version}, SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < (3, 35):
        return Finding("python", "wrong", found, "SQLite 3.35 or newer is needed.")
    return Finding("python", "good", found)


def check_clock() -> Finding:
    """Look whether the wall clock shows a believable time and runs evenly."""
    moment = datetime.now().astimezone()
    found = f"{moment.isoformat(timespec='seconds')} ({moment.tzname()})"
    if not FIRST_SANE_YEAR <= moment.year < LAST_SANE_YEAR:
        return Finding("clock", "wrong", found, "Set the clock: every reading gets its time.")
    wall, steady = time.time(), time.monotonic()
    time.sleep(CLOCK_LOOK_S)
    drift_s = (time.time() - wall) - (time.monotonic() - steady)
    if abs(drift_s) > CLOCK_STEP_S:
        advice = "The clock was set just now; look whether two programs set it against each other."
        return Finding("clock", "notice", f"{found}, jumped by {drift_s:+.3f} s", advice)
    return Finding("clock", "good", found)


def check_data_dir(settings: Settings) -> list[Finding]:
    """Look whether the data folder can be written and has room."""
    folder = settings.data_dir
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder")
        probe = there / f".fleetwire-doctor-{secrets.token_hex(4)}"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        advice = "Give it to the user that runs Fleetwire, or set FLEETWIRE_DATA_DIR to another."
        found = f"{there} cannot be written: {error.strerror}"
        return [Finding("data folder", "wrong", found, advice)]
    found = f"{folder}" if there == folder else f"{folder} (made at the first start)"
    return [Finding("data folder", "good", found), _check_disk(there)]


def _check_disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1024**3:.1f} GiB free"
    if free < NO_DISK_BYTES:
        advice = "Make room: without it nothing is stored, and devices are not acknowledged."
        return Finding("disk", "wrong", found, advice)
    if free < LITTLE_DISK_BYTES:
        return Finding("disk", "notice", found, "Make room soon.")
    return Finding("disk", "good", found)


def load(settings: Settings) -> tuple[list[App], Finding]:
    """Look whether the apps can be loaded; return them, too."""
    try:
        apps = load_apps(settings.apps, settings.environment)
    except (SettingsError, ImportError) as error:
        return [], Finding("apps", "wrong", str(error), "Correct it, or leave the app out.")
    names = ", ".join(app.name for app in apps) or "none"
    unknown = sorted(set(settings.app_ports) - {app.name for app in apps})
    if unknown:
        advice = "Correct FLEETWIRE_APP_PORTS (--app-port)."
        found = f"{names}; a port is set for {', '.join(unknown)}, which does not run"
        return apps, Finding("apps", "wrong", found, advice)
    return apps, Finding("apps", "good", names)


def ports_of(settings: Settings, apps: list[App]) -> dict[str, int]:
    """Return every port that the server listens on, by what it is for."""
    ports = {
        "http port": settings.http_port,
        "mqtt port": settings.mqtt_port,
        "mqtt websocket port": settings.mqtt_ws_port,
        "mqtt tls port": settings.mqtt_tls_port or 0,
        "mqtt secure websocket port": settings.mqtt_wss_port or 0,
    }
    for app in apps:
        if app.listener is not None:
            ports[f"{app.name} port"] = settings.app_ports.get(app.name, app.listener.port)
    return ports


def is_running(settings: Settings) -> bool:
    """Say whether a Fleetwire answers on the platform's port."""
    if settings.http_port == 0:
        return False
    client = RestClient(_root(settings, settings.http_port), timeout_s=TIMEOUT_S)
    try:
        client.get("/api/v1/auth/me")
    except RestError as error:
        return error.status == 401  # that route is ours, and asks who we are
    return True


def check_ports(settings: Settings, ports: Mapping[str, int], running: bool) -> list[Finding]:
    """Look whether each port can be had, or who has it."""
    binds = {
        "mqtt port": settings.bind_of("tcp"),
        "mqtt websocket port": settings.bind_of("ws"),
    }
    secure = ("mqtt tls port", "mqtt secure websocket port")
    return [
        _check_port(binds.get(about, settings.bind), about, port, running)
        for about, port in ports.items()
        if about not in secure or port
    ]


def _check_port(bind: str, about: str, port: int, running: bool) -> Finding:
    if port == 0:
        return Finding(about, "good", "any free one")
    setting = "FLEETWIRE_APP_PORTS"
    if about in SETTING_OF_PORT:
        setting = SETTING_OF_PORT[about]
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
            probe.listen()
        except OSError as error:
            return _explain_port(error, bind, about, port, setting, running)
    return Finding(about, "good", f"{port} is free")


def _explain_port(
    error: OSError, bind: str, about: str, port: int, setting: str, running: bool
) -> Finding:
    if error.errno == errno.EADDRINUSE:
        if running:
            return Finding(about, "good", f"{port} is taken, by the Fleetwire that runs here")
        advice = f"Stop what listens there, or choose another port: {setting}."
        return Finding(about, "wrong", f"{port} is taken by another program", advice)
    if error.errno == errno.EACCES:
        advice = f"Ports below 1024 need rights of their own; choose another: {setting}."
        return Finding(about, "wrong", f"{port} may not be used", advice)
    if error.errno == errno.EADDRNOTAVAIL:
        advice = "Set FLEETWIRE_BIND to 127.0.0.1, 0.0.0.0 or an address of this machine."
        return Finding(about, "wrong", f"{bind} is no address of this machine", advice)
    return Finding(about, "wrong", f"{port} cannot be used: {error.strerror}")


def check_broker(
    settings: Settings, running: bool, username: str | None, password: str | None
) -> list[Finding]:
    """Connect to the broker as MQTT clients do: the one of MQTT_BROKER_URL, or the embedded one."""
    external = settings.external_broker
    if external is not None:
        where = f"{external.host}:{external.port}"
        client = MQTTClient(
            username=username or external.username, password=password or external.password
        )
        tls = ssl.create_default_context() if external.is_tls else None
        error = _try_to_connect(client, external.host, external.port, tls)
        if error is None:
            return [Finding("broker", "good", f"{where} (MQTT_BROKER_URL) accepts us")]
        return [_explain_refusal("broker", error, "MQTT_BROKER_URL")]
    if not running:
        advice = "Start it with: fleetwire serve"
        return [Finding("broker", "notice", "embedded; the server does not run now", advice)]
    findings = [_check_anonymous(settings)]
    if username is not None:
        client = MQTTClient(username, username=username, password=password)
        error = _try_to_connect(client, reachable_at(settings.bind), settings.mqtt_port, None)
        if error is None:
            findings.append(Finding("credential", "good", f"{username} may connect"))
        else:
            findings.append(_explain_refusal("credential", error, "--username and --password"))
    return findings


def _check_anonymous(settings: Settings) -> Finding:
    bind = settings.bind_of("tcp")
    where = f"{reachable_at(bind)}:{settings.mqtt_port}"
    if settings.proxy.is_on("tcp"):
        found = f"{where} speaks to proxies only, so it was not asked"
        return Finding("broker", "notice", found)
    client = MQTTClient()
    error = _try_to_connect(client, reachable_at(bind), settings.mqtt_port, None)
    loopback = is_loopback(bind)
    if error is None:
        if settings.is_anonymous_allowed("tcp"):
            whom = (
                "clients of this machine" if loopback else "clients, as FLEETWIRE_ANONYMOUS says,"
            )
            found = f"{where} answers; {whom} need no password"
            return Finding("broker", "good" if loopback else "notice", found)
        advice = "It must not, bound to a network. Another broker may have this port."
        return Finding("broker", "wrong", f"{where} lets clients in without a password", advice)
    if isinstance(error, ConnectionRefusedByServerError) and error.reason_code in (
        c.NOT_AUTHORIZED,
        c.BAD_USER_NAME_OR_PASSWORD,
    ):
        found = f"{where} answers and demands a user name and password"
        return Finding("broker", "notice" if loopback else "good", found)
    return _explain_refusal("broker", error, "FLEETWIRE_MQTT_PORT")


def _try_to_connect(
    client: MQTTClient, host: str, port: int, tls: ssl.SSLContext | None
) -> ClientError | None:
    async def run() -> None:
        await client.connect(host, port, tls=tls, timeout_s=TIMEOUT_S)
        await client.disconnect()

    try:
        asyncio.run(run())
    except ClientError as error:
        return error
    return None


def _explain_refusal(about: str, error: ClientError, setting: str) -> Finding:
    advice = f"Look at {setting}, and at the broker's own log."
    if isinstance(error, UnreachableError):
        advice = {
            "refused": f"Start the broker, or correct host and port in {setting}.",
            "timeout": f"A firewall may be between, or {setting} names a port of something else.",
            "name": f"Correct the host name in {setting}, or look at DNS.",
            "tls": f"Look at the broker's certificate, its host name, and mqtt:// or mqtts:// "
            f"in {setting}.",
            "closed": f"That may not be an MQTT broker, or it wants TLS (mqtts://): {setting}.",
        }.get(error.cause, advice)
    elif isinstance(error, ConnectionRefusedByServerError):
        if error.reason_code == c.BAD_USER_NAME_OR_PASSWORD:
            advice = f"The user name or password is wrong: {setting}."
        elif error.reason_code == c.NOT_AUTHORIZED:
            advice = f"Clients without a credential, or this one, are not let in: {setting}."
    return Finding(about, "wrong", str(error), advice)


def check_authentication(settings: Settings, running: bool) -> list[Finding]:
    """Look at the signing secret, the JWKS URL, and whether the server asks who we are."""
    findings = [_check_secret(settings)]
    if settings.auth.jwks_url is not None:
        findings.append(_check_jwks(settings.auth.jwks_url))
    if running:
        findings.append(_check_token(settings))
    return findings


def _check_secret(settings: Settings) -> Finding:
    if settings.auth.jwt_secret is not None:
        return Finding("token secret", "good", "set")
    path = settings.data_dir / "jwt.secret"
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        return Finding("token secret", "good", f"{path} (made at the first start)")
    except OSError as error:
        found = f"{path} cannot be read: {error.strerror}"
        return Finding("token secret", "wrong", found, "Give it to the user that runs Fleetwire.")
    if mode & 0o077:
        advice = f"Anyone who reads it can sign in as anybody: chmod 600 {path}"
        return Finding("token secret", "wrong", f"{path} is open to others ({mode:o})", advice)
    if not os.access(path, os.R_OK):
        advice = "Give it to the user that runs Fleetwire."
        return Finding("token secret", "wrong", f"{path} cannot be read", advice)
    return Finding("token secret", "good", str(path))


def _check_jwks(url: str) -> Finding:
    try:
        answer = RestClient(url, timeout_s=TIMEOUT_S).get("")
        keys = answer["keys"] if isinstance(answer, dict) else None
    except (RestError, KeyError) as error:
        advice = "Correct FLEETWIRE_JWKS_URL, or see why that server does not answer."
        return Finding("token keys", "wrong", f"{url}: {error}", advice)
    if not isinstance(keys, list) or not keys:
        advice = "FLEETWIRE_JWKS_URL must name a JSON Web Key Set."
        return Finding("token keys", "wrong", f"{url} holds no keys", advice)
    return Finding("token keys", "good", f"{url} holds {len(keys)}")


def _check_token(settings: Settings) -> Finding:
    client = RestClient(
        _root(settings, settings.http_port), settings.client.token, timeout_s=TIMEOUT_S
    )
    has_token = settings.client.token is not None
    try:
        client.get("/api/v1/auth/me")
    except RestError as error:
        if error.status == 401 and not has_token:
            return Finding("sign-in", "good", "the server asks who we are")
        advice = "Get a new one: export FLEETWIRE_TOKEN=$(fleetwire login)" if has_token else ""
        return Finding("sign-in", "wrong", str(error), advice)
    if has_token:
        return Finding("sign-in", "good", "FLEETWIRE_TOKEN is accepted")
    return Finding("sign-in", "wrong", "the server shows an account to somebody without a token")


def check_database(settings: Settings, apps: list[App]) -> list[Finding]:
    """Look whether the database opens, is of this version's form, whole, and writes ahead."""
    path = Path(unquote(settings.store.url.removeprefix("sqlite:///").partition("?")[0]))
    if not path.exists():
        return [Finding("database", "good", f"{path} (made at the first start)")]
    # Looking must not leave files behind, least of all root's. Where no log is, nobody writes now,
    # and SQLite can do without its own.
    uri = f"file:{quote(str(path))}?mode=ro"
    if not path.with_name(f"{path.name}-wal").exists():
        uri += "&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=TIMEOUT_S)) as database:
            return [
                _check_writing_ahead(path),
                _check_form(database, apps),
                _check_wholeness(database),
            ]
    except sqlite3.Error as error:
        is_other = "not a database" in str(error) or "malformed" in str(error)
        advice = "Restore it from a backup." if is_other else "Look at its rights."
        return [Finding("database", "wrong", f"{path}: {error}", advice)]


def _check_writing_ahead(path: Path) -> Finding:
    with path.open("rb") as file:
        is_wal = file.read(20)[18:] == b"\x02\x02"  # the file format's word for it
    found = f"{path} ({path.stat().st_size / 1024**2:.1f} MiB)"
    if not is_wal:
        advice = "It writes no log ahead; the server sets that (WAL) when it starts."
        return Finding("database", "notice", found, advice)
    return Finding("database", "good", found)


def _check_form(database: sqlite3.Connection, apps: list[App]) -> Finding:
    about = "database version"
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    if "alembic_version" not in tables:
        advice = "It is not Fleetwire's, or its first start was interrupted: fleetwire migrate"
        return Finding(about, "wrong", "none", advice)
    reached, missing, unknown = [], [], []
    for branch, (table, revisions) in _revisions(apps).items():
        rows = database.execute(f'SELECT version_num FROM "{table}"') if table in tables else ()
        revision = next((row[0] for row in rows), None)
        if revision == revisions[0]:
            reached.append(f"{branch} {revision}")
        elif revision is None or revision in revisions:
            missing.append(f"{branch} {revision or 'none'}, needed is {revisions[0]}")
        else:
            unknown.append(f"{branch} {revision}")
    if unknown:
        advice = "A newer version made it: start that one, or go back to a copy from before."
        return Finding(about, "wrong", f"{', '.join(unknown)} is not known here", advice)
    if missing:
        advice = "The server brings it up when it starts; or: fleetwire migrate"
        return Finding(about, "notice", "; ".join(missing), advice)
    return Finding(about, "good", ", ".join(reached))


def _revisions(apps: list[App]) -> dict[str, tuple[str, list[str]]]:
    """Return by branch its version table and its revisions, newest first."""
    branches = {"platform": ("alembic_version", FOLDER / "versions")}
    for app in apps:
        folder = migrations_of(app)
        if folder is not None:
            branches[app.name] = (f"alembic_version_{app.name}", folder)
    script = ScriptDirectory(
        str(FOLDER), version_locations=[str(folder) for _, folder in branches.values()]
    )
    return {
        branch: (
            table,
            [
                each.revision
                for each in script.walk_revisions("base", f"{branch}@head")
                if branch in each.branch_labels
            ],
        )
        for branch, (table, _) in branches.items()
    }


def _check_wholeness(database: sqlite3.Connection) -> Finding:
    deadline = time.monotonic() + DATABASE_CHECK_S
    database.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
    try:
        problems = [row[0] for row in database.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        found = f"too large to be checked within {DATABASE_CHECK_S:g} s"
        advice = "For all of it: sqlite3 FILE 'PRAGMA quick_check'"
        return Finding("database content", "notice", found, advice)
    if problems != ["ok"]:
        return Finding(
            "database content", "wrong", "; ".join(problems), "Restore it from a backup."
        )
    return Finding("database content", "good", "whole")


def _root(settings: Settings, port: int) -> str:
    host = reachable_at(settings.bind)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
