"""Feed: stored readings in the order of their commits, for who must miss none of them.

Whoever remembers the cursor of the last reading that he has dealt with goes on behind it, also
after a restart. He sees what is committed, and what was sent twice he sees once.
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from fleetwire.features.telemetry.tables import metrics, readings
from fleetwire.features.telemetry.values import decode_value


class FedReading(NamedTuple):
    """A stored reading; `id` is its cursor, `device` the device's key."""

    id: int
    device: int
    metric: str
    value: Any
    at: int
    received_at: int


_COLUMNS = (
    readings.c.id,
    readings.c.device,
    readings.c.metric,
    readings.c.kind,
    readings.c.number,
    readings.c.text,
    readings.c.at,
    readings.c.received_at,
)
_AFTER = select(*_COLUMNS).order_by(readings.c.id)


class Feed:
    """Reads readings by cursor. It remembers what metrics are called, which never changes."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def last(self, connection: Connection) -> int:
        """Return the cursor of the newest reading, 0 if there is none."""
        return connection.scalar(select(func.max(readings.c.id))) or 0

    def after(self, connection: Connection, cursor: int, limit: int) -> list[FedReading]:
        """Return the readings that come next."""
        query = _AFTER.where(readings.c.id > cursor).limit(limit)
        return self._fed(connection, connection.execute(query).all())

    def newest(
        self, connection: Connection, device: int, metric: str, cursor: int, limit: int = 1
    ) -> list[FedReading]:
        """Return the newest readings of a metric, whatever its unit, of those up to a cursor."""
        found: list[FedReading] = []
        named = select(metrics.c.id).where(metrics.c.name == metric)
        for metric_id in connection.scalars(named).all():
            query = (
                select(*_COLUMNS)
                .where(readings.c.device == device, readings.c.metric == metric_id)
                .where(readings.c.id <= cursor)
                .order_by(readings.c.at.desc(), readings.c.id.desc())
                .limit(limit)
            )
            found += self._fed(connection, connection.execute(query).all())
        found.sort(key=lambda each: (each.at, each.id), reverse=True)
        return found[:limit]

    def span(
        self,
        connection: Connection,
        wanted: Collection[tuple[int, str]],
        from_at: int,
        to_at: int,
        limit: int,
    ) -> tuple[list[FedReading], bool]:
        """Return readings from `from_at` to before `to_at` in the order of commits; are they all.

        `wanted` are devices' keys and metrics; of each are returned the newest, up to its share of
        the limit.
        """
        found: list[FedReading] = []
        share = max(1, limit // max(1, len(wanted)))
        is_whole = True
        for device, metric in wanted:
            named = select(metrics.c.id).where(metrics.c.name == metric)
            query = (
                select(*_COLUMNS)
                .where(readings.c.device == device, readings.c.metric.in_(named))
                .where(readings.c.at >= from_at, readings.c.at < to_at)
                .order_by(readings.c.at.desc())
                .limit(share + 1)
            )
            newest = self._fed(connection, connection.execute(query).all())
            is_whole = is_whole and len(newest) <= share
            found += newest[:share]
        found.sort(key=lambda each: each.id)
        return found, is_whole

    def _fed(self, connection: Connection, rows: Iterable[Any]) -> list[FedReading]:
        names = self._names
        found: list[FedReading] = []
        for id, device, metric, kind, number, text, at, received_at in rows:
            name = names.get(metric)
            if name is None:
                name = self._learn(connection, metric)
            value = decode_value(kind, number, text)
            found.append(FedReading(id, device, name, value, at, received_at))
        return found

    def _learn(self, connection: Connection, metric: int) -> str:
        rows = connection.execute(select(metrics.c.id, metrics.c.name))
        self._names.update({row.id: row.name for row in rows})
        return self._names[metric]
