"""App: the whole of what an app author declares. It runs nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter

from fleetwire.errors import DomainError, InvalidValueError, SettingsError
from fleetwire.kit.answers import answer_of
from fleetwire.kit.coap import Coap
from fleetwire.kit.sockets import SocketSpace
from fleetwire.kit.types import DeviceType

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
class Timer:
    """A function that is called again and again, so many seconds after it has last ended."""

    function: Callable[..., Any]
    seconds: float


@dataclass(frozen=True)
class ErrorForm:
    """How an app says errors instead of as problems (RFC 9457).

    `of` returns the HTTP status and what is sent as JSON; `schema` describes that in OpenAPI.
    """

    of: Callable[[DomainError], tuple[int, dict[str, Any]]]
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "object"})


@dataclass(frozen=True)
class Listener:
    """Where an app's HTTP routes are served: `port` is the default, a setting can move it.

    Each route is there under each of the prefixes; the first is the one in the OpenAPI document.
    """

    port: int
    title: str
    description: str = ""
    version: str = "1.0.0"
    prefixes: tuple[str, ...] = ("",)


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
    with `{device_id}` filled from the credential. `command_topic` is where its commands go
    (`command_topics`, if the same bytes go to several: delivered is what was acknowledged on any),
    `response_topic` where its devices answer them (see `kit.answers`); an app whose devices answer
    elsewhere says `answers_commands` and returns an Answer from its own handler.
    `migrations` is a folder of Alembic revisions beside the app's package, `module:folder`.
    """

    name: str
    listener: Listener | None = None
    publishes: list[str] = field(default_factory=list)
    subscribes: list[str] = field(default_factory=list)
    command_topic: str | None = None
    command_topics: list[str] = field(default_factory=list)
    response_topic: str | None = None
    # Where commands of these names go instead: topic templates by name.
    command_topics_by_name: dict[str, list[str]] = field(default_factory=dict)
    # Where a command, a JSON object, says its id, for devices that cannot read Correlation Data.
    command_id_field: str | None = None
    # The client id of its devices, such as `ontrak_tablet_{device_id}`: by it one that connects
    # without credentials, where that is allowed, is known to be there or gone.
    client_id: str | None = None
    answers_commands: bool = False
    # The bytes a device reads on its command topic, from a command's name and parameters.
    command_payload: Callable[[str, dict[str, Any]], bytes] = flat_command
    migrations: str | None = None
    # Fields of a payload, a JSON object, in which a device's token can stand: it proves that this
    # message is that device's, whoever sends it, and is taken out before anybody else sees it.
    token_fields: tuple[str, ...] = ()
    # Attributes of a device that stand in its topics: `groups/{group}/news` grants a device the
    # group that it has, and nothing if it has none.
    topic_attributes: tuple[str, ...] = ()
    coap: Coap | None = None
    # It has sign-in routes of its own where its listener would have those of the house.
    signs_in: bool = False
    # A message that stored readings is told under this name, with its own fields. It is not stored
    # once more for that: a realtime reader that resumes gets it back from its readings.
    readings_event: str | None = None
    # What its devices are; see kit.types. The platform compares readings with the ranges of their
    # types, unless the app's handlers do that themselves, as `flags_readings` says.
    types: list[DeviceType] = field(default_factory=list)
    flags_readings: bool = False
    readings_topic: str | None = None
    subscriptions: list[Subscription] = field(default_factory=list)
    listeners_to: list[tuple[str, Callable[..., Any]]] = field(default_factory=list)
    routers: list[APIRouter] = field(default_factory=list)
    debug_routers: list[APIRouter] = field(default_factory=list)  # served in development only
    error_form: ErrorForm | None = None
    socket_spaces: list[SocketSpace] = field(default_factory=list)
    hearers: list[tuple[str, Callable[..., Any]]] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    starts: list[Callable[..., Any]] = field(default_factory=list)
    demos: list[Callable[..., Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise SettingsError(f"App name {self.name!r} must be a lower-case identifier")
        if self.client_id is not None and self.client_id.count("{device_id}") != 1:
            raise SettingsError(f"App {self.name!r}: client_id must have {{device_id}} in it once")
        if self.command_topics and self.command_topic is None:
            self.command_topic = self.command_topics[0]
        elif self.command_topic is not None and self.command_topic not in self.command_topics:
            self.command_topics = [self.command_topic, *self.command_topics]
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
        """Call the decorated function with each event of this name, after its commit.

        The function takes the `LiveEvent` and services, by type; it may be async. Names are those
        that the app's devices cause: `device.connected`, `device.disconnected`, `command.delivered`
        and the app's own; `command.*` is all that begin so. Events of one device come in order, one
        after the other. A function that fails has had its event: it is logged, and not called again
        with it. What must happen for certain is done by a timer that looks at the app's tables.
        """
        return _adding(self.listeners_to, lambda function: (event_name, function))

    def hears(self, template: str) -> Callable[[F], F]:
        """Call the decorated async function with each message that passes on a topic.

        Whoever published it: devices, people, other apps. The function takes the template's places
        by name, the body by type (as a handler's), `Incoming` and services. It looks on: nothing
        waits for it, and one that fails has had its message. What must not be missed is a handler's
        (`subscribe`).
        """
        return _adding(self.hearers, lambda function: (template, function))

    def every(self, seconds: float) -> Callable[[F], F]:
        """Call the decorated async function so many seconds after the start, and after its end.

        It is given services by type, is never called twice at a time, and goes on after a failure,
        which is logged once until it has succeeded again.
        """
        if not seconds > 0:
            raise SettingsError(f"App {self.name!r}: a timer needs more than 0 seconds.")
        return _adding(self.timers, lambda function: Timer(function, seconds))

    def on_start(self, function: F) -> F:
        """Call the decorated async function before anybody is served; services come by type.

        If it fails, the house does not start.
        """
        return _adding(self.starts, lambda each: each)(function)

    def demo(self, function: F) -> F:
        """Call the decorated async function when the house is started with `--demo`.

        Once for a data folder, after `on_start`; again if it was cut off, so it looks before it
        makes. A parameter of the type Caller is the house within the first organisation.
        """
        return _adding(self.demos, lambda each: each)(function)

    def include(self, router: APIRouter, *, only_in_development: bool = False) -> None:
        """Serve these HTTP and WebSocket routes on the app's listener."""
        (self.debug_routers if only_in_development else self.routers).append(router)

    def include_sockets(self, space: SocketSpace) -> None:
        """Serve this Socket.IO namespace on the app's listener."""
        self.socket_spaces.append(space)


def _adding(to: list[Any], item: Callable[[Any], Any]) -> Callable[[F], F]:
    def register(function: F) -> F:
        to.append(item(function))
        return function

    return register
