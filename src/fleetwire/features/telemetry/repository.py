"""Readings as rows, found without walking over what was not asked for.

Theory of operation. The one index besides the key begins with device, metric, at. It answers «one
metric of one device, newest first» directly, but not «all metrics of one device, newest first».
So a question is asked for each metric of the device, and the answers are merged. Which metrics a
device has is found by skipping through the index from one to the next; buckets are found the same
way, from one that holds something to the one before it, so that gaps cost nothing.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Select, case, func, literal, select

from fleetwire.errors import TooManyError
from fleetwire.features.telemetry.tables import metrics, readings
from fleetwire.features.telemetry.values import DIGEST_NUMBER, FLAG_OUT_OF_RANGE, decode_value
from fleetwire.kit.services import Bucket, StoredReading

MAX_METRICS = 1000  # of one device; each costs a question

FIRST, LAST = 0, 2**63 - 1


@dataclass(frozen=True)
class Span:
    """From `start` to before `end`, in microseconds UTC."""

    start: int = FIRST
    end: int = LAST

    def holds(self, at: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """Return the conditions that an instant is within."""
        return [at >= self.start, at < self.end]


@dataclass(frozen=True)
class Metric:
    """A metric by its key."""

    id: int
    name: str
    unit: str


def metrics_of(connection: Connection, device: int, name: str | None) -> list[Metric]:
    """Return the metrics a device has, by name; with `name` that one and those named below it.

    Raises TooManyError if there are more than MAX_METRICS.
    """
    first = select(func.min(readings.c.metric).label("id")).where(readings.c.device == device)
    walk = first.cte("walk", recursive=True)
    following = (
        select(func.min(readings.c.metric))
        .where(readings.c.device == device, readings.c.metric > walk.c.id)
        .correlate(walk)
        .scalar_subquery()
    )
    walk = walk.union_all(select(following).where(walk.c.id.is_not(None)))
    query = select(metrics.c.id, metrics.c.name, metrics.c.unit).where(
        metrics.c.id.in_(select(walk.c.id))
    )
    if name is not None:
        below = name + "."
        # Not LIKE: its idea of upper and lower case differs from database to database.
        query = query.where(
            (metrics.c.name == name) | (func.substr(metrics.c.name, 1, len(below)) == below)
        )
    rows = connection.execute(query.order_by(metrics.c.name, metrics.c.unit).limit(MAX_METRICS + 1))
    found = [Metric(*row) for row in rows]
    if len(found) > MAX_METRICS:
        raise TooManyError(f"The device has more than {MAX_METRICS} such metrics: name one.")
    return found


def newest(
    connection: Connection,
    device: int,
    of: Sequence[Metric],
    span: Span,
    before: tuple[int, int] | None,
    limit: int,
) -> list[StoredReading]:
    """Return readings newest first; `before` is the (at, id) of the last one of the page before."""
    keys: Iterable[tuple[int, int]] = heapq.merge(
        *(_newest_keys(connection, device, metric.id, span, before, limit) for metric in of),
        reverse=True,
    )
    chosen = [id for _, id in zip(range(limit), (id for _, id in keys), strict=False)]
    return _readings(connection, chosen, {metric.id: metric for metric in of})


def latest(connection: Connection, device: int, of: Sequence[Metric]) -> list[StoredReading]:
    """Return the newest reading of each metric name, by name."""
    # A metric that came in several units has several keys; the one heard last counts.
    keys: dict[str, tuple[int, int]] = {}
    for metric in of:
        for key in _newest_keys(connection, device, metric.id, Span(), None, 1):
            keys[metric.name] = max(key, keys.get(metric.name, key))
    chosen = [id for _, id in keys.values()]
    return _readings(connection, chosen, {metric.id: metric for metric in of})


def buckets(
    connection: Connection, device: int, metric: Metric, span: Span, width: int, limit: int
) -> list[Bucket]:
    """Return the newest `limit` buckets that hold numbers, newest first."""
    numbers = (
        readings.c.device == device,
        readings.c.metric == metric.id,
        readings.c.digest == DIGEST_NUMBER,
    )

    def last_before(end: ColumnElement[int] | int) -> Select[tuple[int]]:
        return (
            select(readings.c.at - readings.c.at % width)
            .where(*numbers, readings.c.at >= span.start, readings.c.at < end)
            .order_by(readings.c.at.desc())
            .limit(1)
        )

    first = last_before(span.end).scalar_subquery()
    walk = select(first.label("at"), literal(1).label("step")).cte("walk", recursive=True)
    previous = last_before(walk.c.at).correlate(walk).scalar_subquery()
    walk = walk.union_all(
        select(previous, walk.c.step + 1).where(walk.c.at.is_not(None), walk.c.step < limit)
    )
    # One lower and one upper bound: given two of each, SQLite searches by the wrong one.
    start = case((walk.c.at < span.start, span.start), else_=walk.c.at)
    end = case((walk.c.at > span.end - width, span.end), else_=walk.c.at + width)
    query = (
        select(
            walk.c.at,
            func.count(),
            func.min(readings.c.number),
            func.max(readings.c.number),
            func.avg(readings.c.number),
        )
        .join(readings, (readings.c.at >= start) & (readings.c.at < end))
        .where(*numbers)
        .group_by(walk.c.at)
        .order_by(walk.c.at.desc())
    )
    return [
        Bucket(at, metric.name, metric.unit, count, low, high, average)
        for at, count, low, high, average in connection.execute(query)
    ]


def _newest_keys(
    connection: Connection,
    device: int,
    metric: int,
    span: Span,
    before: tuple[int, int] | None,
    limit: int,
) -> list[tuple[int, int]]:
    at, id = readings.c.at, readings.c.id
    query = select(at, id).where(
        readings.c.device == device, readings.c.metric == metric, *span.holds(at)
    )
    if before is not None:
        query = query.where(at <= before[0], (at < before[0]) | (id < before[1]))
    rows = connection.execute(query.order_by(at.desc(), id.desc()).limit(limit))
    return [(row.at, row.id) for row in rows]


def _readings(
    connection: Connection, ids: Sequence[int], of: dict[int, Metric]
) -> list[StoredReading]:
    """Return the readings with these keys, in this order."""
    rows = connection.execute(
        select(
            readings.c.id,
            readings.c.metric,
            readings.c.at,
            readings.c.received_at,
            readings.c.kind,
            readings.c.number,
            readings.c.text,
            readings.c.flags,
            readings.c.source,
        ).where(readings.c.id.in_(ids))
    )
    found = {
        row.id: StoredReading(
            id=row.id,
            metric=of[row.metric].name,
            value=decode_value(row.kind, row.number, row.text),
            unit=of[row.metric].unit,
            at=row.at,
            received_at=row.received_at,
            flagged=bool(row.flags & FLAG_OUT_OF_RANGE),
            source=row.source,
        )
        for row in rows
    }
    return [found[id] for id in ids]
