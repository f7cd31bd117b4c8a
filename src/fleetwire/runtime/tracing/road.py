"""RoadSpans: one span for each batch of the road, with its stages and whence its messages came."""

import time
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Tracer, get_current_span

from fleetwire.broker.delivery import Delivery
from fleetwire.ingest.observer import RoadObserver
from fleetwire.ingest.preparation import Batch
from fleetwire.protocol.constants import USER_PROPERTY
from fleetwire.runtime.tracing.context import context_in

MOST_LINKS = 64  # of a batch, of perhaps 2,000 messages


class RoadSpans(RoadObserver):
    """Makes the span when the batch is over; until then it keeps instants only."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._gathered_at_ns = 0
        self._stages: list[tuple[str, int]] = []  # since then; name, nanoseconds UTC
        self._failures = 0

    def gathered(self, deliveries: Sequence[Delivery]) -> None:
        self._gathered_at_ns = time.time_ns()
        self._stages = []
        self._failures = 0

    def prepared(self) -> None:
        self._note("prepared")

    def stored(self) -> None:
        self._note("stored")

    def committed(self) -> None:
        self._note("committed")

    def failed(self, error: Exception) -> None:
        self._note(f"failed: {type(error).__name__}")
        self._failures += 1

    def released(self, deliveries: Sequence[Delivery], batch: Batch) -> None:
        self._note("released")
        span = self._tracer.start_span(
            "ingest.batch",
            context=Context(),
            kind=SpanKind.CONSUMER,
            links=_links(deliveries),
            start_time=deliveries[0].received_at * 1000,
            attributes={
                "messaging.system": "mqtt",
                "messaging.batch.message_count": len(deliveries),
                "fleetwire.accepted": len(batch.accepted),
                "fleetwire.refused": len(batch.refused),
                "fleetwire.failures": self._failures,
            },
        )
        span.add_event("gathered", timestamp=self._gathered_at_ns)
        for name, at_ns in self._stages:
            span.add_event(name, timestamp=at_ns)
        span.end(self._stages[-1][1])
        self._stages = []  # if this was a half, the other one is prepared next

    def _note(self, stage: str) -> None:
        self._stages.append((stage, time.time_ns()))


def _links(deliveries: Sequence[Delivery]) -> list[Link]:
    links: list[Link] = []
    for delivery in deliveries:
        properties = delivery.publish.properties
        pairs = properties.get(USER_PROPERTY) if properties else None
        if not isinstance(pairs, list):
            continue
        named = {pair[0]: pair[1] for pair in pairs if isinstance(pair, tuple)}
        context = get_current_span(context_in(named)).get_span_context()
        if context.is_valid:
            links.append(Link(context, {"messaging.destination.name": delivery.publish.topic_name}))
            if len(links) == MOST_LINKS:
                break
    return links
