"""Spans over the whole road: requests, their work for the database, batches, commands."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id
from structlog.testing import capture_logs

from fleetwire.errors import SettingsError, StoreUnavailableError
from fleetwire.net.client import MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Subscription
from fleetwire.runtime.house import House
from fleetwire.runtime.observers import Tracing, tracing_of
from fleetwire.runtime.tracing.exporter import Exporter
from fleetwire.runtime.tracing.house import HouseTracing
from fleetwire.settings.loading import load
from tests.fakes import delivery_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
READING = b'{"metric_type":"spo2","value":97}'


class Spans(InMemorySpanExporter):
    """Keeps spans, and says when there are more."""

    def __init__(self) -> None:
        super().__init__()
        self.news = asyncio.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        self.news.set()
        return result


class Traced:
    """A house in this process, signed in, and the spans that it has made."""

    def __init__(self, folder: Path) -> None:
        self.exporter = Spans()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        ports: dict[str, object] = {"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}
        ports |= {"apps": ("medical",), "app_ports": {"medical": 0}}
        settings = load(ports | {"data_dir": folder}, {}, folder)
        self.house = House(settings, tracing=HouseTracing(provider))
        self.http = httpx.AsyncClient()

    async def open(self) -> None:
        await self.house.start()
        assert self.house.administrator is not None
        username, password = self.house.administrator
        self.http.base_url = httpx.URL(f"http://127.0.0.1:{self.house.ports['platform']}")
        login = {"username": username, "password": password}
        answer = await self.http.post("/api/v1/auth/login", json=login)
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    async def connect(self, device_id: str, protocol_level: int = 5) -> MQTTClient:
        """Register a device and connect as it."""
        body = {"app": "medical", "device_id": device_id, "type": "pulse_oximeter"}
        given = (await self.http.post("/api/v1/devices", json=body)).json()["credential"]
        client = MQTTClient(device_id, username=given["username"], password=given["password"])
        await client.connect("127.0.0.1", self.house.ports["mqtt"])
        return client

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    async def span(self, name: str) -> ReadableSpan:
        """The one span of this name, once it is there."""
        async with asyncio.timeout(5):
            while not self.spans(name):
                self.exporter.news.clear()
                await self.exporter.news.wait()
        (found,) = self.spans(name)
        return found


@pytest.fixture
async def traced(tmp_path: Path) -> AsyncIterator[Traced]:
    traced = Traced(tmp_path)
    try:
        await traced.open()
        traced.exporter.clear()
        yield traced
    finally:
        await traced.http.aclose()
        await traced.house.stop()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


async def test_a_request_goes_on_with_its_callers_trace_down_to_the_commit(traced: Traced) -> None:
    body = {"app": "medical", "device_id": "d", "type": "ecg_monitor"}
    headers = {"traceparent": TRACEPARENT}
    answer = await traced.http.post("/api/v1/devices?token=secret", json=body, headers=headers)
    assert answer.status_code == 201
    request = await traced.span("POST /api/v1/devices")
    assert request.parent is not None
    assert format_trace_id(request.context.trace_id) == TRACE
    assert format_span_id(request.parent.span_id) == PARENT
    said = attributes(request)
    assert (said["http.response.status_code"], said["http.route"]) == (201, "/api/v1/devices")
    assert said["fleetwire.listener"] == "platform"
    assert "secret" not in str(said)
    works = {attributes(span)["code.function.name"]: span for span in traced.spans("store.write")}
    (registering,) = [span for name, span in works.items() if ".DeviceService." in name]
    assert registering.parent is not None
    assert registering.parent.span_id == request.context.span_id
    assert [event.name for event in registering.events] == ["begun", "done"]


async def test_what_is_refused_is_no_error_of_ours_and_what_is_nowhere_has_no_route(
    traced: Traced,
) -> None:
    await traced.http.get("/api/v1/devices/medical/none")
    await traced.http.get("/nowhere")
    refused = await traced.span("GET /api/v1/devices/{app}/{device_id}")
    assert refused.status.is_unset
    nowhere = await traced.span("GET")
    assert attributes(nowhere)["http.response.status_code"] == 404


async def test_a_stream_of_events_is_over_when_it_begins(traced: Traced) -> None:
    async with traced.http.stream("GET", "/api/v1/realtime/events?snapshot=false"):
        span = await traced.span("GET /api/v1/realtime/events")
        assert attributes(span)["http.response.status_code"] == 200


async def test_a_batch_is_one_span_with_its_stages_and_where_its_messages_came_from(
    traced: Traced,
) -> None:
    client = await traced.connect("d")
    named = {c.USER_PROPERTY: [("traceparent", TRACEPARENT), ("other", "x")]}
    await client.publish("devices/d/data", READING, 1, properties=named)
    await client.disconnect()
    span = await traced.span("ingest.batch")
    assert [event.name for event in span.events] == [
        "gathered",
        "prepared",
        "stored",
        "committed",
        "released",
    ]
    assert span.start_time is not None
    instants = [span.start_time, *[event.timestamp for event in span.events], span.end_time]
    assert instants == sorted(instants)
    said = attributes(span)
    assert (said["messaging.batch.message_count"], said["fleetwire.accepted"]) == (1, 1)
    assert (said["fleetwire.refused"], said["fleetwire.failures"]) == (0, 0)
    (link,) = span.links
    assert format_trace_id(link.context.trace_id) == TRACE
    assert format_span_id(link.context.span_id) == PARENT


async def test_a_batch_that_had_to_be_halved_is_a_span_for_each_half(traced: Traced) -> None:
    client = await traced.connect("d")
    write = traced.house.database.write
    failures = iter([ValueError, StoreUnavailableError])

    async def fail_at_first(work: Callable[[Any], Any]) -> Any:
        if error := next(failures, None):
            raise error("no")
        return await write(work)

    traced.house.database.write = fail_at_first  # type: ignore[method-assign]  # a disk that fails
    deliveries = [delivery_of(READING, topic="devices/d/data", at=1_000_000) for _ in range(2)]
    for delivery in deliveries:
        traced.house.source.take(delivery)
    async with asyncio.timeout(5):
        while len(traced.spans("ingest.batch")) < 2:
            traced.exporter.news.clear()
            await traced.exporter.news.wait()
    await client.disconnect()
    first, second = ([event.name for event in span.events] for span in traced.spans("ingest.batch"))
    stored = ["prepared", "stored", "committed", "released"]
    failed = ["prepared", "failed: ValueError", "prepared", "failed: StoreUnavailableError"]
    assert first == ["gathered", *failed, *stored]
    assert second == ["gathered", *stored]


async def test_a_command_is_one_trace_from_its_request_to_the_device(traced: Traced) -> None:
    client = await traced.connect("d")
    await client.subscribe(Subscription("devices/d/commands", 1))
    path = "/api/v1/devices/medical/d/commands"
    headers = {"traceparent": TRACEPARENT}
    sent = await traced.http.post(path, json={"name": "start_monitoring"}, headers=headers)
    assert sent.status_code == 202
    async with asyncio.timeout(5):
        message = await anext(client.messages())
    assert message.properties is not None
    pairs = message.properties[c.USER_PROPERTY]
    assert isinstance(pairs, list)
    told = dict(pairs)["traceparent"]
    request = await traced.span("POST /api/v1/devices/{app}/{device_id}/commands")
    command = await traced.span("command start_monitoring")
    waiting = await traced.span("command queued")
    on_its_way = await traced.span("command sent")
    await client.disconnect()
    assert command.parent is not None
    assert command.parent.span_id == request.context.span_id
    assert told == f"00-{TRACE}-{format_span_id(command.context.span_id)}-01"
    for phase, next_state in ((waiting, "sent"), (on_its_way, "delivered")):
        assert phase.parent is not None
        assert phase.parent.span_id == command.context.span_id
        said = attributes(phase)
        assert said["fleetwire.command.id"] == sent.json()["id"]
        assert said["fleetwire.command.next_state"] == next_state
    assert waiting.end_time == on_its_way.start_time


def test_without_an_endpoint_nothing_is_traced(tmp_path: Path) -> None:
    tracing = tracing_of(load({}, {}, tmp_path))
    assert type(tracing) is Tracing
    assert type(tracing.database("sqlite://")).__name__ == "Database"

    async def app(*_: object) -> None:
        """An application."""

    assert tracing.application("platform", app) is app


def test_an_endpoint_turns_it_on(tmp_path: Path) -> None:
    environ = {
        "FLEETWIRE_TRACING_ENDPOINT": "http://127.0.0.1:4318",
        "FLEETWIRE_TRACING_HEADERS": "Authorization=Basic abc=, x-team=one",
        "FLEETWIRE_TRACING_SAMPLE_PERCENT": "10",
    }
    settings = load({}, environ, tmp_path)
    assert settings.tracing.headers == (("authorization", "Basic abc="), ("x-team", "one"))
    assert "abc" not in str(settings.shown())
    tracing = tracing_of(settings)
    assert isinstance(tracing, HouseTracing)
    tracing.close()


class Collector(BaseHTTPRequestHandler):
    """Takes what it is sent while its server says so."""

    def do_POST(self) -> None:  # the name that the base class looks for
        assert isinstance(self.server, Taking)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.is_taking:
            self.server.taken.append((self.path, self.headers["x-team"], body))
        self.send_response(200 if self.server.is_taking else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Taking(ThreadingHTTPServer):
    is_taking = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Collector)
        self.taken: list[tuple[str, str, bytes]] = []


def test_a_collector_gets_the_spans_and_its_absence_is_said_once() -> None:
    with Taking() as server, capture_logs() as lines:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(Exporter(url, {"x-team": "one"})))
        tracer = provider.get_tracer("test")
        for is_taking in (True, False, False, True):
            server.is_taking = is_taking
            tracer.start_span("a-span").end()
        provider.shutdown()
        server.shutdown()
        thread.join()
    assert [(path, team) for path, team, _ in server.taken] == [("/v1/traces", "one")] * 2
    assert b"a-span" in server.taken[0][2]
    assert [(line["log_level"], line["event"].split(":")[0]) for line in lines] == [
        ("warning", "spans are lost"),
        ("info", "spans are taken again"),
    ]


@pytest.mark.parametrize("headers", ["x", "=y", "a b=c", "a=\x01"])
def test_headers_out_of_form_are_refused(tmp_path: Path, headers: str) -> None:
    with pytest.raises(SettingsError, match="name=value"):
        load({}, {"FLEETWIRE_TRACING_HEADERS": headers}, tmp_path)
