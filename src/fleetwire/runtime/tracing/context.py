"""W3C Trace Context: where a trace comes from, and how it is told to the next one."""

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import Span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"

_W3C = TraceContextTextMapPropagator()


def context_in(headers: Mapping[str, str]) -> Context:
    """Return the context that headers or User Properties name; an empty one if they name none."""
    return _W3C.extract(headers, context=Context())


def told_by(span: Span) -> list[tuple[str, str]]:
    """Return the headers that name a span as the parent of what comes next."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context=set_span_in_context(span, Context()))
    return list(carrier.items())
