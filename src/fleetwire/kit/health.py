"""Health: how the house is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec


class Component(msgspec.Struct):
    """The state of one part of the house. `latency_ms` is what asking it took."""

    name: str
    status: str  # ok | degraded | down
    latency_ms: float
    detail: dict[str, Any]


class Health(ABC):
    """How the house is."""

    @abstractmethod
    def is_connected(self) -> bool:
        """Say whether broker and store both take messages."""

    @abstractmethod
    async def components(self) -> Sequence[Component]:
        """Return database, broker, ingest and version, each with status and latency."""

    @abstractmethod
    def metrics(self) -> bytes:
        """Return the Prometheus text exposition."""
