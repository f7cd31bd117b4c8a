"""Retention: what is older than people want to keep is removed."""

from sqlalchemy import delete

from fleetwire.apps.tablets.tables import locations, metrics
from fleetwire.kit import Store, Transaction


async def prune(store: Store, kept_s: float, at: int) -> None:
    """Remove places and metrics that were received longer ago than that at this instant."""
    before_at = at - round(kept_s * 1e6)

    def work(tx: Transaction) -> None:
        for table in (locations, metrics):
            tx.execute(delete(table).where(table.c.received_at < before_at))

    await store.write(work)
