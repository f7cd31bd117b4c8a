"""A tablet's row: made when the tablet is first heard of, in whichever way."""

from typing import Any

from sqlalchemy import Row, Table, delete, insert, select

from fleetwire.apps.tablets.tables import tablets
from fleetwire.kit import Device, Transaction

TYPE = "tablet"
OFFLINE = "OFFLINE"
ONLINE = "ONLINE"
AVAILABLE = "AVAILABLE"
NO_MAINTENANCE = "NONE"

TRIMMED_EVERY = 64  # rows: walking to the end of what is kept is not free


def row_of(tx: Transaction, device: Device, at: int) -> Row[Any]:
    """Return the tablet's row; a tablet without one is given one that says nothing yet."""
    found = tx.execute(select(tablets).where(tablets.c.id == device.id)).one_or_none()
    if found is not None:
        return found
    add_row(tx, device.id, device.organization_id, device.device_id, at)
    return tx.execute(select(tablets).where(tablets.c.id == device.id)).one()


def add_row(tx: Transaction, id: int, organization_id: int, code: str, at: int) -> None:
    """Add the row of a tablet that nothing is known of but that it exists."""
    tx.execute(
        insert(tablets).values(
            id=id,
            organization_id=organization_id,
            code=code,
            status=OFFLINE,
            status_reason="never heard of",
            kiosk_mode=False,
            borrow_status=AVAILABLE,
            maintenance_status=NO_MAINTENANCE,
            updated_at=at,
        )
    )


def keep_newest(tx: Transaction, table: Table, tablet: int, most: int, last_id: int) -> None:
    """Remove a tablet's oldest rows past `most`, give or take what comes between two looks."""
    if most >= TRIMMED_EVERY and last_id % TRIMMED_EVERY:
        return
    oldest_kept = (
        select(table.c.id)
        .where(table.c.tablet == tablet)
        .order_by(table.c.id.desc())
        .offset(most - 1)
        .limit(1)
    )
    least = tx.execute(oldest_kept).scalar_one_or_none()
    if least is not None:
        tx.execute(delete(table).where(table.c.tablet == tablet, table.c.id < least))
