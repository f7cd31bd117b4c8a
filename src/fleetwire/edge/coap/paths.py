"""Paths: which topic a CoAP path is, or what it shows."""

from dataclasses import dataclass
from typing import Any

import msgspec

from fleetwire.errors import InvalidValueError
from fleetwire.kit.coap import Coap, Show
from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.protocol.topics import Template


@dataclass(frozen=True)
class Asked:
    """What a GET is for. `show` None = the newest command."""

    device_id: str
    show: Show | None


class Paths:
    """All paths of one app."""

    def __init__(self, coap: Coap) -> None:
        self._receives = [Template(each) for each in coap.receives]
        self._named_by = {
            path: (name, Template(text)) for path, (name, text) in coap.named_by.items()
        }
        self._shows: list[tuple[Template, Show | None]] = [
            *((Template(text), show) for text, show in coap.shows.items()),
            *((Template(text), None) for text in coap.commands),
        ]

    def topic_of(self, path: str, body: object) -> str | None:
        """Return the topic that a POST or PUT is for, None if there is no such path.

        A field that names the device is taken out of the body. Raises InvalidValueError.
        """
        if path in self._named_by:
            name, template = self._named_by[path]
            device_id = body.pop(name, None) if isinstance(body, dict) else None
            if not isinstance(device_id, str):
                raise InvalidValueError(f"{name} is missing", field=name)
            try:
                return template.fill(device_id=device_id)
            except InvalidTopicError as error:
                raise InvalidValueError(str(error), field=name) from None
        return path if any(each.match(path) for each in self._receives) else None

    def asked(self, path: str) -> Asked | None:
        """Return what a GET is for, None if there is no such path."""
        for template, show in self._shows:
            values = template.match(path)
            if values is not None:
                return Asked(values["device_id"], show)
        return None


def body_of(payload: bytes) -> Any:
    """Return a payload as JSON, None if it is none: then its bytes are the message."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
