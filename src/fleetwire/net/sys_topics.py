"""SysTopics: what the broker says of itself under `$SYS/broker/`, by the names Mosquitto gives.

Retained, QoS 0, and written only when a value has changed. Nothing of it is stored: after a start
it is said anew. `load/…` are averages of a minute's count over the last 1, 5 and 15 minutes.

`store/messages/…` are those retained, queued and in flight; of the bytes, those in flight are left
out, which nobody adds up. Does not: `heap/…`, `load/sockets/…`, `shared_subscriptions/count`.
"""

import asyncio
import math
import time
from importlib.metadata import version
from typing import Final

from fleetwire.broker.broker import Broker
from fleetwire.broker.stats import Stats
from fleetwire.net.clients import Client, ClientObserver
from fleetwire.protocol.packets import Publish

ROOT: Final = "$SYS/broker/"
SPANS: Final = {"1min": 60.0, "5min": 300.0, "15min": 900.0}


class Load:
    """One counter as a count per minute, averaged over the spans with falling weight."""

    __slots__ = ("_averages", "_last")

    def __init__(self) -> None:
        self._last = 0
        self._averages = dict.fromkeys(SPANS, 0.0)

    def update(self, count: int, elapsed_s: float) -> dict[str, str]:
        """Take the counter as it is now, `elapsed_s` after the last time; return the averages."""
        per_minute = (count - self._last) * 60.0 / elapsed_s
        self._last = count
        for span, seconds in SPANS.items():
            weight = math.exp(-elapsed_s / seconds)
            before = self._averages[span]
            self._averages[span] = per_minute + weight * (before - per_minute)
        return {span: f"{average:.2f}" for span, average in self._averages.items()}


class SysTopics(ClientObserver):
    """Publishes the counters of a broker every `interval_s`; `now` is in seconds, monotonic."""

    def __init__(self, broker: Broker, interval_s: float, now: float | None = None) -> None:
        self._broker = broker
        self._version = f"fleetwire version {version('fleetwire')}"
        self._interval_s = interval_s
        self._began = self._looked = time.monotonic() if now is None else now
        self._said: dict[str, str] = {}
        self._loads: dict[str, Load] = {}
        self._connected = 0
        self._most_connected = 0

    def connected(self, client: Client) -> None:
        self._connected += 1
        self._most_connected = max(self._most_connected, self._connected)

    def disconnected(self, client: Client, reason: str) -> None:
        self._connected -= 1

    async def run(self) -> None:
        """Publish, now and every interval, until cancelled."""
        while True:
            self.publish(time.monotonic(), time.time_ns() // 1000)
            await asyncio.sleep(self._interval_s)

    def publish(self, now: float, at: int) -> None:
        """Publish what has changed; `at` is the time in microseconds UTC."""
        for name, value in self._values(now).items():
            if self._said.get(name) == value:
                continue
            self._said[name] = value
            self._broker.publish_own(Publish(ROOT + name, value.encode(), 0, True), at)

    def _values(self, now: float) -> dict[str, str]:
        broker = self._broker
        stats = broker.stats
        sessions = broker.sessions
        connected = sum(session.link is not None for session in sessions.values())
        waiting = sum(len(s.queue) + len(s.inflight) for s in sessions.values())
        stored = waiting + len(broker.retained)
        queued_bytes = sum(session.queue_bytes for session in sessions.values())
        numbers = {
            "clients/total": len(sessions),
            "clients/connected": connected,
            "clients/disconnected": len(sessions) - connected,
            "clients/maximum": self._most_connected,
            "clients/expired": stats.sessions_expired,
            "messages/received": stats.packets_received,
            "messages/sent": stats.packets_sent,
            "messages/stored": stored,
            "store/messages/count": stored,
            "store/messages/bytes": broker.retained.bytes + queued_bytes,
            "publish/messages/received": stats.messages_received,
            "publish/messages/sent": stats.messages_sent,
            "publish/messages/dropped": stats.messages_dropped,
            "publish/bytes/received": stats.publish_bytes_received,
            "publish/bytes/sent": stats.publish_bytes_sent,
            "bytes/received": stats.bytes_received,
            "bytes/sent": stats.bytes_sent,
            "subscriptions/count": broker.tree.count,
            "retained messages/count": len(broker.retained),
        }
        values = {name: str(number) for name, number in numbers.items()}
        values["version"] = self._version
        values["uptime"] = f"{int(now - self._began)} seconds"
        return values | self._load_values(stats, now)

    def _load_values(self, stats: Stats, now: float) -> dict[str, str]:
        elapsed_s = now - self._looked
        if elapsed_s <= 0:
            return {}  # at the start there is no time to have a rate over
        self._looked = now
        counters = {
            "messages/received": stats.packets_received,
            "messages/sent": stats.packets_sent,
            "publish/received": stats.messages_received,
            "publish/sent": stats.messages_sent,
            "publish/dropped": stats.messages_dropped,
            "bytes/received": stats.bytes_received,
            "bytes/sent": stats.bytes_sent,
            "connections": stats.connections,
        }
        values = {}
        for name, count in counters.items():
            load = self._loads.setdefault(name, Load())
            for span, average in load.update(count, elapsed_s).items():
                values[f"load/{name}/{span}"] = average
        return values
