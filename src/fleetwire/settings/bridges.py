"""What a bridge setting can hold: tables in the file, or the same as JSON in a variable."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from fleetwire.net.bridge.plan import BridgePlan, TopicRule
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.topics import check_topic_filter
from fleetwire.settings import values as v

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
DEFAULT_PATH = "/mqtt"

_BRIDGE_KEYS = ("name", "url", "client_id", "version", "ca", "certificate", "key", "topics")
_TOPIC_KEYS = ("filter", "direction", "qos", "local_prefix", "remote_prefix")


def bridges(value: object) -> tuple[BridgePlan, ...]:
    """Bridges to other brokers: a list of tables, or JSON of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(value, (list, tuple)):
        raise ValueError("must be a list of bridges: write [[bridge]] for each")
    found: dict[str, BridgePlan] = {}
    for number, table in enumerate(value, 1):
        given = table.get("name") if isinstance(table, Mapping) else None
        shown = repr(given[:40]) if isinstance(given, str) else f"number {number}"
        try:
            plan = _bridge(table)
            if plan.name in found:
                raise ValueError("there are two of this name")
        except ValueError as error:
            raise ValueError(f"{shown}: {error}") from None
        found[plan.name] = plan
    return tuple(found.values())


def _bridge(table: object) -> BridgePlan:
    taken = _table(table, _BRIDGE_KEYS, ("name", "url", "topics"))
    name = v.text(taken["name"])
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name):
        raise ValueError("name must be up to 32 letters, digits, - and _")
    scheme, host, port, path, username, password = _take(taken, "url", _url)
    files = {
        key: _take(taken, key, v.folder_or_file)
        for key in ("ca", "certificate", "key")
        if key in taken
    }
    if files and scheme not in ("mqtts", "wss"):
        raise ValueError(f"{next(iter(files))} is set, but {scheme} is not encrypted")
    if "key" in files and "certificate" not in files:
        raise ValueError("key is set, but no certificate")
    topics = taken["topics"]
    if not isinstance(topics, (list, tuple)) or not topics:
        raise ValueError("topics must be a list with at least one table")
    rules = []
    for number, topic in enumerate(topics, 1):
        try:
            rules.append(_rule(topic))
        except ValueError as error:
            raise ValueError(f"topic {number}: {error}") from None
    return BridgePlan(
        name,
        scheme,
        host,
        port,
        path,
        username,
        password,
        _take(taken, "client_id", v.text, ""),
        _take(taken, "version", v.one_of("auto", "5", "3.1.1"), "auto"),
        topics=tuple(rules),
        **files,
    )


def _rule(table: object) -> TopicRule:
    taken = _table(table, _TOPIC_KEYS, ("filter",))
    rule = TopicRule(
        _take(taken, "filter", v.text),
        _take(taken, "direction", v.one_of("in", "out", "both"), "out"),
        _take(taken, "qos", v.number(0, 2), 1),
        _take(taken, "local_prefix", _prefix, ""),
        _take(taken, "remote_prefix", _prefix, ""),
    )
    for topic_filter in (rule.filter, rule.local_filter, rule.remote_filter):
        if topic_filter.startswith("$share/"):
            raise ValueError("a shared subscription cannot be bridged")
        try:
            check_topic_filter(topic_filter)
        except ProtocolError as error:
            raise ValueError(f"filter is wrong: {error}") from None
    if rule.comes_in and rule.local_filter.startswith("$"):
        raise ValueError("what comes in cannot go to topics that begin with $: set local_prefix")
    return rule


def _table(table: object, known: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise ValueError("must be a table")
    for key in table:
        if key not in known:
            raise ValueError(f"{str(key)[:40]!r} is none of {', '.join(known)}")
    for key in needed:
        if key not in table:
            raise ValueError(f"{key} is missing")
    return dict(table)


def _take(table: dict[str, Any], key: str, parse: Callable[[object], Any], *default: Any) -> Any:
    if key not in table and default:
        return default[0]
    try:
        return parse(table[key])
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None


def _prefix(value: object) -> str:
    prefix = v.text(value)
    if any(sign in prefix for sign in "+#\0"):
        raise ValueError("must hold no wildcards")
    return prefix


def _url(value: object) -> tuple[str, str, int, str, str | None, str | None]:
    parts = urlsplit(v.text(value).strip())
    try:
        port = parts.port
        is_right = parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and port != 0
    except ValueError:  # a port that is no number
        port, is_right = None, False
    if not is_right or parts.fragment:
        raise ValueError("must be an address such as mqtts://name:password@hub.example.org:8883")
    is_websocket = parts.scheme in ("ws", "wss")
    if not is_websocket and (parts.path not in ("", "/") or parts.query):
        raise ValueError(f"has a path, which {parts.scheme} has no use for")
    path = (parts.path or DEFAULT_PATH) + (f"?{parts.query}" if parts.query else "")
    return (
        parts.scheme,
        parts.hostname or "",
        port or DEFAULT_PORTS[parts.scheme],
        path if is_websocket else DEFAULT_PATH,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )
