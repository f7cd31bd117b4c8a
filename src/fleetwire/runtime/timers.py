"""Timers: what apps do again and again.

Each runs for itself, one call at a time, and begins to wait when its last call has ended. A call
that fails is logged once, until one succeeds again, and the timer goes on.

With several nodes on one database each would run every timer; that a node may run one is to be
decided in `_call`, which all calls pass.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from fleetwire.kit import App, Caller
from fleetwire.runtime.calling import CALLER, Call

log = structlog.get_logger("fleetwire.apps")


class _Timer:
    def __init__(self, call: Call, seconds: float, due_at: int) -> None:
        self.call = call
        self.seconds = seconds
        self.due_at = due_at
        self.is_failing = False


class Timers:
    """The timers of all apps. `caller` gives the house within the first organisation."""

    def __init__(
        self,
        apps: Sequence[App],
        services: Mapping[type, object],
        caller: Callable[[], Caller],
        clock: Callable[[], int],
    ) -> None:
        """Raise SettingsError for a function that asks for what nobody has."""
        self._clock = clock
        self._caller = caller
        self._timers = [
            _Timer(Call(app, timer.function, services, CALLER), timer.seconds, 0)
            for app in apps
            for timer in app.timers
        ]

    def start(self) -> None:
        """Let the first pause of each timer begin now."""
        now = self._clock()
        for timer in self._timers:
            timer.due_at = now + round(timer.seconds * 1e6)

    async def run(self) -> None:
        """Call them in time, until cancelled."""
        self.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_for_ever())  # a house without timers has none to end
            for timer in self._timers:
                tasks.create_task(self._repeat(timer))

    async def run_due(self) -> None:
        """Call those whose time has come, in order; for a clock that somebody else moves."""
        now = self._clock()
        for timer in sorted(self._timers, key=lambda each: each.due_at):
            if timer.due_at <= now:
                await self._call(timer)

    @property
    def next_due_at(self) -> int | None:
        """When the next of them is due, None if there are none."""
        return min((timer.due_at for timer in self._timers), default=None)

    async def _repeat(self, timer: _Timer) -> None:
        while True:
            # By the event loop's clock: the wall clock may be set meanwhile.
            await asyncio.sleep(timer.seconds)
            await self._call(timer)

    async def _call(self, timer: _Timer) -> None:
        try:
            await timer.call(self._caller())
        except Exception as error:
            if not timer.is_failing:
                timer.is_failing = True
                log.error("a timer fails", timer=timer.call.name, exc_info=error)
        else:
            if timer.is_failing:
                timer.is_failing = False
                log.info("a timer succeeds again", timer=timer.call.name)
        finally:
            timer.due_at = self._clock() + round(timer.seconds * 1e6)


async def _for_ever() -> None:
    await asyncio.Event().wait()
