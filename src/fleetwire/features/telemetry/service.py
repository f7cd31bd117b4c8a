"""TelemetryService: stored readings for those who may see them."""

from collections.abc import Sequence

from sqlalchemy import Connection

from fleetwire.errors import InvalidValueError, NotFoundError
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.features.telemetry import repository
from fleetwire.features.telemetry.repository import FIRST, LAST, Span
from fleetwire.kit.services import Bucket, Caller, DeviceRecord, Page, StoredReading, Telemetry
from fleetwire.store.database import Database

READ = "telemetry.read"
MIN_BUCKET_US = 1_000
MAX_BUCKET_US = 366 * 86_400 * 1_000_000


class TelemetryService(Telemetry):
    """Answers from the readings table, in a snapshot."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def query(
        self,
        caller: Caller,
        device: DeviceRecord,
        *,
        metric: str | None = None,
        from_at: int | None = None,
        to_at: int | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[StoredReading]:
        """Return readings from `from_at` to before `to_at`, newest first.

        `metric` "blood_pressure" also finds "blood_pressure.systolic". The cursor stands behind one
        reading, so that what comes in meanwhile neither skips nor doubles any.
        """
        _check(caller, device)
        check_limit(limit)
        span = _span(from_at, to_at)
        before: tuple[int, int] | None = None
        if cursor is not None:
            at, id = decode_cursor(cursor, 2)
            before = (at, id)

        def work(connection: Connection) -> list[StoredReading]:
            of = repository.metrics_of(connection, device.id, metric)
            return repository.newest(connection, device.id, of, span, before, limit + 1)

        found = await self._db.read(work)
        items = found[:limit]
        has_more = len(found) > limit
        return Page(items, encode_cursor(items[-1].at, items[-1].id) if has_more else None)

    async def latest(self, caller: Caller, device: DeviceRecord) -> Sequence[StoredReading]:
        _check(caller, device)

        def work(connection: Connection) -> list[StoredReading]:
            of = repository.metrics_of(connection, device.id, None)
            return repository.latest(connection, device.id, of)

        return await self._db.read(work)

    async def buckets(
        self,
        caller: Caller,
        device: DeviceRecord,
        *,
        bucket_us: int,
        metric: str | None = None,
        from_at: int | None = None,
        to_at: int | None = None,
        limit: int = 1000,
    ) -> Sequence[Bucket]:
        """Return min, max, avg and count per metric and bucket, oldest first.

        Buckets begin at whole multiples of their width since 1970; empty ones are left out. Past
        `limit` it is the newest that are returned.
        """
        _check(caller, device)
        check_limit(limit)
        if not MIN_BUCKET_US <= bucket_us <= MAX_BUCKET_US:
            raise InvalidValueError("bucket must be between 1ms and 366d", field="bucket")
        span = _span(from_at, to_at)

        def work(connection: Connection) -> list[Bucket]:
            found: list[Bucket] = []
            for each in repository.metrics_of(connection, device.id, metric):
                found += repository.buckets(connection, device.id, each, span, bucket_us, limit)
            found.sort(key=lambda bucket: (bucket.at, bucket.metric, bucket.unit))
            return found[-limit:]

        return await self._db.read(work)


def _check(caller: Caller, device: DeviceRecord) -> None:
    caller.require(READ)
    if device.organization_id != caller.organization_id:
        raise NotFoundError(f"No device {device.device_id!r} is registered with {device.app!r}.")


def _span(from_at: int | None, to_at: int | None) -> Span:
    return Span(FIRST if from_at is None else from_at, LAST if to_at is None else to_at)
