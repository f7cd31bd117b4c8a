"""What an order can be, and what can become of it. Nothing else decides that.

PENDING ──> PAID ──> (PENDING_DISPENSE ──>) DISPENSING ──> COMPLETED | FAILED | PARTIAL
   └──> EXPIRED | CANCELLED | FAILED                FAILED | PARTIAL ──> REFUNDED

An operator may try a FAILED or PARTIAL order again; a gateway never reverses a terminal state.
"""

from typing import Final

PENDING: Final = "PENDING"  # not paid yet; its stock is reserved
PAID: Final = "PAID"
PENDING_DISPENSE: Final = "PENDING_DISPENSE"  # the command waits for the machine
DISPENSING: Final = "DISPENSING"  # the command was sent
COMPLETED: Final = "COMPLETED"
PARTIAL: Final = "PARTIAL"  # of an order or of an item: some came out, some did not
FAILED: Final = "FAILED"
EXPIRED: Final = "EXPIRED"
CANCELLED: Final = "CANCELLED"
REFUNDED: Final = "REFUNDED"

TERMINAL: Final = frozenset({COMPLETED, PARTIAL, FAILED, EXPIRED, CANCELLED, REFUNDED})
UNDER_WAY: Final = frozenset({PENDING_DISPENSE, DISPENSING})
ALL: Final = TERMINAL | UNDER_WAY | {PENDING, PAID}

# To which state from which. A change from any other state does not take place.
SOURCES: Final[dict[str, frozenset[str]]] = {
    PAID: frozenset({PENDING}),
    PENDING_DISPENSE: frozenset({PAID, FAILED, PARTIAL}),
    DISPENSING: frozenset({PAID, PENDING_DISPENSE, FAILED, PARTIAL}),
    COMPLETED: UNDER_WAY,
    PARTIAL: UNDER_WAY,
    FAILED: UNDER_WAY | {PENDING, PAID},
    EXPIRED: frozenset({PENDING}),
    CANCELLED: frozenset({PENDING}),
    REFUNDED: frozenset({FAILED, PARTIAL}),
}

# Of a payment.
REFUSED: Final = "FAILED"
PAYMENT_STATES: Final = (PENDING, PAID, REFUSED, REFUNDED)
