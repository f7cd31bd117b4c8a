"""HouseTracing: OpenTelemetry at every seam of the house."""

from opentelemetry.sdk.trace import TracerProvider
from starlette.types import ASGIApp

from fleetwire.features.commands.service import CommandService
from fleetwire.ingest.events import EventBus
from fleetwire.ingest.road import Road
from fleetwire.runtime.observers import Tracing
from fleetwire.runtime.tracing.commands import CommandSpans
from fleetwire.runtime.tracing.requests import TraceRequests
from fleetwire.runtime.tracing.road import RoadSpans
from fleetwire.runtime.tracing.store import TracedDatabase
from fleetwire.store.database import Database


class HouseTracing(Tracing):
    """Spans of requests, of pieces of work for the database, of batches and of commands."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("fleetwire")

    def database(self, url: str) -> Database:
        return TracedDatabase(url, self._tracer)

    def application(self, name: str, app: ASGIApp) -> ASGIApp:
        return TraceRequests(app, self._tracer, name)

    def join(self, road: Road, commands: CommandService, bus: EventBus) -> None:
        road.observer = RoadSpans(self._tracer)
        spans = CommandSpans(self._tracer, commands.dialects.is_outcome)
        commands.observe(spans)
        bus.subscribe(spans.hear, wants_readings=False)

    def close(self) -> None:
        self._provider.shutdown()
