"""Waiting until the journal has stored what was done."""

import asyncio

from fleetwire.broker.journal import Journal
from fleetwire.errors import StoreUnavailableError

STORED_WITHIN_S = 10.0


async def until_stored(journal: Journal) -> None:
    """Return when everything that was done so far would survive a loss of power.

    Raises StoreUnavailableError if that takes too long; what was done stays done.
    """
    stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell() -> None:
        if not stored.done():
            stored.set_result(None)

    journal.when_stored(tell)
    try:
        async with asyncio.timeout(STORED_WITHIN_S):
            await stored
    except TimeoutError:
        raise StoreUnavailableError("It is done, but not stored yet.") from None
