"""Keeping: retained messages of the house, known to be stored."""

import asyncio
from collections.abc import Callable

from fleetwire.broker.broker import Broker
from fleetwire.errors import StoreUnavailableError, TooManyError
from fleetwire.kit import instants
from fleetwire.protocol.packets import Publish

WAIT_S = 15.0


class Keeper:
    """Publishes retained; whoever subscribes later gets it, also after a restart."""

    def __init__(
        self,
        broker: Broker,
        *,
        wait_s: float = WAIT_S,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._broker = broker
        self._wait_s = wait_s
        self._clock = clock

    async def keep(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Return once it is stored; an empty payload removes what is kept.

        Raises TooManyError if there is no room, StoreUnavailableError if it is not known in time.
        """
        self._broker.publish_own(Publish(topic, payload, qos, True), self._clock())
        kept = self._broker.retained.get(topic)
        if (b"" if kept is None else kept.publish.payload) != payload:
            raise TooManyError("There is no room for another retained message.")
        stored = asyncio.get_running_loop().create_future()

        def tell() -> None:
            if not stored.done():
                stored.set_result(None)

        self._broker.journal.when_stored(tell)
        try:
            await asyncio.wait_for(stored, self._wait_s)
        except TimeoutError:
            raise StoreUnavailableError("It is not known yet whether it is stored.") from None
