"""ReadingSink: readings become rows, many in one statement, on the writer's thread."""

from collections.abc import Sequence as SequenceOf
from typing import Any

from sqlalchemy import Connection, func, select

from fleetwire.features.telemetry.tables import metrics, readings
from fleetwire.features.telemetry.values import EXACT, FLAG_OUT_OF_RANGE, KIND_NUMBER, encode_value
from fleetwire.ingest.batch import Accepted, Sink
from fleetwire.ingest.sequence import Sequence
from fleetwire.kit.effects import Effect, Event, Reading
from fleetwire.store.database import Transaction

COLUMNS = "id,device,metric,at,received_at,kind,number,digest,text,flags,source"
# A plain number within its range is nearly everything there is; its four constants stand in the
# statement and need not be bound.
PLAIN_ROW = "(?,?,?,?,?,0,?,0,NULL,0,?)"
FULL_ROW = "(?,?,?,?,?,?,?,?,?,?,?)"
# Rows of one statement: many amortise its cost; SQLite takes 32,766 parameters, and a statement is
# prepared once for each size that occurs, so there are few sizes.
SIZES = (2048, 256, 32, 4, 1)


class ReadingSink(Sink):
    """Writes readings; what was stored before (a redelivery) is left as it is."""

    def __init__(self) -> None:
        self._metric_ids: dict[tuple[str, str], int] = {}
        self._new_metric_ids: dict[tuple[str, str], int] = {}
        self._plain = _Insert(PLAIN_ROW)
        self._full = _Insert(FULL_ROW)
        self.stored = 0
        self.repeated = 0

    def load(self, connection: Connection) -> int:
        """Learn the metrics that are stored already; return the newest reading's cursor, or 0."""
        for row in connection.execute(select(metrics.c.id, metrics.c.name, metrics.c.unit)):
            self._metric_ids[(row.name, row.unit)] = row.id
        return connection.scalar(select(func.max(readings.c.id))) or 0

    def write(
        self, tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], sequence: Sequence
    ) -> list[tuple[Event, Accepted]]:
        metric_ids = self._metric_ids
        plain: list[Any] = []
        full: list[Any] = []
        first = row_id = sequence.take(len(items))
        last_entry: Accepted | None = None
        source = ""
        received_at = 0
        name = unit = ""
        metric = 0  # no metric's id
        for effect, entry in items:
            reading: Reading = effect  # type: ignore[assignment]  # the road sorts effects by type
            if entry is not last_entry:
                last_entry = entry
                delivery = entry.delivery
                received_at = delivery.received_at
                payload = delivery.publish.payload
                try:
                    source = payload.decode()
                except UnicodeDecodeError:
                    source = payload.decode("utf-8", "replace")
            if (
                reading.metric != name or reading.unit != unit or not metric
            ):  # mostly they are those of before
                name, unit = reading.metric, reading.unit
                metric = metric_ids.get((name, unit)) or self._metric_id(tx, name, unit)
            at = reading.at
            if at is None:
                at = received_at
            device = reading.device.id
            value = reading.value
            if value.__class__ is int and -EXACT <= value <= EXACT and not reading.flagged:
                # What a sensor sends nearly always.
                plain += (row_id, device, metric, at, received_at, value, source)
                entry.cursor = row_id
                row_id += 1
                continue
            kind, number, digest, text = encode_value(value)
            if kind == KIND_NUMBER and not reading.flagged:
                plain += (row_id, device, metric, at, received_at, number, source)
            else:
                flags = FLAG_OUT_OF_RANGE if reading.flagged else 0
                full += (
                    row_id,
                    device,
                    metric,
                    at,
                    received_at,
                    kind,
                    number,
                    digest,
                    text,
                    flags,
                    source,
                )
            entry.cursor = row_id
            row_id += 1
        stored = self._plain.execute(tx, plain) + self._full.execute(tx, full)
        self.stored += stored
        if stored < len(items):
            self.repeated += len(items) - stored
            _mark_repeated(tx, items, first)
        return []

    def _metric_id(self, tx: Transaction, name: str, unit: str) -> int:
        key = (name, unit)
        found = self._new_metric_ids.get(key)
        if found is None:
            inserted = tx.execute(metrics.insert().values(name=name, unit=unit))
            assert inserted.inserted_primary_key is not None
            found = int(inserted.inserted_primary_key[0])
            self._new_metric_ids[key] = found
        return found

    def committed(self) -> None:
        if self._new_metric_ids:
            self._metric_ids.update(self._new_metric_ids)
            self._new_metric_ids.clear()

    def rolled_back(self) -> None:
        self._new_metric_ids.clear()


class _Insert:
    """The INSERT of one form of row, for each size."""

    def __init__(self, row: str) -> None:
        self._width = row.count("?")
        self._statements = [
            (
                size,
                f"INSERT INTO readings ({COLUMNS}) VALUES {','.join([row] * size)} "
                "ON CONFLICT (device, metric, at, number, digest) DO NOTHING",
            )
            for size in SIZES
        ]

    def execute(self, tx: Transaction, parameters: list[Any]) -> int:
        """Insert rows given as one flat list; return how many were new."""
        stored = 0
        position = 0
        left = len(parameters) // self._width
        for size, statement in self._statements:
            while left >= size:
                end = position + size * self._width
                part = tuple(parameters[position:end])
                stored += tx.execute_plain(statement, part)
                position = end
                left -= size
        return stored


def _mark_repeated(tx: Transaction, items: SequenceOf[tuple[Effect, Accepted]], first: int) -> None:
    """Some values were stored before: an entry's cursor is its last row that is new, else 0."""
    new = {
        row.id
        for row in tx.execute(
            select(readings.c.id).where(readings.c.id.between(first, first + len(items) - 1))
        )
    }
    for _, entry in items:
        entry.cursor = 0
    for offset, (_, entry) in enumerate(items):
        if first + offset in new:
            entry.cursor = first + offset
