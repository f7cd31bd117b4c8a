"""Guesses: trying codes, keys and tokens costs an address a wait, and is on record."""

import time
from collections.abc import Callable
from typing import Final

import structlog

from fleetwire.features.accounts.throttle import Throttle
from fleetwire.features.audit.service import SqlAudit
from fleetwire.kit.services import Caller
from fleetwire.net.gatekeeper import address_of
from fleetwire.net.meter import TokenBucket

log = structlog.get_logger("fleetwire.provisioning")

# Wrong ones of an address before it waits: installers share one, and mistype.
FREE_TRIES: Final = 20
RECORDED_PER_S: Final = 5.0  # a guesser with many addresses must not fill the disk
RECORDED_BURST: Final = 100.0


class Guesses:
    """Counts tries by what is tried (`claim`, `fleet_key`, …) and where they come from."""

    def __init__(
        self,
        audit: SqlAudit,
        throttle: Throttle | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._audit = audit
        self._throttle = Throttle() if throttle is None else throttle
        self._monotonic = monotonic
        self._recorded = TokenBucket(RECORDED_PER_S, RECORDED_BURST)

    def enter(self, what: str, remote: str) -> None:
        """Count a try before it is made. Raises TooManyAttemptsError while its wait lasts."""
        self._throttle.enter(what, _address(remote), FREE_TRIES)

    def right(self, what: str, remote: str) -> None:
        """Forget the tries: this one was good."""
        self._throttle.succeeded(what, _address(remote))

    async def wrong(self, what: str, remote: str) -> None:
        """Put a wrong one on record, up to a bound. Raises StoreUnavailableError."""
        if not self._recorded.take(self._monotonic()):
            return
        log.warning("refused", what=what, remote=remote)
        nobody = Caller("anonymous", 0, frozenset(), remote=remote)
        await self._audit.record(nobody, f"{what}.refused", outcome="refused")


def _address(remote: str) -> str:
    return address_of(f"{remote}:0") or remote
