"""App: the whole of what an app author declares. It runs nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter

from fleetwire.errors import InvalidValueError, SettingsError
from fleetwire.kit.answers import answer_of

F = TypeVar("F", bound=Callable[..., Any])


class Payload(msgspec.Struct):
    """The base of typed message bodies; unknown fields are ignored, wrong types are refused."""


class Raw(bytes):
    """Annotate a handler's body with Raw to be given the payload's bytes as sent."""


@dataclass(frozen=True)
class Subscription:
    """One handler on one topic template such as `devices/{device_id}/data`."""

    template: str
    handler: Callable[..., Any]
    qos: int = 1


@dataclass(frozen=True)
class Listener:
    """Where an app's HTTP routes are served: `port` is the default, a setting can move it."""

    port: int
    title: str
    description: str = ""
    version: str = "1.0.0"


def flat_command(name: str, parameters: dict[str, Any]) -> bytes:
    """Return `{"command": name, …parameters}` as JSON, the form of a command unless an app differs.

    Raises InvalidValueError if a parameter would take the place of the command's name.
    """
    if "command" in parameters:
        raise InvalidValueError(
            "A parameter cannot be called 'command': the device reads the command's name there",
            field="parameters.command",
        )
    return msgspec.json.encode({"command": name, **parameters})


@dataclass
class App:
    """An app: handlers on topics, HTTP routes, what its devices may do, its tables and views.

    `publishes` and `subscribes` are the topic templates that a device's own credential is granted,
    with `{device_id}` filled from the credential. `command_topic` is where its commands go,
    `response_topic` where its devices answer them (see `kit.answers`); an app whose devices answer
    elsewhere says `answers_commands` and returns an Answer from its own handler.
    `migrations` is a folder of Alembic revisions beside the app's package, `module:folder`.
    """

    name: str
    listener: Listener | None = None
    publishes: list[str] = field(default_factory=list)
    subscribes: list[str] = field(default_factory=list)
    command_topic: str | None = None
    response_topic: str | None = None
    # Where a command, a JSON object, says its id, for devices that cannot read Correlation Data.
    command_id_field: str | None = None
    answers_commands: bool = False
    # The bytes a device reads on its command topic, from a command's name and parameters.
    command_payload: Callable[[str, dict[str, Any]], bytes] = flat_command
    migrations: str | None = None
    # A message that stored readings is told under this name, with its own fields. It is not stored
    # once more for that: a realtime reader that resumes gets it back from its readings.
    readings_event: str | None = None
    readings_topic: str | None = None
    subscriptions: list[Subscription] = field(default_factory=list)
    listeners_to: list[tuple[str, Callable[..., Any]]] = field(default_factory=list)
    routers: list[APIRouter] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise SettingsError(f"App name {self.name!r} must be a lower-case identifier")
        if self.response_topic is not None:
            self.answers_commands = True
            if self.response_topic not in self.publishes:
                self.publishes = [*self.publishes, self.response_topic]
            self.subscribe(self.response_topic)(answer_of)

    def subscribe(self, template: str, qos: int = 1) -> Callable[[F], F]:
        """Make the decorated function the handler of messages on `template`."""

        def register(handler: F) -> F:
            self.subscriptions.append(Subscription(template, handler, qos))
            return handler

        return register

    def on(self, event_name: str) -> Callable[[F], F]:
        """Call the decorated function with each committed event of this name, after the commit."""

        def register(handler: F) -> F:
            self.listeners_to.append((event_name, handler))
            return handler

        return register

    def include(self, router: APIRouter) -> None:
        """Serve these HTTP and WebSocket routes on the app's listener."""
        self.routers.append(router)
