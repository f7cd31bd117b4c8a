"""What a command can be, and what can become of it. Nothing else decides that.

queued ──> sent ──> delivered ──> accepted ──> in_progress ──> succeeded | failed | rejected
  ^          |
  └── lost ──┘      until then: expired; until it is delivered: cancelled; until sent: superseded

An answer also proves what we have not written down, so it may come in any state before it. That
holds for an outcome after we had given up as well: who reads «expired» of a thing that was done
would do it twice. So the last word is the device's.
"""

from typing import Final

QUEUED: Final = "queued"  # stored; the device is not there yet
SENT: Final = "sent"  # on its way; nobody knows whether it has arrived
DELIVERED: Final = "delivered"  # the device's own PUBACK said so
ACCEPTED: Final = "accepted"  # the device means to do it
IN_PROGRESS: Final = "in_progress"  # the device is at it
SUCCEEDED: Final = "succeeded"  # the device did it
FAILED: Final = "failed"  # the device tried
REJECTED: Final = "rejected"  # the device will not do it
EXPIRED: Final = "expired"  # the deadline came first
CANCELLED: Final = "cancelled"
SUPERSEDED: Final = "superseded"  # a newer command of its lane took its place

FINAL: Final = frozenset({SUCCEEDED, FAILED, REJECTED, EXPIRED, CANCELLED, SUPERSEDED})
OPEN: Final = frozenset({QUEUED, SENT})  # may still be published
ANSWERING: Final = frozenset({DELIVERED, ACCEPTED, IN_PROGRESS})  # an outcome may still come
ANSWERS: Final = frozenset({ACCEPTED, IN_PROGRESS, SUCCEEDED, FAILED, REJECTED})
ALL: Final = OPEN | ANSWERING | FINAL

# We have given up; the device may have done it all the same, and its outcome still counts.
GIVEN_UP: Final = frozenset({EXPIRED, CANCELLED, SUPERSEDED})

# To which state from which. A change from any other state does not take place.
SOURCES: Final[dict[str, frozenset[str]]] = {
    QUEUED: frozenset({SENT}),
    # From itself: it is known now that it will stay unknown whether it has arrived.
    SENT: frozenset({QUEUED, SENT}),
    DELIVERED: frozenset({SENT}),
    ACCEPTED: frozenset({QUEUED, SENT, DELIVERED}),
    IN_PROGRESS: frozenset({QUEUED, SENT, DELIVERED, ACCEPTED}),
    SUCCEEDED: frozenset({QUEUED, SENT, DELIVERED, ACCEPTED, IN_PROGRESS}) | GIVEN_UP,
    FAILED: frozenset({QUEUED, SENT, DELIVERED, ACCEPTED, IN_PROGRESS}) | GIVEN_UP,
    REJECTED: frozenset({QUEUED, SENT, DELIVERED, ACCEPTED}) | GIVEN_UP,
    EXPIRED: frozenset({QUEUED, SENT, DELIVERED, ACCEPTED, IN_PROGRESS}),
    CANCELLED: frozenset({QUEUED, SENT}),
    SUPERSEDED: frozenset({QUEUED}),
}


def is_outcome(state: str, *, answers: bool) -> bool:
    """Say whether nothing more will be known; without answers that is so from delivery on."""
    return state in FINAL or (state == DELIVERED and not answers)
