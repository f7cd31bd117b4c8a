"""Where spans go: over OTLP to a collector, in the background."""

from importlib.metadata import version

from fleetwire.errors import SettingsError
from fleetwire.settings import TracingSettings

try:
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    from fleetwire.runtime.tracing.exporter import Exporter
    from fleetwire.runtime.tracing.house import HouseTracing
except ImportError as error:
    raise SettingsError(
        "FLEETWIRE_TRACING_ENDPOINT needs the packages of the extra `otel`: "
        f"pip install 'fleetwire[otel]' ({error.name} is missing)"
    ) from error

PATH = "/v1/traces"  # OTLP/HTTP §Endpoint


def tracing_to(settings: TracingSettings) -> HouseTracing:
    """Return tracing that exports to the settings' endpoint."""
    assert settings.endpoint is not None
    endpoint = settings.endpoint.rstrip("/")
    url = endpoint if endpoint.endswith(PATH) else endpoint + PATH
    exporter = Exporter(url, dict(settings.headers))
    provider = TracerProvider(
        # Who has begun a trace has decided whether it is kept.
        sampler=ParentBased(TraceIdRatioBased(settings.sample_percent / 100)),
        resource=Resource.create(
            {SERVICE_NAME: settings.service, SERVICE_VERSION: version("fleetwire")}
        ),
        shutdown_on_exit=False,  # the house says when
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return HouseTracing(provider)
