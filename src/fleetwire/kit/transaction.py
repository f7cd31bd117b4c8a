"""Transaction: what an app's own work is given to read and write the store with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult
from sqlalchemy.sql import Executable


class Transaction(ABC):
    """One transaction, in SQLAlchemy Core, valid until the work that it was given to returns.

    It is never committed by that work: what returns is committed, what raises is rolled back.
    """

    __slots__ = ()

    connection: Connection

    @abstractmethod
    def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Execute one statement; a sequence of mappings executes it once for each."""

    @abstractmethod
    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call this on the event loop once the commit has happened, in commit order.

        It is forgotten if this piece of work, or the commit, fails.
        """
