"""Channel: how one client is reached, and why that may end."""

from abc import ABC, abstractmethod

from fleetwire.errors import DomainError
from fleetwire.web.realtime.chunk import Part


class UnavailableError(DomainError):
    """The connection cannot go on now; with its last cursor another one can."""

    status = 503


class TooSlowError(DomainError):
    """The client did not take what was sent."""

    status = 408


class Channel(ABC):
    """How parts reach one client."""

    @abstractmethod
    async def send(self, subscription: str | None, part: Part) -> None:
        """Send a part of a subscription, or of the connection (None).

        Returns when there is room for more. Raises ConnectionError if the client has gone.
        """
