"""Audit: who did what."""

from abc import ABC, abstractmethod
from typing import Any

from fleetwire.kit.caller import Caller


class Audit(ABC):
    """Who did what."""

    @abstractmethod
    async def record(
        self,
        caller: Caller,
        action: str,
        subject: str | None = None,
        *,
        outcome: str = "ok",
        detail: dict[str, Any] | None = None,
    ) -> None: ...
