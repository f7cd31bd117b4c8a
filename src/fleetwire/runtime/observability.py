"""How the house is: health by component."""

import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

from sqlalchemy import text

from fleetwire.broker.broker import Broker
from fleetwire.errors import StoreUnavailableError
from fleetwire.ingest.road import Road
from fleetwire.kit import Component, Health
from fleetwire.kit.instants import now
from fleetwire.net.bridge.bridges import Bridges
from fleetwire.net.bridge.status import CONNECTED, BridgeStatus
from fleetwire.net.server import Server
from fleetwire.runtime.metrics import Metrics
from fleetwire.store.database import Database
from fleetwire.store.journal.journal import SqlJournal


class HouseHealth(Health):
    """Asks each part how it is."""

    def __init__(
        self,
        server: Server,
        broker: Broker,
        road: Road,
        database: Database,
        bridges: Bridges,
        journal: SqlJournal,
        metrics: Metrics,
        address: Callable[[], tuple[str, int | None]],
    ) -> None:
        """`address` is where MQTT is spoken: host, and port once it is open."""
        self._server = server
        self._broker = broker
        self._road = road
        self._database = database
        self._bridges = bridges
        self._journal = journal
        self._metrics = metrics
        self._address = address
        self._started_at = time.time()

    def is_connected(self) -> bool:
        return self._server.is_running() and not self._road.is_stalled

    async def components(self) -> Sequence[Component]:
        database = await self._ask_database()
        host, port = self._address()
        broker = Component(
            "broker",
            "ok" if self._server.is_running() else "down",
            0.0,
            {
                "host": host,
                "port": port,
                "connections": len(self._server.connections),
                "authenticated": sum(
                    each.client is not None and not each.client.grant.anonymous
                    for each in self._server.connections
                ),
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
        return self._metrics.text()


def _component(bridges: Sequence[BridgeStatus]) -> Component:
    """Return how the bridges are; one that is away is no reason to stop taking messages."""
    away = any(bridge.state != CONNECTED for bridge in bridges)
    detail: dict[str, object] = {
        bridge.name: {"state": bridge.state, "queued": bridge.queued, "reason": bridge.reason}
        for bridge in bridges
    }
    return Component("bridges", "degraded" if away else "ok", 0.0, detail)
