"""Exporter: hands spans to a collector, and says once when it takes none."""

import logging
from collections.abc import Mapping, Sequence

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = structlog.get_logger("fleetwire.tracing")

TIMEOUT_S = 3.0  # of one export with its repeats; the end of the server waits for the last one


class Exporter(SpanExporter):
    """OTLP over HTTP. Spans that a collector does not take in time are lost; messages never wait.

    Runs on the exporter's thread.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._otlp = OTLPSpanExporter(url, headers=dict(headers), timeout=TIMEOUT_S)
        self._url = url
        self._is_taken = True
        # It would write a line for each attempt of each export; ours say when that changes.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._otlp.export(spans)
        is_taken = result is SpanExportResult.SUCCESS
        if is_taken != self._is_taken:
            self._is_taken = is_taken
            if is_taken:
                log.info("spans are taken again", url=self._url)
            else:
                log.warning("spans are lost: the collector does not take them", url=self._url)
        return result

    def shutdown(self) -> None:
        self._otlp.shutdown()  # type: ignore[no-untyped-call]  # it says nothing of its result
