"""What each part of the house is measured by. docs/operations.md has the table of them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import HistogramMetricFamily, Metric

from fleetwire.broker.broker import Broker
from fleetwire.features.audit.retention import AuditRetention
from fleetwire.features.broker.service import counts_by_reason
from fleetwire.features.commands.service import CommandService
from fleetwire.features.commands.states import ALL, FINAL
from fleetwire.features.quarantine.sink import QuarantineSqlSink
from fleetwire.features.telemetry.writer import ReadingSink
from fleetwire.ingest.events import EventBus
from fleetwire.ingest.road import Road
from fleetwire.kit import LiveEvent
from fleetwire.kit.instants import now
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.net.bridge.status import CONNECTED
from fleetwire.net.server import Server
from fleetwire.protocol.constants import reason_name
from fleetwire.runtime.metrics import PREFIX, counter, counters, gauge, gauges
from fleetwire.store.backup import last_backup_at
from fleetwire.store.database import Database
from fleetwire.store.journal.journal import SqlJournal
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.traffic import Traffic

OPEN_STATES = sorted(ALL - FINAL)


def mqtt_figures(server: Server, broker: Broker) -> Iterable[Metric]:
    """Yield connections, sessions and messages of the broker."""
    stats = broker.stats
    yield counter("mqtt_connections", "Accepted CONNECTs", stats.connections)
    yield counter("mqtt_connections_refused", "Refused CONNECTs", stats.connections_refused)
    yield counter("mqtt_received_bytes", "Bytes read from clients", stats.bytes_received)
    yield counter("mqtt_sent_bytes", "Bytes written to clients", stats.bytes_sent)
    yield counter("mqtt_messages_received", "PUBLISH packets from clients", stats.messages_received)
    yield counter("mqtt_messages_sent", "PUBLISH packets to clients", stats.messages_sent)
    yield counter("mqtt_messages_refused", "PUBLISH packets not permitted", stats.messages_refused)
    yield counter(
        "mqtt_messages_dropped",
        "Messages dropped: slow reader or full queue",
        stats.messages_dropped,
    )
    yield counter(
        "mqtt_messages_expired", "Messages expired before delivery", stats.messages_expired
    )
    yield counter("mqtt_takeovers", "Connections taken over", stats.takeovers)
    yield counters(
        "mqtt_reasons",
        "What was refused, dropped or ended, by reason",
        ["what", "reason"],
        {(each.what, each.reason): each.count for each in counts_by_reason(server)},
    )
    sessions = broker.sessions.values()
    yield gauge("mqtt_clients", "Open connections", len(server.connections))
    yield gauge("mqtt_sessions", "Sessions, connected or not", len(sessions))
    yield gauge(
        "mqtt_inflight_messages",
        "Messages sent to clients and not acknowledged",
        sum(len(session.inflight) for session in sessions),
    )
    yield gauge(
        "mqtt_queued_messages",
        "Messages waiting for clients",
        sum(len(session.queue) for session in sessions),
    )
    yield gauge("mqtt_traces", "Live traces", len(server.tracer.traces))
    yield gauge("mqtt_subscriptions", "Subscriptions of clients", broker.tree.count)
    yield gauge("mqtt_retained_messages", "Retained messages", len(broker.retained))


def bridge_figures(bridges: Bridges) -> Iterable[Metric]:
    """Yield how each bridge is, and what went across."""
    status = bridges.status()
    yield gauges(
        "bridge_connected",
        "1 while the other side is there",
        ["bridge"],
        {(each.name,): int(each.state == CONNECTED) for each in status},
    )
    yield gauges(
        "bridge_queued_messages",
        "Messages waiting for the other side",
        ["bridge"],
        {(each.name,): each.queued for each in status},
    )
    yield counters(
        "bridge_messages",
        "Messages that came in or went out",
        ["bridge", "direction"],
        {(each.name, "in"): each.counts.messages_in for each in status}
        | {(each.name, "out"): each.counts.messages_out for each in status},
    )
    yield counters(
        "bridge_messages_dropped",
        "Messages that did not go across, by reason",
        ["bridge", "reason"],
        {
            (each.name, reason): count
            for each in status
            for reason, count in each.counts.dropped.items()
        },
    )


def http_figures(traffic: Traffic) -> Iterable[Metric]:
    """Yield the requests of each listener."""
    yield counters(
        "http_requests",
        "HTTP requests by listener and status; closed: nobody waited for the answer",
        ["listener", "status"],
        dict(traffic.requests),
    )
    yield counters(
        "http_request_seconds",
        "Time until their answers began, by listener",
        ["listener"],
        dict(traffic.seconds),
    )


def ingest_figures(road: Road, server: Server, readings: ReadingSink) -> Iterable[Metric]:
    """Yield what came up the road, and what waits for it."""
    count = road.counters
    yield counter("ingest_accepted", "Messages accepted and committed", count.accepted)
    yield counters(
        "ingest_refused",
        "Messages quarantined, by reason",
        ["reason"],
        {(reason_name(code),): refused for code, refused in count.refused.items()},
    )
    yield counter("ingest_batches", "Batches committed", count.batches)
    yield counter("ingest_retries", "Commits that failed and were tried again", count.retries)
    yield gauge("ingest_lag_seconds", "Longest wait just now", road.lag_us(now()) / 1e6)
    yield gauge("ingest_waiting", "Messages waiting for the next batch", road.waiting)
    yield gauge("ingest_held", "1 while reading from clients is paused", int(server.is_held))
    yield counter("readings_stored", "Readings stored", readings.stored)
    yield counter("readings_repeated", "Readings that were stored before", readings.repeated)


def trust_figures(quarantine: QuarantineSqlSink, retention: AuditRetention) -> Iterable[Metric]:
    """Yield what is in quarantine, and what was removed from there and from the audit."""
    yield gauge("quarantine_messages", "Messages in quarantine", quarantine.rows)
    yield gauge("quarantine_bytes", "Their payloads, as they were sent", quarantine.bytes)
    yield counters(
        "quarantine_removed",
        "Messages that left quarantine unasked, by reason: room, age",
        ["reason"],
        {("room",): quarantine.pruned, ("age",): quarantine.outdated},
    )
    yield counter("audit_removed", "Audit records past their time", retention.removed)


def store_figures(database: Database, journal: SqlJournal) -> Iterable[Metric]:
    """Yield commits and what waits for them."""
    yield counter("store_commits", "Commits of the writer", database.groups_committed)
    yield counter("store_commit_seconds", "Time spent in commits", database.commit_seconds)
    yield HistogramMetricFamily(
        f"{PREFIX}store_commit_duration_seconds",
        "Commits by how long they took",
        buckets=database.commit_times.cumulative(),
        sum_value=database.commit_seconds,
    )
    yield gauge("store_waiting", "Pieces of work waiting for the writer", database.waiting)
    yield gauge("journal_pending", "Outcomes that the journal has not stored yet", journal.pending)
    yield counter("journal_batches", "Batches that the journal stored", journal.batches_stored)
    yield counter("journal_rows", "Rows that the journal stored", journal.rows_stored)
    yield counter("journal_rows_refused", "Rows that the database refused", journal.rows_refused)


def realtime_figures(hub: RealtimeHub) -> Iterable[Metric]:
    """Yield who follows events, and what the slow were not shown."""
    yield gauge("realtime_connections", "Connections that follow events", len(hub.open))
    yield gauge("realtime_readers", "Subscriptions of these", hub.rooms.readers)
    yield gauge(
        "realtime_rooms", "Different ones: each event is encoded once for each", len(hub.rooms)
    )
    yield counter(
        "realtime_coalesced",
        "Events that slow readers were not shown one by one",
        hub.rooms.missed,
    )


class CommandFigures:
    """Counts what became of commands, by their events."""

    def __init__(self, commands: CommandService, bus: EventBus) -> None:
        self._commands = commands
        self._changes: Counter[str] = Counter()
        bus.subscribe(self._hear, wants_readings=False)

    def _hear(self, events: list[LiveEvent]) -> None:
        for event in events:
            if event.name.startswith("command."):
                self._changes[str(event.body.get("state"))] += 1

    def __call__(self) -> Iterable[Metric]:
        """Yield commands by state."""
        now_open = self._commands.count_by_state()
        yield gauges(
            "commands_open",
            "Commands that something can still become of, by state",
            ["state"],
            {(state,): now_open.get(state, 0) for state in OPEN_STATES},
        )
        yield counters(
            "commands_changes",
            "Commands that came to a state, by state",
            ["state"],
            {(state,): self._changes[state] for state in sorted(ALL)},
        )


def backup_figures(data_dir: Path) -> Iterable[Metric]:
    """Yield when the last backup was made."""
    yield gauge(
        "backup_timestamp_seconds",
        "When the last backup was begun, since 1970; 0 = there was none",
        last_backup_at(data_dir) / 1e6,
    )
