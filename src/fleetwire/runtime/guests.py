"""Guests: the apps' own life in the house: their start, their demonstration, timers, hearing."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from fleetwire.ingest.events import EventBus
from fleetwire.kit import App, Caller
from fleetwire.runtime.calling import CALLER, Call
from fleetwire.runtime.hearers import Hearers
from fleetwire.runtime.hearing import Hearing
from fleetwire.runtime.timers import Timers

log = structlog.get_logger("fleetwire.apps")

DEMO_FOLDER = "demo"


class Guests:
    """All apps. `organization_id` is the first organisation, that of a house with only one."""

    def __init__(
        self,
        apps: Sequence[App],
        services: Mapping[type, object],
        bus: EventBus,
        data_dir: Path,
        clock: Callable[[], int],
        organization_id: int,
    ) -> None:
        """Raise SettingsError for a function that asks for what nobody has."""
        self._apps = apps
        self._data_dir = data_dir
        self._organization_id = organization_id
        self._starts = [Call(app, each, services, CALLER) for app in apps for each in app.starts]
        self._demos = {
            app.name: [Call(app, each, services, CALLER) for each in app.demos] for app in apps
        }
        self.timers = Timers(apps, services, self.caller, clock)
        self.hearing = Hearing(apps, services, self.caller, bus)
        self.hearers = Hearers(apps, services)

    def caller(self) -> Caller:
        """Return the house itself within the first organisation."""
        return Caller.system(self._organization_id)

    async def start(self, *, with_demo: bool) -> None:
        """Let the apps prepare themselves, before anybody is served."""
        for call in self._starts:
            await call(self.caller())
        self.hearers.open()
        if with_demo:
            for app, calls in self._demos.items():
                await self._show(app, calls)

    async def _show(self, app: str, calls: list[Call]) -> None:
        mark = self._data_dir / DEMO_FOLDER / app
        if not calls or await asyncio.to_thread(mark.exists):
            return
        for call in calls:
            await call(self.caller())
        await asyncio.to_thread(_make, mark)
        log.info("demonstration data added", app=app)


def _make(mark: Path) -> None:
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
