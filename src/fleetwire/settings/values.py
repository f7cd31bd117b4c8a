"""What a setting can hold: each function returns the value, or raises ValueError.

The error says what it must be, to be put behind the setting's name. What needs the kit imports it
when it is called: the kit brings the web framework along, and most commands do without.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleetwire.errors import InvalidValueError
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.topics import check_topic_filter

MIN_SECRET_CHARS = 32  # HS256 wants a key as long as its hash (RFC 7518 §3.2)

LISTENERS = ("tcp", "tls", "ws", "wss", "unix")

Parse = Callable[[object], Any]


def text(value: object) -> str:
    """Text as it is."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def folder_or_file(value: object) -> Path:
    """A path; `~` is the home folder."""
    return Path(text(value) if not isinstance(value, Path) else value).expanduser()


def flag(value: object) -> bool:
    """Yes or no, in one of the usual words."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be true or false")


def number(low: int, high: int) -> Parse:
    """A whole number within these bounds."""

    def parse(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", text, re.ASCII):
            raise ValueError(f"must be a whole number from {low} to {high}")
        number = int(text)
        if not low <= number <= high:
            raise ValueError(f"must be from {low} to {high}")
        return number

    return parse


port_number = number(0, 65_535)


def port_or_off(value: object) -> int | None:
    """A port, or `off`."""
    if str(value).strip().lower() == "off":
        return None
    try:
        port: int = port_number(value)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None
    return port


def file_mode(value: object) -> str:
    """Who may read and write a file, in the digits of chmod."""
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"0?[0-7]{3}", text, re.ASCII):
        raise ValueError("must be three digits as for chmod, such as 660")
    return text[-3:]


def one_of(*words: str) -> Parse:
    """One of these words, in lower case."""

    def parse(value: object) -> str:
        word = str(value).strip().lower()
        if word not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return word

    return parse


def address(value: object) -> str:
    """An address to listen on."""
    address = text(value).strip().strip("[]")
    if address == "localhost":
        return address
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(
            "must be an address of this machine: 127.0.0.1 (this machine only), "
            "0.0.0.0 (every network it is in) or one of its own addresses"
        ) from None
    return address


def names(value: object) -> tuple[str, ...]:
    """Names with commas between them, or a list; each once."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be names with commas between them, such as medical")
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def origins(value: object) -> tuple[str, ...]:
    """Web origins with commas between them, or `*`."""
    wanted = names(value)
    if not all(of == "*" or re.fullmatch(r"https?://[^/\s?#@]+", of) for of in wanted):
        raise ValueError("must be origins such as https://ward.example, or *")
    return wanted


def some_of(*words: str) -> Parse:
    """Some of these words, with commas between them, or a list."""

    def parse(value: object) -> tuple[str, ...]:
        try:
            chosen = tuple(name.lower() for name in names(value))
        except ValueError:
            chosen = ()
        if not chosen or not set(chosen) <= set(words):
            raise ValueError(f"must be some of {', '.join(words)}, with commas between them")
        return chosen

    return parse


def anonymous(value: object) -> tuple[str, ...]:
    """`auto`, `never`, or the listeners that let in clients without credentials."""
    try:
        chosen: tuple[str, ...] = some_of("auto", "never", *LISTENERS)(value)
    except ValueError:
        chosen = ()
    if not chosen or (len(chosen) > 1 and not set(chosen) <= set(LISTENERS)):
        raise ValueError(
            f"must be auto, never, or some of {', '.join(LISTENERS)} with commas between them"
        )
    return chosen


def networks(value: object) -> tuple[str, ...]:
    """Addresses and networks with commas between them, or a list."""
    try:
        found = tuple(str(ipaddress.ip_network(name)) for name in names(value))
    except ValueError:
        found = ()
    if not found:
        raise ValueError("must be addresses or networks such as 10.0.0.5,192.168.0.0/24")
    return found


def ports_by_app(value: object) -> dict[str, int]:
    """Ports by the names of apps: `medical=8004,…`, or a table."""
    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        value = {app.strip(): port.strip() for app, _, port in pairs}
    if not isinstance(value, Mapping) or not all(app and isinstance(app, str) for app in value):
        raise ValueError("must be app=port with commas between them, such as medical=8004")
    ports = {}
    for app, port in value.items():
        try:
            ports[app] = port_number(port)
        except ValueError as error:
            raise ValueError(f"must be app=port; the port of {app} {error}") from None
    return ports


def lengths_of_time(value: object) -> dict[str, float]:
    """Lengths of time in seconds by name: `medical=5m,medical/ecg_monitor=10s`, or a table."""
    from fleetwire.kit.durations import parse_duration

    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        value = {name.strip(): length.strip() for name, _, length in pairs}
    if not isinstance(value, Mapping) or not all(name and isinstance(name, str) for name in value):
        raise ValueError("must be name=time with commas between them, such as medical=5m")
    lengths = {}
    for name, length in value.items():
        try:
            lengths[name] = parse_duration(str(length), f"the time of {name}")
        except InvalidValueError as error:
            raise ValueError(f"must be name=time; {error}") from None
    return lengths


def role(value: object) -> str:
    """A role."""
    from fleetwire.kit.people import ROLES

    found: str = one_of(*ROLES)(value)
    return found


def roles_by_name(value: object) -> dict[str, str]:
    """Our roles by others' names for them: `fleet-admin=administrator,staff=operator`, or a table.

    The last = of a pair counts: others' names may have one.
    """
    from fleetwire.kit.people import ROLES

    if isinstance(value, str):
        pairs = [pair.rpartition("=") for pair in value.split(",") if pair.strip()]
        value = {name.strip(): role.strip().lower() for name, _, role in pairs}
    if not isinstance(value, Mapping) or not all(
        name and isinstance(name, str) and role in ROLES for name, role in value.items()
    ):
        raise ValueError(
            "must be name=role with commas between them, such as fleet-admin=administrator; "
            f"the roles are {', '.join(ROLES)}"
        )
    return dict(value)


def unknown_devices(value: object) -> dict[str, str]:
    """What becomes of unknown devices: one word, or words by app: `medical=enrol,…`, or a table.

    A single word stands for every app, which is written `*` here.
    """
    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        value = {
            (app.strip() if equals else "*"): (word if equals else app).strip().lower()
            for app, equals, word in pairs
        }
    words = ("auto", "enrol", "quarantine")
    if not isinstance(value, Mapping) or not all(
        app and isinstance(app, str) and word in words for app, word in value.items()
    ):
        raise ValueError(f"must be one of {', '.join(words)}, or app=word with commas between them")
    return dict(value)


def secret(value: object) -> str:
    """A secret that is long enough to sign with."""
    secret = text(value)
    if len(secret) < MIN_SECRET_CHARS:
        raise ValueError(
            f"must have at least {MIN_SECRET_CHARS} characters, such as from: openssl rand -hex 32"
        )
    return secret


def secret_in_file(value: object) -> str:
    """The secret that is in a file."""
    try:
        return secret(folder_or_file(value).read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"must name a file that can be read ({reason})") from None


def http_url(value: object) -> str:
    """An HTTP address."""
    url = text(value).strip()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://login.example.org/jwks.json")
    return url


def otlp_url(value: object) -> str:
    """The address of a collector."""
    try:
        return http_url(value)
    except ValueError:
        raise ValueError("must be an address such as http://127.0.0.1:4318") from None


def headers(value: object) -> tuple[tuple[str, str], ...]:
    """HTTP headers: `name=value`, with commas between them."""
    found = []
    for pair in text(value).split(","):
        name, equals, said = pair.strip().partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9-]+", name) or not said.isprintable():
            raise ValueError("must be name=value, with commas between several")
        found.append((name.lower(), said.strip()))
    return tuple(found)


def database_url(value: object) -> str:
    """A database that we can use."""
    url = text(value).strip()
    if not url.startswith("sqlite:///") or url == "sqlite:///":
        raise ValueError(
            "must be a SQLite file such as sqlite:////var/lib/fleetwire/fleetwire.db; "
            "other databases are not supported yet (unset it to use the data folder)"
        )
    return url


def share_name(value: object) -> str:
    """The name of a group of shared subscriptions, or `off`."""
    name = text(value).strip()
    if name.lower() == "off":
        return ""
    if not name or len(name) > 64 or any(sign in name for sign in "/+#\0"):
        raise ValueError("must be a name of up to 64 characters without / + #, or off")
    return name


def topic_filters(value: object) -> tuple[str, ...]:
    """Topic Filters with commas between them, or a list."""
    found = names(value)
    for each in found:
        try:
            check_topic_filter(each)
        except ProtocolError as error:
            raise ValueError(f"must be Topic Filters: {error}") from None
        if each.startswith("$share/"):
            raise ValueError("must be Topic Filters without $share/, which source.share adds")
    return found


def mqtt_url(value: object) -> str:
    """The address of an MQTT broker."""
    url = text(value).strip()
    parts = urlsplit(url)
    schemes = ("mqtt", "mqtts", "ws", "wss")
    try:
        is_right = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number
        is_right = False
    if not is_right:
        raise ValueError("must be an address such as mqtt://broker.example.org:1883")
    if parts.scheme in ("mqtt", "mqtts") and (parts.path not in ("", "/") or parts.query):
        raise ValueError(f"must have no path: {parts.scheme} has no use for one")
    return url
