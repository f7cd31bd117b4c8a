"""CommandSpans: a command from its request to the device's answer.

A command may take days, so there is no span that lasts as long. One marks its request, and each
state it was in is a span of its own, exported when the next one begins. All are of one trace, which
the device is told with the command. After a restart of the server nothing is known of it any more.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, Tracer, set_span_in_context

from fleetwire.features.commands.observer import CommandObserver
from fleetwire.features.commands.states import QUEUED
from fleetwire.kit import LiveEvent
from fleetwire.runtime.tracing.context import told_by

T = TypeVar("T")

MOST = 10_000  # commands under way; of more the oldest are not followed any further
EVENT = "command."


class _Followed(NamedTuple):
    span: Span  # of the request
    state: str
    since_at: int


class CommandSpans(CommandObserver):
    """Hears the events of commands after their commits."""

    def __init__(self, tracer: Tracer, is_outcome: Callable[[str, str], bool]) -> None:
        """`is_outcome` says of an app and a state whether nothing more will be known."""
        self._tracer = tracer
        self._is_outcome = is_outcome
        self._contexts: dict[str, Context] = {}  # of requests whose commands are being stored
        self._followed: dict[str, _Followed] = {}

    def requested(self, command_id: str) -> None:
        _keep(self._contexts, command_id, get_current())

    def properties(self, command_id: str) -> list[tuple[str, str]]:
        followed = self._followed.get(command_id)
        return [] if followed is None else told_by(followed.span)

    def hear(self, events: list[LiveEvent]) -> None:
        """Take note of committed events."""
        for event in events:
            if event.name.startswith(EVENT):
                self._hear(event, str(event.body["command_id"]), str(event.body["state"]))

    def _hear(self, event: LiveEvent, id: str, state: str) -> None:
        followed = self._followed.pop(id, None)
        if followed is None:
            if state != QUEUED:
                return
            span = self._begin(event, id)
        else:
            span = followed.span
            phase = self._tracer.start_span(
                f"command {followed.state}",
                context=set_span_in_context(span, Context()),
                start_time=followed.since_at * 1000,
                attributes={"fleetwire.command.id": id, "fleetwire.command.next_state": state},
            )
            if event.body.get("reason"):
                phase.set_attribute("fleetwire.command.reason", str(event.body["reason"]))
            phase.end(max(event.received_at, followed.since_at) * 1000)
        if not self._is_outcome(event.app, state):
            _keep(self._followed, id, _Followed(span, state, event.received_at))

    def _begin(self, event: LiveEvent, id: str) -> Span:
        span = self._tracer.start_span(
            f"command {event.body['name']}",
            context=self._contexts.pop(id, Context()),
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": "mqtt",
                "fleetwire.command.id": id,
                "fleetwire.app": event.app,
                "fleetwire.device": event.device.device_id,
            },
        )
        span.end()
        return span


def _keep(kept: dict[str, T], id: str, value: T) -> None:
    if len(kept) >= MOST:
        del kept[next(iter(kept))]
    kept[id] = value
