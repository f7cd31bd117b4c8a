"""TraceRequests: a span for each HTTP request."""

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, use_span
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleetwire.runtime.tracing.context import TRACEPARENT, TRACESTATE, context_in

EVENT_STREAM = b"text/event-stream"


class TraceRequests:
    """Goes on with the caller's trace. Queries and headers are not shown: they may hold tokens.

    A stream of events is over for its span when it begins. Does not: follow WebSockets.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer, listener: str) -> None:
        self._app = app
        self._tracer = tracer
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        span = self._tracer.start_span(
            scope["method"],
            context=context_in(_named(scope)),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                "fleetwire.listener": self._listener,
            },
            record_exception=False,
        )
        is_stream = False

        async def note(message: Message) -> None:
            nonlocal is_stream
            if message["type"] == "http.response.start":
                _answered(span, message["status"])
                is_stream = any(
                    name == b"content-type" and value.startswith(EVENT_STREAM)
                    for name, value in message.get("headers", ())
                )
                if is_stream:
                    _end(span, scope)
            await send(message)

        # Errors have become answers further in; what comes out here is the end of a connection.
        with use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                await self._app(scope, receive, note)
            finally:
                if not is_stream:
                    _end(span, scope)


def _named(scope: Scope) -> dict[str, str]:
    wanted = (TRACEPARENT.encode(), TRACESTATE.encode())
    return {
        name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in wanted
    }


def _answered(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def _end(span: Span, scope: Scope) -> None:
    route = getattr(scope.get("route"), "path", None)
    if route is not None:  # else nothing is there by that path
        span.set_attribute("http.route", route)
        span.update_name(f"{scope['method']} {route}")
    span.end()
