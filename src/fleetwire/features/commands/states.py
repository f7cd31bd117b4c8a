"""What a command can be, and what can become of it. Nothing else decides that.

queued ──> sent ──> delivered ──> succeeded | failed
  ^          |
  └── lost ──┘      until then: expired; until it is delivered: cancelled
"""

from typing import Final

QUEUED: Final = "queued"  # stored; the device is not there yet
SENT: Final = "sent"  # on its way; nobody knows whether it has arrived
DELIVERED: Final = "delivered"  # the device's own PUBACK said so
SUCCEEDED: Final = "succeeded"  # the device answered
FAILED: Final = "failed"
EXPIRED: Final = "expired"  # the deadline came first
CANCELLED: Final = "cancelled"

FINAL: Final = frozenset({SUCCEEDED, FAILED, EXPIRED, CANCELLED})
OPEN: Final = frozenset({QUEUED, SENT})  # may still be published

# To which state from which. A change from any other state does not take place.
SOURCES: Final[dict[str, frozenset[str]]] = {
    QUEUED: frozenset({SENT}),
    SENT: frozenset({QUEUED}),
    DELIVERED: frozenset({SENT}),
    # An answer also proves what we have not written down: that it was sent before a restart.
    SUCCEEDED: frozenset({QUEUED, SENT, DELIVERED}),
    FAILED: frozenset({QUEUED, SENT, DELIVERED}),
    EXPIRED: frozenset({QUEUED, SENT, DELIVERED}),
    CANCELLED: frozenset({QUEUED, SENT}),
}


def is_outcome(state: str, *, answers: bool) -> bool:
    """Say whether nothing more will be known; without answers that is so from delivery on."""
    return state in FINAL or (state == DELIVERED and not answers)
