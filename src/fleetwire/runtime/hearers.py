"""Hearers: messages that pass the broker, handed to apps' own functions.

They look on: nothing waits for them, and what they hear is not stored for them. Each app's
functions are called one after the other, in the order of the messages. What waits is bounded: past
that the app has fallen behind, what comes then is not handed to it, and both are logged.
"""

import asyncio
import inspect
import typing
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from fleetwire.errors import DomainError, SettingsError
from fleetwire.kit import App, Incoming, Raw, Seen, Taps
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.topics import Template

log = structlog.get_logger("fleetwire.apps")

MOST_WAITING: Final = 10_000  # messages for the functions of one app


class Hearer:
    """One function on one topic template, made ready once."""

    def __init__(
        self,
        app: App,
        template: str,
        function: Callable[..., Any],
        services: Mapping[type, object],
    ) -> None:
        """Raise SettingsError for a template that is none, and for what nobody has."""
        self.name = f"{app.name}: {function.__qualname__}"
        self.is_failing = False
        self._function = function
        self._services: dict[str, object] = {}
        self._message: str | None = None
        self._body: str | None = None
        self._decode: Callable[[bytes], Any] = Raw
        try:
            self.template = Template(template)
        except ProtocolError as error:
            raise SettingsError(f"{self.name}: {error}") from None
        if not inspect.iscoroutinefunction(function):
            raise SettingsError(f"{self.name} must be an async function.")
        self._places: list[str] = []
        hints = typing.get_type_hints(function)
        for name in inspect.signature(function).parameters:
            hint = hints.get(name)
            if name in self.template.names:
                self._places.append(name)
            elif hint is Incoming:
                self._message = name
            elif isinstance(hint, type) and hint in services:
                self._services[name] = services[hint]
            elif hint is not None and self._body is None:
                self._body = name
                if hint is not Raw:
                    self._decode = msgspec.json.Decoder(hint).decode
            else:
                what = "has no type" if hint is None else f"is of the type {hint}"
                raise SettingsError(
                    f"{self.name}: the parameter {name!r} {what}, which is no service."
                )

    async def __call__(self, seen: Seen, values: Mapping[str, str]) -> None:
        """Call it; whatever it raises is raised, and msgspec.MsgspecError for another body."""
        arguments = {name: values[name] for name in self._places} | self._services
        if self._message is not None:
            arguments[self._message] = Incoming(
                seen.topic,
                seen.payload,
                seen.qos,
                seen.retain,
                seen.client_id,
                seen.received_at,
            )
        if self._body is not None:
            arguments[self._body] = self._decode(seen.payload)
        await self._function(**arguments)


class Hearers:
    """The functions of all apps."""

    def __init__(self, apps: Sequence[App], services: Mapping[type, object]) -> None:
        """Raise SettingsError as Hearer does."""
        self._services = services
        self._lanes = [
            _Lane(app.name, [Hearer(app, *each, services) for each in app.hearers])
            for app in apps
            if app.hearers
        ]

    def open(self) -> None:
        """Hear what passes from now on. Raises SettingsError for topics that nobody may hear."""
        for lane in self._lanes:
            taps = self._services[Taps]
            assert isinstance(taps, Taps)
            try:
                taps.open(lane.filters, lane.put)
            except DomainError as error:
                raise SettingsError(f"{lane.app}: {error.message}") from None

    async def run(self) -> None:
        """Hand on what was heard, until cancelled."""
        if not self._lanes:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as tasks:
            for lane in self._lanes:
                tasks.create_task(lane.run())


class _Lane:
    def __init__(self, app: str, hearers: list[Hearer]) -> None:
        self.app = app
        self._hearers = hearers
        self._waiting: deque[Seen] = deque()
        self._left_out = 0
        self._wake = asyncio.Event()
        self.filters = list(dict.fromkeys(each.template.filter for each in hearers))

    def put(self, seen: Seen) -> None:
        """Take a message, if there is room."""
        if len(self._waiting) >= MOST_WAITING:
            if not self._left_out:
                log.error("an app falls behind: messages are not handed to it", app=self.app)
            self._left_out += 1
            return
        self._waiting.append(seen)
        self._wake.set()

    async def run(self) -> None:
        """Hand messages on, one after the other, until cancelled."""
        while True:
            await self._wake.wait()
            while self._waiting:
                seen = self._waiting.popleft()
                for hearer in self._hearers:
                    values = hearer.template.match(seen.topic)
                    if values is not None:
                        await self._call(hearer, seen, values)
            self._wake.clear()
            if self._left_out:
                log.error("an app has caught up", app=self.app, left_out=self._left_out)
                self._left_out = 0

    async def _call(self, hearer: Hearer, seen: Seen, values: Mapping[str, str]) -> None:
        try:
            await hearer(seen, values)
        except Exception as error:
            if not hearer.is_failing:
                hearer.is_failing = True
                log.error(
                    "an app's function fails",
                    function=hearer.name,
                    topic=seen.topic,
                    exc_info=error,
                )
        else:
            if hearer.is_failing:
                hearer.is_failing = False
                log.info("an app's function succeeds again", function=hearer.name)
