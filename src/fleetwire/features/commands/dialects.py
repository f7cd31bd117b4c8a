"""Dialects: where and how the devices of each app are told what to do, and whether they answer."""

from collections.abc import Iterator, Mapping
from typing import Any

from fleetwire.errors import ConflictError
from fleetwire.features.commands.states import is_outcome
from fleetwire.kit.app import App


class Dialects:
    """What the apps say of their commands.

    `answering` are the apps whose devices answer (None = those that say so); elsewhere delivery is
    the outcome.
    """

    def __init__(self, apps: Mapping[str, App], answering: frozenset[str] | None) -> None:
        if answering is None:
            answering = frozenset(app.name for app in apps.values() if app.answers_commands)
        self._apps = apps
        self.answering = answering

    def topics(self, app: str, device_id: str, name: str = "") -> tuple[str, ...]:
        """Return where a device's commands go; nowhere if its app is not here or sends none."""
        known = self._apps.get(app)
        templates = known.command_topics if known is not None else []
        if known is not None and name in known.command_topics_by_name:
            templates = known.command_topics_by_name[name]
        return tuple(template.replace("{device_id}", device_id) for template in templates)

    def response_topic(self, app: str, device_id: str) -> str:
        """Return where a device answers, "" if its app does not say."""
        known = self._apps.get(app)
        if known is None or known.response_topic is None:
            return ""
        return known.response_topic.replace("{device_id}", device_id)

    def payload(self, app: str, name: str, parameters: dict[str, Any]) -> bytes:
        """Return the bytes that an app's devices read. Raises ConflictError if they read none."""
        self.check_topics(app, "-")
        return self._apps[app].command_payload(name, parameters)

    def check_topics(self, app: str, device_id: str) -> None:
        """Raise ConflictError if a device takes no commands."""
        if not self.topics(app, device_id):
            raise ConflictError(f"Devices of the app {app!r} take no commands.")

    def id_field(self, app: str) -> str | None:
        """Return where an app's devices read a command's id."""
        known = self._apps.get(app)
        return None if known is None else known.command_id_field

    def is_outcome(self, app: str, state: str) -> bool:
        """Say whether nothing more will be known of an app's command in this state."""
        return is_outcome(state, answers=app in self.answering)

    def named_in(self, topic_filter: str) -> Iterator[tuple[str, str]]:
        """Yield app and device_id of each whose command topic is exactly this."""
        for app in self._apps.values():
            for template in _templates(app):
                device_id = _device_id_in(template, topic_filter)
                if device_id:
                    yield app.name, device_id


def _templates(app: App) -> Iterator[str]:
    yield from app.command_topics
    for templates in app.command_topics_by_name.values():
        yield from templates


def _device_id_in(template: str, topic: str) -> str:
    """Return what stands in a topic where the template has `{device_id}`, "" if it does not fit."""
    before, _, after = template.partition("{device_id}")
    if len(topic) <= len(before) + len(after):
        return ""
    if not topic.startswith(before) or not topic.endswith(after):
        return ""
    return topic[len(before) : len(topic) - len(after)]
