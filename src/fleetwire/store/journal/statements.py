"""Statements that write many rows each, in the driver's own words."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Table

from fleetwire.store.database import Transaction

Row = Sequence[Any]

# Rows of one statement: many amortise its cost, and a statement is prepared once for each size that
# occurs, so there are few sizes. No table here has more than 20 columns; SQLite takes 32,766
# parameters.
SIZES = (256, 32, 4, 1)


class Statement(ABC):
    """One kind of change to one table, for any number of rows."""

    def __init__(self, table: Table) -> None:
        self.table = table.name

    @abstractmethod
    def execute(self, tx: Transaction, items: Sequence[Any]) -> None:
        """Write these. Raises the database's error, or what making the rows of them raises."""


class Upsert(Statement):
    """Insert rows, or change those whose key is there.

    `encode` makes a row of an item; it runs on the writer's thread.
    """

    def __init__(self, table: Table, encode: Callable[[Any], Row]) -> None:
        super().__init__(table)
        self._encode = encode
        names = [column.name for column in table.columns]
        keys = [column.name for column in table.primary_key]
        changes = ",".join(f"{name}=excluded.{name}" for name in names if name not in keys)
        row = f"({','.join('?' * len(names))})"
        self._texts = [
            (
                size,
                f"INSERT INTO {table.name} ({','.join(names)}) VALUES {','.join([row] * size)} "
                f"ON CONFLICT ({','.join(keys)}) DO "
                + (f"UPDATE SET {changes}" if changes else "NOTHING"),
            )
            for size in SIZES
        ]

    def execute(self, tx: Transaction, items: Sequence[Any]) -> None:
        position = 0
        for size, text in self._texts:
            while len(items) - position >= size:
                rows = map(self._encode, items[position : position + size])
                tx.execute_plain(text, tuple(chain.from_iterable(rows)))
                position += size


class DeleteEach(Statement):
    """Delete rows by one column; an item is its value."""

    def __init__(self, table: Table, column: str) -> None:
        super().__init__(table)
        self._texts = [
            (size, f"DELETE FROM {table.name} WHERE {column} IN ({','.join('?' * size)})")
            for size in SIZES
        ]

    def execute(self, tx: Transaction, items: Sequence[Any]) -> None:
        position = 0
        for size, text in self._texts:
            while len(items) - position >= size:
                tx.execute_plain(text, items[position : position + size])
                position += size


class DeletePair(Statement):
    """Delete rows by two columns; an item is a pair.

    One by one: for pairs SQLite searches its index in no statement that takes many as fast.
    """

    def __init__(self, table: Table, first: str, second: str) -> None:
        super().__init__(table)
        self._text = f"DELETE FROM {table.name} WHERE {first}=? AND {second}=?"

    def execute(self, tx: Transaction, items: Sequence[Any]) -> None:
        for item in items:
            tx.execute_plain(self._text, item)
