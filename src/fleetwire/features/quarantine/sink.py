"""QuarantineSqlSink: what nobody accepted becomes rows, of bounded number and size."""

from collections.abc import Sequence

import structlog
from sqlalchemy import Connection, case, delete, func, insert, select

from fleetwire.features.quarantine.tables import quarantine
from fleetwire.ingest.batch import QuarantineSink, Refused
from fleetwire.store.database import Transaction

log = structlog.get_logger("fleetwire.quarantine")

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_TOPIC_CHARS = 1024
MAX_NAME_CHARS = 256
MAX_REASON_CHARS = 500
KEPT = 0.95  # of the bounds after pruning, so that it is not due again with the next message

stored_bytes = case(
    (quarantine.c.payload_bytes > MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES),
    else_=quarantine.c.payload_bytes,
)


class QuarantineSqlSink(QuarantineSink):
    """Stores refused messages; past `max_rows` or `max_bytes` of payload the oldest make room.

    How full it is, is counted once at the start and kept up in memory after each commit.
    """

    def __init__(self, *, max_rows: int = 100_000, max_bytes: int = 256 * 1024 * 1024) -> None:
        self.rows = 0
        self.bytes = 0
        self.pruned = 0  # rows since start that had to make room …
        self.outdated = 0  # … and that were too old
        self._max_rows = max_rows
        self._max_bytes = max_bytes

    def load(self, connection: Connection) -> None:
        """Count what is stored."""
        count, size = connection.execute(
            select(func.count(), func.coalesce(func.sum(stored_bytes), 0)).select_from(quarantine)
        ).one()
        self.rows, self.bytes = int(count), int(size)

    def changed(self, rows: int, size: int) -> None:
        """Rows with so many bytes of payload were added (or, negative, removed) and committed."""
        self.rows += rows
        self.bytes += size

    def expired(self, rows: int) -> None:
        """So many rows were removed because they were too old."""
        self.outdated += rows

    def write(self, tx: Transaction, refused: Sequence[Refused]) -> None:
        rows = []
        size = 0
        for each in refused:
            delivery = each.delivery
            publish = delivery.publish
            payload = publish.payload[:MAX_PAYLOAD_BYTES]
            size += len(payload)
            rows.append(
                {
                    "organization_id": each.organization_id,
                    "app": each.app,
                    "topic": publish.topic_name[:MAX_TOPIC_CHARS],
                    "payload": payload,
                    "payload_bytes": len(publish.payload),
                    "qos": publish.qos,
                    "client_id": delivery.client_id[:MAX_NAME_CHARS],
                    "identity": delivery.identity[:MAX_NAME_CHARS],
                    "reason_code": each.reason_code,
                    "reason": each.reason[:MAX_REASON_CHARS],
                    "received_at": delivery.received_at,
                }
            )
        tx.execute(insert(quarantine), rows)
        count = len(rows)
        over_rows = self.rows + count - self._max_rows
        over_bytes = self.bytes + size - self._max_bytes
        if over_rows > 0 or over_bytes > 0:
            removed, freed = _prune(
                tx,
                self.rows + count - int(self._max_rows * KEPT),
                self.bytes + size - int(self._max_bytes * KEPT),
            )
            count -= removed
            size -= freed
            tx.after_commit(lambda: self._tell_pruned(removed))
        tx.after_commit(lambda: self.changed(count, size))

    def _tell_pruned(self, rows: int) -> None:
        self.pruned += rows
        log.warning("quarantine is full; the oldest messages were removed", removed=rows)


def _prune(tx: Transaction, rows: int, size: int) -> tuple[int, int]:
    """Remove the oldest until so many rows and so many bytes are gone; return how many were."""
    removed = freed = last_id = 0
    oldest = tx.execute(
        select(quarantine.c.id, stored_bytes.label("size")).order_by(quarantine.c.id)
    )
    for row in oldest:
        if removed >= rows and freed >= size:
            break
        last_id = row.id
        removed += 1
        freed += row.size
    oldest.close()
    tx.execute(delete(quarantine).where(quarantine.c.id <= last_id))
    return removed, freed
