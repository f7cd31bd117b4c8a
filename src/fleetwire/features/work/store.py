"""SqlStore: the database as apps are given it."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from fleetwire.ingest.works import Works
from fleetwire.kit.store import Store
from fleetwire.kit.transaction import Transaction
from fleetwire.store.database import Database

T = TypeVar("T")


class SqlStore(Store):
    """Hands work to the database, and work with effects to the road."""

    def __init__(self, db: Database, works: Works) -> None:
        self._db = db
        self._works = works

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._db.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self._db.write(work)

    async def apply(self, work: Callable[[Transaction], Any]) -> Any:
        return await self._works.apply(work)
