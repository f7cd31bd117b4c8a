"""Selection: which messages a request means, by their numbers or by a search."""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select

from fleetwire.errors import InvalidValueError
from fleetwire.features.quarantine.search import (
    Found,
    RefusedMessage,
    Search,
    columns,
    find,
    visible,
)
from fleetwire.features.quarantine.tables import quarantine
from fleetwire.kit.services import Caller

MAX_IDS: Final = 1000


class Selection(msgspec.Struct, frozen=True):
    """`ids`, or all that a search finds of what is there now."""

    ids: tuple[int, ...] = ()
    search: Search | None = None

    def check(self) -> None:
        """Raise InvalidValueError unless it is one of the two."""
        if bool(self.ids) == (self.search is not None):
            raise InvalidValueError("Give either ids or where", field="ids")
        if len(self.ids) > MAX_IDS:
            raise InvalidValueError(f"ids: at most {MAX_IDS} at once", field="ids")
        if self.search is not None:
            self.search.check()

    def given(self) -> dict[str, Any]:
        """Return it in a form for the record."""
        if self.search is None:
            return {"ids": list(self.ids)[:50], "count": len(self.ids)}
        return {"where": self.search.given()}

    def find(
        self, connection: Connection, caller: Caller, limit: int, position: int, through_id: int
    ) -> Found:
        """Return up to `limit` of them in the order they came, after `position`."""
        if self.search is not None:
            return find(
                connection,
                caller,
                self.search,
                limit=limit,
                position=position,
                through_id=through_id,
            )
        ids = sorted({id for id in self.ids if position < id <= through_id})
        asked = ids[:limit]
        query = columns(quarantine.c.payload).where(quarantine.c.id.in_(asked), visible(caller))
        rows = connection.execute(query.order_by(quarantine.c.id))
        messages = [RefusedMessage(*row) for row in rows]
        return Found(messages, asked[-1] if len(ids) > limit else None)


def newest_id(connection: Connection) -> int:
    """Return the number of the newest message, 0 if there is none."""
    return connection.scalar(select(func.max(quarantine.c.id))) or 0
