"""Retention: values that are older than they are kept."""

from typing import Final

from sqlalchemy import delete, func, select

from fleetwire.apps.farm.tables import data_streams
from fleetwire.kit import App, Clock, Store, Transaction

PRUNE_EVERY_S: Final = 600.0
PORTION: Final = 5000  # rows at a time: others write between two


def add_to(app: App, keep_days: float) -> None:
    """Remove what was stored longer ago; 0 days = everything is kept."""
    if not keep_days:
        return

    @app.every(PRUNE_EVERY_S)
    async def prune_values(store: Store, clock: Clock) -> None:
        before_at = clock.now() - round(keep_days * 86_400e6)
        while await store.write(lambda tx: prune(tx, before_at)):
            continue


def prune(tx: Transaction, before_at: int) -> int:
    """Remove a portion of the oldest rows; return how many of it were old enough."""
    id, created_at = data_streams.c.id, data_streams.c.created_at
    # Keys rise with time: looking at the first of them is enough.
    oldest = select(id, created_at).order_by(id).limit(PORTION).subquery()
    found = tx.execute(
        select(func.max(oldest.c.id).label("last"), func.count(oldest.c.id).label("old")).where(
            oldest.c.created_at < before_at
        )
    ).one()
    if found.last is None:
        return 0
    tx.execute(delete(data_streams).where(id <= found.last, created_at < before_at))
    return int(found.old)
