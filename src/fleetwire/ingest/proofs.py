"""Proofs: a device's token in a payload, for those who carry messages for others.

A gateway publishes on its own connection what devices behind it say, each message with the token
of its device. Such a token is taken out of the message before a handler, the store or quarantine
sees it; a wrong one refuses the message, whoever sent it.

Does not: hide a token from MQTT clients who may read the topic themselves; they get the bytes that
were sent. A message that its sender may not publish by himself goes to no client.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from fleetwire.broker.delivery import Delivery
from fleetwire.ingest.router import Router
from fleetwire.kit.app import App

WRONG: Final = "The token in the payload is not one of this device's, or was revoked or is over"
MOST_ITEMS: Final = 10_000  # of a list in which tokens are looked for

Holds = Callable[[str, str, str], bool]
"""Says whether a device, by app and device_id, has this usable token."""


class Proofs:
    """Knows where apps let tokens stand. `holds` decides from memory."""

    def __init__(self, router: Router, apps: Mapping[str, App], holds: Holds) -> None:
        self._router = router
        self._holds = holds
        self._fields = {app.name: app.token_fields for app in apps.values() if app.token_fields}
        names = {name for names in self._fields.values() for name in names}
        self._marks = (*(f'"{name}"'.encode() for name in names), b"\\u")
        self._published = {(app.name, each) for app in apps.values() for each in app.publishes}

    def concern(self, topic_name: str) -> bool:
        """Say whether tokens may stand in what is published to a topic."""
        return any(path.handler.app in self._fields for path in self._router.find(topic_name))

    def take(self, delivery: Delivery) -> None:
        """Take tokens out of a message; let it pass, or not, by what they prove."""
        payload = delivery.publish.payload
        # Nearly every message is done with here. JSON can spell a name with \\u, too.
        for mark in self._marks:
            if mark in payload:
                break
        else:
            return
        for path in self._router.find(delivery.publish.topic_name):
            app = path.handler.app
            fields = self._fields.get(app)
            if fields is None or not path.device_id:
                continue
            body = _object_of(payload)
            tokens = _taken(body, fields) if body is not None else []
            if not tokens:
                return
            # Whoever else has this Publish goes on with the bytes that were sent.
            delivery.publish = copy.copy(delivery.publish)
            delivery.publish.payload = msgspec.json.encode(body)
            if not all(self._holds(app, path.device_id, token) for token in tokens):
                delivery.refused = WRONG
            elif (app, path.handler.template.text) in self._published:
                delivery.refused = ""
            return


def _object_of(payload: bytes) -> dict[str, Any] | None:
    try:
        body = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _taken(body: dict[str, Any], fields: tuple[str, ...]) -> list[str]:
    """Remove the fields from an object and the objects of its lists; return what stood there."""
    parts = [body]
    for value in body.values():
        if isinstance(value, list):
            parts += [each for each in value[:MOST_ITEMS] if isinstance(each, dict)]
    found = []
    for part in parts:
        for name in fields:
            if name in part:
                token = part.pop(name)
                if token is not None:  # a field that is not said
                    found.append(token if isinstance(token, str) else "")
    return list(dict.fromkeys(found))
