"""Tracing: the seams of the house that a tracer joins. This one joins none, and costs nothing."""

from starlette.types import ASGIApp

from fleetwire.features.commands.service import CommandService
from fleetwire.ingest.events import EventBus
from fleetwire.ingest.road import Road
from fleetwire.settings import Settings
from fleetwire.store.database import Database


class Tracing:
    """No tracing."""

    def database(self, url: str) -> Database:
        """Return the database of the house."""
        return Database(url)

    def application(self, name: str, app: ASGIApp) -> ASGIApp:
        """Return the application of a listener as it is to be served."""
        return app

    def join(self, road: Road, commands: CommandService, bus: EventBus) -> None:
        """Follow batches and commands."""

    def close(self) -> None:
        """Hand over what was gathered; may take a few seconds."""


def tracing_of(settings: Settings) -> Tracing:
    """Return what the settings ask for. Raises SettingsError if its packages are missing."""
    if settings.tracing.endpoint is None:
        return Tracing()
    from fleetwire.runtime.tracing.exporting import tracing_to  # it is heavy, and an extra

    return tracing_to(settings.tracing)
