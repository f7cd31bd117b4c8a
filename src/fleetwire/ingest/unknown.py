"""Unknown: what becomes of messages of devices that nobody has registered."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from fleetwire.broker.delivery import Delivery


class Unknown(ABC):
    """Asked only where a message's device is not known, so it costs nothing while all are."""

    @abstractmethod
    def objection(self, app: str, device_id: str, delivery: Delivery) -> str | None:
        """Return None if this device may enrol itself by this message, else why not, in words.

        "" says only that devices do not enrol themselves here.
        """

    @abstractmethod
    async def enrol(self, found: Mapping[tuple[str, str], Delivery]) -> None:
        """Register devices by (app, device_id), each with a message of its own; then return.

        One that cannot be registered stays unknown. Raises StoreUnavailableError: they will be
        asked for again.
        """
