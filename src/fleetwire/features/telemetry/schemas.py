"""Readings as HTTP shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from fleetwire.kit.instants import iso
from fleetwire.kit.services import Bucket, StoredReading


class ReadingView(BaseModel):
    """One stored value; `flagged` = out of its plausible range."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 4711,
                    "metric": "blood_pressure.systolic",
                    "value": 120,
                    "unit": "mm[Hg]",
                    "at": "2026-01-31T12:00:00.000Z",
                    "received_at": "2026-01-31T12:00:00.250Z",
                    "flagged": False,
                }
            ]
        }
    )

    id: int
    metric: str
    value: Any
    unit: str
    at: str
    received_at: str
    flagged: bool

    @classmethod
    def of(cls, reading: StoredReading) -> "ReadingView":
        """Return the view of a reading."""
        return cls(
            id=reading.id,
            metric=reading.metric,
            value=reading.value,
            unit=reading.unit,
            at=iso(reading.at),
            received_at=iso(reading.received_at),
            flagged=reading.flagged,
        )


class ReadingPage(BaseModel):
    """One page of readings, newest first."""

    items: list[ReadingView]
    next_cursor: str | None = None


class BucketView(BaseModel):
    """The numbers of one metric from `at` to before the next bucket."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "at": "2026-01-31T12:00:00.000Z",
                    "metric": "heart_rate",
                    "unit": "/min",
                    "count": 60,
                    "min": 58,
                    "max": 91,
                    "avg": 72.4,
                }
            ]
        }
    )

    at: str
    metric: str
    unit: str
    count: int
    min: float
    max: float
    avg: float

    @classmethod
    def of(cls, bucket: Bucket) -> "BucketView":
        """Return the view of a bucket."""
        return cls(
            at=iso(bucket.at),
            metric=bucket.metric,
            unit=bucket.unit,
            count=bucket.count,
            min=bucket.min,
            max=bucket.max,
            avg=bucket.avg,
        )
