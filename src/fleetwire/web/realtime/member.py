"""Member: somebody connected to a live channel, whose rights are asked again when they change."""

from abc import ABC, abstractmethod

from fleetwire.errors import DomainError
from fleetwire.kit.services import Caller

RECHECK_TIMEOUT_S = 5.0  # keys of other issuers may have to be fetched


class Member(ABC):
    """One connection. `actor` is the name that the bound on connections counts it under."""

    caller: Caller
    actor: str

    @abstractmethod
    async def recheck(self) -> None:
        """Ask again who this is and what he may do; end, narrow or widen accordingly."""

    @abstractmethod
    def end(self, error: DomainError | None = None) -> None:
        """Say that it is over; whoever serves the client closes it then."""
