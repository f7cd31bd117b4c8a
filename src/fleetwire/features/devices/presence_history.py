"""The history of presence as rows: what changed of a device, when and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from fleetwire.features.devices.tables import devices, presence_changes
from fleetwire.store.database import Transaction

CONNECTED = "connected"  # holds: it has a connection
FRESH = "fresh"  # holds: its last message is not older than expected
STEADY = "steady"  # does not hold: it flaps

MAX_REASON_CHARS = 64
PRUNED = 5000  # rows in one transaction: the road waits for it


@dataclass(frozen=True)
class Change:
    """One aspect of a device's presence began or ceased to hold, at an instant and for a reason.

    What `is_quiet` is true in the device's row, and neither told nor kept.
    """

    device: int
    holds: bool
    reason: str
    at: int
    aspect: str = CONNECTED
    is_quiet: bool = False


@dataclass(frozen=True)
class PastChange:
    """A stored change."""

    id: int
    aspect: str
    holds: bool
    reason: str
    at: int


_columns = (
    presence_changes.c.id,
    presence_changes.c.aspect,
    presence_changes.c.holds,
    presence_changes.c.reason,
    presence_changes.c.at,
)


def add_changes(tx: Transaction, changes: Sequence[Change]) -> None:
    """Store changes."""
    rows = [
        {
            "device": change.device,
            "aspect": change.aspect,
            "holds": change.holds,
            "reason": change.reason[:MAX_REASON_CHARS],
            "at": change.at,
        }
        for change in changes
    ]
    if rows:
        tx.execute(insert(presence_changes), rows)


def list_changes(
    connection: Connection, device: int, before_id: int | None, limit: int
) -> list[PastChange]:
    """Return a device's changes, newest first."""
    query = select(*_columns).where(presence_changes.c.device == device)
    if before_id is not None:
        query = query.where(presence_changes.c.id < before_id)
    rows: Any = connection.execute(query.order_by(presence_changes.c.id.desc()).limit(limit))
    return [PastChange(*row) for row in rows]


def last_changes(connection: Connection, device: int) -> dict[str, PastChange]:
    """Return the last change of each aspect of a device."""
    newest = (
        select(func.max(presence_changes.c.id))
        .where(presence_changes.c.device == device)
        .group_by(presence_changes.c.aspect)
    )
    rows: Any = connection.execute(select(*_columns).where(presence_changes.c.id.in_(newest)))
    return {row.aspect: PastChange(*row) for row in rows}


def holding(connection: Connection, aspect: str) -> dict[int, bool]:
    """Return whether an aspect holds, for each device of which that is known."""
    newest = (
        select(func.max(presence_changes.c.id))
        .where(presence_changes.c.aspect == aspect)
        .group_by(presence_changes.c.device)
    )
    rows = connection.execute(
        select(presence_changes.c.device, presence_changes.c.holds).where(
            presence_changes.c.id.in_(newest)
        )
    )
    return {row.device: row.holds for row in rows}


def last_seen(connection: Connection) -> dict[int, int]:
    """Return when each device was last heard."""
    rows = connection.execute(
        select(devices.c.id, devices.c.last_seen_at).where(devices.c.last_seen_at.is_not(None))
    )
    return {row.id: row.last_seen_at for row in rows}


def prune(tx: Transaction, before_at: int) -> int:
    """Remove changes of before an instant, but not the last one of any aspect; return how many."""
    newer = presence_changes.alias()
    is_followed = (
        select(newer.c.id)
        .where(
            newer.c.device == presence_changes.c.device,
            newer.c.aspect == presence_changes.c.aspect,
            newer.c.id > presence_changes.c.id,
        )
        .exists()
    )
    old = (
        select(presence_changes.c.id)
        .where(presence_changes.c.at < before_at, is_followed)
        .limit(PRUNED)
    )
    ids = [row.id for row in tx.execute(old)]
    if ids:
        tx.execute(delete(presence_changes).where(presence_changes.c.id.in_(ids)))
    return len(ids)
