"""Telemetry: what devices measured."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from fleetwire.kit.caller import Caller
from fleetwire.kit.devices import DeviceRecord
from fleetwire.kit.paging import Page


class StoredReading(msgspec.Struct):
    """One stored value. `source` is the message as sent, if it was kept."""

    id: int
    metric: str
    value: Any
    unit: str
    at: int
    received_at: int
    flagged: bool
    source: str | None


class Bucket(msgspec.Struct):
    """The numbers of one metric within [at, at + width)."""

    at: int
    metric: str
    unit: str
    count: int
    min: float
    max: float
    avg: float


class Telemetry(ABC):
    """Stored readings."""

    @abstractmethod
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
        """Return readings newest first; `metric` "blood_pressure" also finds its named values."""

    @abstractmethod
    async def latest(self, caller: Caller, device: DeviceRecord) -> Sequence[StoredReading]:
        """Return the newest reading of each metric."""

    @abstractmethod
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
        """Return min, max, avg and count per metric and bucket, oldest first."""
