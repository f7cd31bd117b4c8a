"""Actions: what a chain does at its end, checked when it is stored and filled in when it runs.

In every text of an action `{{key}}` stands for the value of a variable that the chain's filters or
transforms name; a text that is nothing else becomes the value itself, number or truth as it is.
"""

import re
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from fleetwire.errors import InvalidValueError
from fleetwire.features.rules.expressions import (
    MAX_DEVICE_CHARS,
    MAX_KEY_CHARS,
    check_names,
    text_of,
)
from fleetwire.features.rules.run import View
from fleetwire.features.rules.variables import Variable
from fleetwire.kit.durations import parse_duration

COMMAND: Final = "DEVICE_COMMAND"
ALARM: Final = "ALARM"
WEBHOOK: Final = "WEBHOOK"
PUBLISH: Final = "PUBLISH"

MAX_BODY_BYTES: Final = 64 * 1024
MAX_URL_CHARS: Final = 2000
MAX_HEADERS: Final = 20
MAX_HEADER_CHARS: Final = 2000
MAX_TOPIC_CHARS: Final = 1000
MAX_NAME_CHARS: Final = 64
MAX_MESSAGE_CHARS: Final = 500

_PLACE: Final = re.compile(r"\{\{\s*([^{}]{1,128}?)\s*\}\}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# They say how the message is framed, or what we promise with it.
_OUR_HEADERS: Final = frozenset(
    {"connection", "content-length", "host", "idempotency-key", "transfer-encoding", "upgrade"}
)


class CannotActError(Exception):
    """The action cannot be done as things are; the text says why."""


class Planned(msgspec.Struct):
    """An action with its values filled in."""

    node: str
    kind: str
    said: dict[str, Any]


class Action:
    """One action of a chain. `variables` returns those that a placeholder's key means."""

    __slots__ = ("_places", "_said", "kind")

    def __init__(
        self, config: dict[str, Any], find: Callable[[str], Variable | None], field: str
    ) -> None:
        """Raise InvalidValueError naming what is at fault."""
        kind = config.get("type")
        if not isinstance(kind, str) or kind not in _CHECKS:
            raise InvalidValueError(
                f"type must be one of {', '.join(_CHECKS)}", field=f"{field}.type"
            )
        self.kind = kind
        part, check = _CHECKS[kind]
        check_names(config, frozenset({"type", part}), field)
        said = config.get(part, {} if kind == ALARM else None)
        if not isinstance(said, dict):
            raise InvalidValueError(f"{part} must be an object", field=f"{field}.{part}")
        check(said, f"{field}.{part}")
        self._said: dict[str, Any] = said
        self._places: dict[str, Variable] = {}
        for text in _texts(said):
            for key in _PLACE.findall(text):
                variable = find(key)
                if variable is None:
                    raise InvalidValueError(
                        f"{{{{{key[:40]}}}}} is no variable that a filter of this chain names",
                        field=f"{field}.{part}",
                    )
                self._places[key] = variable

    def plan(self, node: str, view: View) -> Planned:
        """Return what is to be done. Raises CannotActError."""
        said: dict[str, Any] = self._filled(self._said, view) if self._places else self._said
        if self._places and len(msgspec.json.encode(said)) > MAX_BODY_BYTES:
            raise CannotActError(f"with its values it has more than {MAX_BODY_BYTES} bytes")
        return Planned(node, self.kind, said)

    def inputs(self, view: View) -> Iterator[tuple[Variable, Any]]:
        """Yield the variables that fill its places, with their values."""
        for variable in self._places.values():
            seen = view.seen(variable)
            yield variable, None if seen is None else seen.value

    def _filled(self, said: Any, view: View) -> Any:
        if isinstance(said, dict):
            return {key: self._filled(value, view) for key, value in said.items()}
        if isinstance(said, list):
            return [self._filled(each, view) for each in said]
        if not isinstance(said, str):
            return said
        whole = _PLACE.fullmatch(said)
        if whole is not None:
            return self._value(whole[1], view)
        return _PLACE.sub(lambda found: _as_text(self._value(found[1], view)), said)

    def _value(self, key: str, view: View) -> Any:
        seen = view.seen(self._places[key])
        if seen is None:
            raise CannotActError(f"{key} has no value yet")
        value = seen.value
        return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _texts(said: Any) -> Iterator[str]:
    waiting = [said]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _check_command(said: dict[str, Any], field: str) -> None:
    check_names(
        said,
        frozenset(
            {
                "deviceUuid", "app", "stateName", "value", "initiatedBy",
                "name", "parameters", "expiresIn",
            }
        ),
        field,
    )  # fmt: skip
    text_of(said, "deviceUuid", MAX_DEVICE_CHARS, field)
    text_of(said, "app", MAX_KEY_CHARS, field, default="")
    if ("stateName" in said) == ("name" in said):
        raise InvalidValueError(
            "a command has a stateName and a value, or a name and parameters", field=field
        )
    text_of(said, "stateName" if "stateName" in said else "name", MAX_KEY_CHARS, field)
    if "stateName" in said and "value" not in said:
        raise InvalidValueError("the command needs a value", field=f"{field}.value")
    if not isinstance(said.get("parameters", {}), dict):
        raise InvalidValueError("parameters must be an object", field=f"{field}.parameters")
    text_of(said, "initiatedBy", MAX_NAME_CHARS, field, default="rule")
    parse_duration(
        text_of(said, "expiresIn", MAX_NAME_CHARS, field, default="60s"), f"{field}.expiresIn"
    )


def _check_alarm(said: dict[str, Any], field: str) -> None:
    check_names(said, frozenset({"name", "message", "severity", "deviceUuid", "app"}), field)
    text_of(said, "name", MAX_NAME_CHARS, field, default="rule")
    text_of(said, "message", MAX_MESSAGE_CHARS, field, default="")
    text_of(said, "deviceUuid", MAX_DEVICE_CHARS, field, default="")
    text_of(said, "app", MAX_KEY_CHARS, field, default="")
    if said.get("severity", "warning") not in ("info", "warning", "critical"):
        raise InvalidValueError(
            "severity must be info, warning or critical", field=f"{field}.severity"
        )


def _check_webhook(said: dict[str, Any], field: str) -> None:
    check_names(said, frozenset({"url", "headers", "body"}), field)
    url = text_of(said, "url", MAX_URL_CHARS, field)
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not url.isascii() or " " in url or "@" in parts.netloc:
        raise InvalidValueError(
            "url must be such as https://example.org/hook, without a password in it",
            field=f"{field}.url",
        )
    if _PLACE.search(url):
        raise InvalidValueError("values stand in the body, not in the url", field=f"{field}.url")
    headers = said.get("headers", {})
    if not isinstance(headers, dict) or len(headers) > MAX_HEADERS:
        raise InvalidValueError(
            f"headers must be an object of at most {MAX_HEADERS}", field=f"{field}.headers"
        )
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in _OUR_HEADERS:
            raise InvalidValueError(
                f"{name[:40]!r} is no header that can be sent", field=f"{field}.headers"
            )
        is_plain = isinstance(value, str) and value.isascii() and value.isprintable()
        if not is_plain or len(value) > MAX_HEADER_CHARS or _PLACE.search(value):
            raise InvalidValueError(
                f"{name} must be plain text without placeholders", field=f"{field}.headers"
            )


def _check_publish(said: dict[str, Any], field: str) -> None:
    check_names(said, frozenset({"topic", "payload", "qos", "retain"}), field)
    topic = text_of(said, "topic", MAX_TOPIC_CHARS, field)
    if _PLACE.search(topic) or "+" in topic or "#" in topic or topic.startswith("$"):
        raise InvalidValueError(
            "topic must be a topic name without wildcards, $ or placeholders",
            field=f"{field}.topic",
        )
    if "payload" not in said:
        raise InvalidValueError("publish needs a payload", field=f"{field}.payload")
    if said.get("qos", 0) not in (0, 1, 2) or isinstance(said.get("qos"), bool):
        raise InvalidValueError("qos must be 0, 1 or 2", field=f"{field}.qos")
    if not isinstance(said.get("retain", False), bool):
        raise InvalidValueError("retain must be true or false", field=f"{field}.retain")


_CHECKS: Final = MappingProxyType(
    {
        COMMAND: ("command", _check_command),
        ALARM: ("alarm", _check_alarm),
        WEBHOOK: ("webhook", _check_webhook),
        PUBLISH: ("publish", _check_publish),
    }
)
