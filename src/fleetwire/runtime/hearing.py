"""Hearing: committed events, handed to apps' own functions.

Each app has a few lanes. A device's events all go through one of them, so they come in order, and a
slow function holds up its own app's devices only. A lane is bounded: past that its app has fallen
behind, what comes then is not handed to it, and both the beginning and the end of that are logged.
Events are in the database before anybody hears of them; what an app must do for certain it does in
a timer that looks at its own tables.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from fleetwire.ingest.events import EventBus
from fleetwire.kit import App, Caller, LiveEvent
from fleetwire.runtime.calling import CALLER, EVENT, Call

log = structlog.get_logger("fleetwire.apps")

LANES: Final = 8  # of one app
LANE_EVENTS: Final = 10_000


class _Function:
    def __init__(self, name: str, call: Call) -> None:
        self.name = name
        self.call = call
        self.is_failing = False

    def wants(self, event: LiveEvent) -> bool:
        """Say whether it is for an event."""
        if self.name.endswith("*"):
            return event.name.startswith(self.name[:-1])
        return event.name == self.name


class Hearing:
    """Who hears what. `caller` gives the house within the first organisation."""

    def __init__(
        self,
        apps: Sequence[App],
        services: Mapping[type, object],
        caller: Callable[[], Caller],
        bus: EventBus,
        *,
        lane_events: int = LANE_EVENTS,
    ) -> None:
        """Raise SettingsError for a function that asks for what nobody has."""
        self._caller = caller
        self._bus = bus
        self._functions: dict[str, list[_Function]] = {}
        self._wants_readings = False
        for app in apps:
            own = [
                _Function(name, Call(app, each, services, EVENT + CALLER, must_be_async=False))
                for name, each in app.listeners_to
            ]
            if own:
                self._functions[app.name] = own
                told = app.readings_event
                if told is not None and any(_covers(each.name, told) for each in own):
                    self._wants_readings = True
        self._lanes = {
            app: [_Lane(app, own, caller, lane_events) for _ in range(LANES)]
            for app, own in self._functions.items()
        }

    async def run(self) -> None:
        """Hand events on, until cancelled."""
        if not self._lanes:
            await asyncio.Event().wait()
        # Readings are told only where somebody wants to hear of them: that costs each message.
        leave = self._bus.subscribe(self._hear, wants_readings=self._wants_readings)
        try:
            async with asyncio.TaskGroup() as tasks:
                for lanes in self._lanes.values():
                    for lane in lanes:
                        tasks.create_task(lane.run())
        finally:
            leave()

    async def settle(self) -> None:
        """Return once everything that was heard has been handed on."""
        for lanes in self._lanes.values():
            for lane in lanes:
                await lane.idle.wait()

    def _hear(self, events: list[LiveEvent]) -> None:
        for event in events:
            lanes = self._lanes.get(event.app)
            if lanes is not None and any(each.wants(event) for each in self._functions[event.app]):
                lanes[event.device.id % LANES].put(event)


class _Lane:
    def __init__(
        self, app: str, functions: list[_Function], caller: Callable[[], Caller], most: int
    ) -> None:
        self._app = app
        self._functions = functions
        self._caller = caller
        self._most = most
        self._waiting: deque[LiveEvent] = deque()
        self._left_out = 0
        self._wake = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()

    def put(self, event: LiveEvent) -> None:
        """Take an event, if there is room."""
        if len(self._waiting) >= self._most:
            if not self._left_out:
                log.error("an app falls behind: events are not handed to it", app=self._app)
            self._left_out += 1
            return
        self._waiting.append(event)
        self.idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Hand events on, one after the other, until cancelled."""
        while True:
            await self._wake.wait()
            while self._waiting:
                event = self._waiting.popleft()
                for function in self._functions:
                    if function.wants(event):
                        await self._call(function, event)
            self._wake.clear()
            self.idle.set()
            if self._left_out:
                log.error("an app has caught up", app=self._app, left_out=self._left_out)
                self._left_out = 0

    async def _call(self, function: _Function, event: LiveEvent) -> None:
        try:
            await function.call(event, self._caller())
        except Exception as error:
            if not function.is_failing:
                function.is_failing = True
                log.error(
                    "an app's function fails",
                    function=function.call.name,
                    event_name=event.name,
                    cursor=event.cursor,
                    exc_info=error,
                )
        else:
            if function.is_failing:
                function.is_failing = False
                log.info("an app's function succeeds again", function=function.call.name)


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
