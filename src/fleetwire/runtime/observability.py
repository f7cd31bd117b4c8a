"""How the house is: health by component, and Prometheus metrics read off plain counters."""

import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from sqlalchemy import text

from fleetwire.broker.broker import Broker
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.broker.service import counts_by_reason
from fleetwire.features.telemetry.writer import ReadingSink
from fleetwire.ingest.road import Road
from fleetwire.kit import Component, Health
from fleetwire.kit.instants import now
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.net.bridge.status import CONNECTED, BridgeStatus
from fleetwire.net.server import Server
from fleetwire.protocol.constants import reason_name
from fleetwire.store.database import Database
from fleetwire.store.journal.journal import SqlJournal


class HouseHealth(Health, Collector):
    """Asks each part how it is; registered as a collector, it costs nothing between two scrapes."""

    def __init__(
        self,
        server: Server,
        broker: Broker,
        road: Road,
        readings: ReadingSink,
        database: Database,
        bridges: Bridges,
        journal: SqlJournal,
    ) -> None:
        self._server = server
        self._broker = broker
        self._road = road
        self._readings = readings
        self._database = database
        self._bridges = bridges
        self._journal = journal
        self._started_at = time.time()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def is_connected(self) -> bool:
        return self._server.is_running() and not self._road.is_stalled

    async def components(self) -> Sequence[Component]:
        database = await self._ask_database()
        broker = Component(
            "broker",
            "ok" if self._server.is_running() else "down",
            0.0,
            {
                "connections": len(self._server.connections),
                "sessions": len(self._broker.sessions),
                "subscriptions": self._broker.tree.count,
                "retained_messages": len(self._broker.retained),
                "queued_messages": sum(len(s.queue) for s in self._broker.sessions.values()),
            },
        )
        road = self._road
        ingest = Component(
            "ingest",
            "down" if road.is_stalled else ("degraded" if self._server.is_held else "ok"),
            round(self._database.last_commit_s * 1000, 3),
            {
                "waiting_messages": road.waiting,
                "lag_ms": road.lag_us(now()) / 1000,
                "last_batch_messages": road.counters.rows_at_once,
                "accepted_messages": road.counters.accepted,
                "refused_messages": sum(road.counters.refused.values()),
                "writer_queue": self._database.waiting,
            },
        )
        journal = Component(
            "journal",
            "down" if self._journal.is_stalled else "ok",
            0.0,
            {
                "pending": self._journal.pending,
                "batches_stored": self._journal.batches_stored,
                "rows_refused": self._journal.rows_refused,
            },
        )
        house = Component(
            "fleetwire",
            "ok",
            0.0,
            {"version": version("fleetwire"), "uptime_s": round(time.time() - self._started_at, 1)},
        )
        bridges = self._bridges.status()
        known = [database, broker, ingest, journal, house]
        return [*known, *([_component(bridges)] if bridges else [])]

    async def _ask_database(self) -> Component:
        begun = time.perf_counter()
        detail: dict[str, object] = {"backend": self._database.url.get_backend_name()}
        status = "ok"
        try:
            await self._database.read(lambda connection: connection.execute(text("SELECT 1")))
        except StoreUnavailableError as error:
            status = "down"
            detail["error"] = str(error)
        return Component("database", status, round((time.perf_counter() - begun) * 1000, 3), detail)

    def metrics(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        stats = self._broker.stats
        counters = self._road.counters
        yield _counter("mqtt_connections", "Accepted CONNECTs", stats.connections)
        yield _counter("mqtt_connections_refused", "Refused CONNECTs", stats.connections_refused)
        yield _counter("mqtt_received_bytes", "Bytes read from clients", stats.bytes_received)
        yield _counter("mqtt_sent_bytes", "Bytes written to clients", stats.bytes_sent)
        yield _counter(
            "mqtt_messages_received", "PUBLISH packets from clients", stats.messages_received
        )
        yield _counter("mqtt_messages_sent", "PUBLISH packets to clients", stats.messages_sent)
        yield _counter(
            "mqtt_messages_refused", "PUBLISH packets not permitted", stats.messages_refused
        )
        yield _counter(
            "mqtt_messages_dropped",
            "Messages dropped: slow reader or full queue",
            stats.messages_dropped,
        )
        yield _counter(
            "mqtt_messages_expired", "Messages expired before delivery", stats.messages_expired
        )
        yield _counter("mqtt_takeovers", "Connections taken over", stats.takeovers)
        reasons = CounterMetricFamily(
            "fleetwire_mqtt_reasons",
            "What was refused, dropped or ended, by reason",
            labels=["what", "reason"],
        )
        for each in counts_by_reason(self._server):
            reasons.add_metric([each.what, each.reason], each.count)
        yield reasons
        yield _gauge("mqtt_clients", "Open connections", len(self._server.connections))
        yield _gauge("mqtt_sessions", "Sessions, connected or not", len(self._broker.sessions))
        sessions = self._broker.sessions.values()
        yield _gauge(
            "mqtt_inflight_messages",
            "Messages sent to clients and not acknowledged",
            sum(len(session.inflight) for session in sessions),
        )
        yield _gauge(
            "mqtt_queued_messages",
            "Messages waiting for clients",
            sum(len(session.queue) for session in sessions),
        )
        yield _gauge("mqtt_traces", "Live traces", len(self._server.tracer.traces))
        yield from _bridge_metrics(self._bridges.status())
        yield _gauge("mqtt_subscriptions", "Subscriptions of clients", self._broker.tree.count)
        yield _gauge("mqtt_retained_messages", "Retained messages", len(self._broker.retained))
        yield _counter("ingest_accepted", "Messages accepted and committed", counters.accepted)
        refused = CounterMetricFamily(
            "fleetwire_ingest_refused", "Messages quarantined, by reason", labels=["reason"]
        )
        for code, count in counters.refused.items():
            refused.add_metric([reason_name(code)], count)
        yield refused
        yield _counter("ingest_batches", "Batches committed", counters.batches)
        yield _counter(
            "ingest_retries", "Commits that failed and were tried again", counters.retries
        )
        yield _gauge("ingest_lag_seconds", "Longest wait just now", self._road.lag_us(now()) / 1e6)
        yield _gauge("ingest_waiting", "Messages waiting for the next batch", self._road.waiting)
        yield _gauge(
            "ingest_held", "1 while reading from clients is paused", int(self._server.is_held)
        )
        yield _counter("readings_stored", "Readings stored", self._readings.stored)
        yield _counter(
            "readings_repeated", "Readings that were stored before", self._readings.repeated
        )
        yield _counter("store_commits", "Commits of the writer", self._database.groups_committed)
        yield _counter(
            "store_commit_seconds", "Time spent in commits", self._database.commit_seconds
        )
        yield HistogramMetricFamily(
            "fleetwire_store_commit_duration_seconds",
            "Commits by how long they took",
            buckets=self._database.commit_times.cumulative(),
            sum_value=self._database.commit_seconds,
        )
        journal = self._journal
        yield _gauge(
            "journal_pending", "Outcomes that the journal has not stored yet", journal.pending
        )
        yield _counter("journal_batches", "Batches that the journal stored", journal.batches_stored)
        yield _counter("journal_rows", "Rows that the journal stored", journal.rows_stored)
        yield _counter(
            "journal_rows_refused", "Rows that the database refused", journal.rows_refused
        )
        yield _gauge(
            "store_waiting", "Pieces of work waiting for the writer", self._database.waiting
        )


def _component(bridges: Sequence[BridgeStatus]) -> Component:
    """Return how the bridges are; one that is away is no reason to stop taking messages."""
    away = any(bridge.state != CONNECTED for bridge in bridges)
    detail: dict[str, object] = {
        bridge.name: {"state": bridge.state, "queued": bridge.queued, "reason": bridge.reason}
        for bridge in bridges
    }
    return Component("bridges", "degraded" if away else "ok", 0.0, detail)


def _bridge_metrics(bridges: Sequence[BridgeStatus]) -> Iterable[Metric]:
    labels = ["bridge"]
    connected = GaugeMetricFamily(
        "fleetwire_bridge_connected", "1 while the other side is there", labels=labels
    )
    queued = GaugeMetricFamily(
        "fleetwire_bridge_queued_messages", "Messages waiting for the other side", labels=labels
    )
    messages = CounterMetricFamily(
        "fleetwire_bridge_messages",
        "Messages that came in or went out",
        labels=[*labels, "direction"],
    )
    dropped = CounterMetricFamily(
        "fleetwire_bridge_messages_dropped",
        "Messages that did not go across, by reason",
        labels=[*labels, "reason"],
    )
    for bridge in bridges:
        connected.add_metric([bridge.name], int(bridge.state == CONNECTED))
        queued.add_metric([bridge.name], bridge.queued)
        messages.add_metric([bridge.name, "in"], bridge.counts.messages_in)
        messages.add_metric([bridge.name, "out"], bridge.counts.messages_out)
        for reason, count in bridge.counts.dropped.items():
            dropped.add_metric([bridge.name, reason], count)
    yield from (connected, queued, messages, dropped)


def _counter(name: str, text_: str, value: float) -> Metric:
    metric = CounterMetricFamily(f"fleetwire_{name}", text_)
    metric.add_metric([], value)
    return metric


def _gauge(name: str, text_: str, value: float) -> Metric:
    metric = GaugeMetricFamily(f"fleetwire_{name}", text_)
    metric.add_metric([], value)
    return metric
