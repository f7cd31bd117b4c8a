"""Source: deliveries on their way from the broker to the road, swapped out many at once."""

import asyncio
from collections.abc import Callable

from fleetwire.broker.delivery import Delivery, Ticket
from fleetwire.broker.session import Session
from fleetwire.broker.takers import Taker
from fleetwire.protocol.packets import Publish


class Source(Taker):
    """A bounded queue whose bound is felt by the senders.

    At `high` waiting deliveries `hold` is called (stop reading from the network), at half of it
    `resume`. What had been read by then still comes in, so the bound is soft by one read for each
    connection.
    """

    holds_tickets = True
    takes_runs = True

    def __init__(self, high: int, hold: Callable[[], None], resume: Callable[[], None]) -> None:
        self._high = high
        self._low = high // 2
        self._hold = hold
        self._resume = resume
        self._waiting: list[Delivery] = []
        self._wake = asyncio.Event()
        self._is_held = False
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest_at(self) -> int | None:
        """When the delivery that waits longest was received; None if none waits."""
        return self._waiting[0].received_at if self._waiting else None

    @property
    def is_closed(self) -> bool:
        """Say whether nobody waits for more."""
        return self._is_closed

    def take(self, delivery: Delivery) -> None:
        """Accept one delivery."""
        waiting = self._waiting
        if not waiting:
            self._wake.set()
        waiting.append(delivery)
        if len(waiting) >= self._high and not self._is_held:
            self._is_held = True
            self._hold()

    def take_run(self, run: list[Publish], sender: Session, now: int, ticket: Ticket) -> None:
        waiting = self._waiting
        if not waiting:
            self._wake.set()
        waiting += [Delivery(publish, sender, now, ticket) for publish in run]
        if len(waiting) >= self._high and not self._is_held:
            self._is_held = True
            self._hold()

    async def swap(self, limit: int) -> list[Delivery]:
        """Wait for deliveries and return up to `limit` of them; empty = closed and nothing left."""
        while not self._waiting:
            if self._is_closed:
                return []
            self._wake.clear()
            await self._wake.wait()
        waiting = self._waiting
        if len(waiting) <= limit:
            self._waiting = []
        else:
            self._waiting = waiting[limit:]
            waiting = waiting[:limit]
        if self._is_held and len(self._waiting) <= self._low:
            self._is_held = False
            self._resume()
        return waiting

    def close(self) -> None:
        """Let `swap` return what is left and then nothing."""
        self._is_closed = True
        self._wake.set()
