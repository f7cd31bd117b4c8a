"""Values: what chains must know of the past when they begin.

That is the newest value of each variable, and for a comparison that must have been true for a
while, since when it has been.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection

from fleetwire.features.devices.registry import Registry
from fleetwire.features.rules.seen import Seen
from fleetwire.features.rules.variables import Variable
from fleetwire.features.telemetry.feed import FedReading, Feed
from fleetwire.store.database import Database

AT_ONCE: Final = 200  # variables of one question
HISTORY: Final = 2000  # readings that are looked back at, at most


async def load_values(
    db: Database, feed: Feed, registry: Registry, variables: Iterable[Variable], cursor: int
) -> None:
    """Give variables that have not been loaded what was stored up to a cursor.

    Raises StoreUnavailableError.
    """
    waiting = [each for each in variables if _is_wanting(each)]
    for start in range(0, len(waiting), AT_ONCE):
        some = waiting[start : start + AT_ONCE]
        wanted = [(each, _device_key(registry, each), _limit(each)) for each in some]
        found = await db.read(lambda c, wanted=wanted: _read(c, feed, wanted, cursor))  # type: ignore[misc]  # mypy cannot infer a lambda's default
        for variable, rows in found:
            _fill(variable, rows)


def _is_wanting(variable: Variable) -> bool:
    return not variable.is_loaded or any(not held.is_loaded for held in variable.held)


def _limit(variable: Variable) -> int:
    return HISTORY if any(not held.is_loaded for held in variable.held) else 1


def _device_key(registry: Registry, variable: Variable) -> int | None:
    name = variable.name
    device = registry.find(name.app, name.device_id)
    if device is None or device.organization_id != name.organization_id:
        return None
    return device.id


def _read(
    connection: Connection,
    feed: Feed,
    wanted: Sequence[tuple[Variable, int | None, int]],
    cursor: int,
) -> list[tuple[Variable, list[FedReading]]]:
    return [
        (
            variable,
            []
            if device is None
            else feed.newest(connection, device, variable.name.key, cursor, limit),
        )
        for variable, device, limit in wanted
    ]


def _fill(variable: Variable, rows: list[FedReading]) -> None:
    past = [Seen(row.value, row.at, row.received_at) for row in reversed(rows)]
    for held in variable.held:
        if not held.is_loaded:
            held.is_loaded = True
            held.since = None
            for seen in past:
                held.note(seen)
    if past and variable.seen is None:
        variable.seen = past[-1]
    variable.is_loaded = True
