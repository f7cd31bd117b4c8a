"""A tablet's row: made when the tablet is first heard of, in whichever way."""

from hashlib import blake2b
from typing import Any

from sqlalchemy import Row, Table, bindparam, delete, insert, select, update

from fleetwire.apps.tablets.tables import actions, locations, metrics, tablets
from fleetwire.kit import Device, Transaction

TYPE = "tablet"
OFFLINE = "OFFLINE"
ONLINE = "ONLINE"
AVAILABLE = "AVAILABLE"
NO_MAINTENANCE = "NONE"

# Walking to the end of what is kept is not free: past this many rows it is done now and then only.
TRIMMED_AT_ONCE = 1000
TRIMMED_OF_256 = 4

# Statements that each message needs are made once: making one costs more than executing it.
_find = select(tablets).where(tablets.c.id == bindparam("tablet"))
_change = update(tablets).where(tablets.c.id == bindparam("tablet"))
_oldest_kept = {
    table.name: select(table.c.id)
    .where(table.c.tablet == bindparam("tablet"))
    .order_by(table.c.id.desc())
    .offset(bindparam("newer"))
    .limit(1)
    for table in (actions, locations, metrics)
}
_remove_older = {
    table.name: delete(table).where(
        table.c.tablet == bindparam("tablet"), table.c.id < bindparam("least")
    )
    for table in (actions, locations, metrics)
}
# What tablets say. What people do with them is changed by people alone.
_SAID = tuple(
    column.name
    for column in tablets.c
    if column.name
    not in (
        *("id", "organization_id", "code"),
        *("borrow_status", "maintenance_status", "problem", "solution"),
    )
)


def row_of(tx: Transaction, device: Device, at: int) -> Row[Any]:
    """Return the tablet's row; a tablet without one is given one that says nothing yet."""
    found = find_row(tx, device)
    if found is not None:
        return found
    add_row(tx, device.id, device.organization_id, device.device_id, at)
    return tx.execute(_find, {"tablet": device.id}).one()


def find_row(tx: Transaction, device: Device) -> Row[Any] | None:
    """Return the tablet's row, None if it has none."""
    return tx.execute(_find, {"tablet": device.id}).one_or_none()


def change_row(tx: Transaction, row: Row[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Store what a tablet has said; return its columns as they are now."""
    now = row._asdict() | values
    tx.execute(_change, {name: now[name] for name in _SAID} | {"tablet": row.id})
    return now


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
    """Remove a tablet's oldest rows past `most`.

    Where `most` is large that is done for one in 64 of the rows added, as chance has it: keys are
    counted for all tablets together, so a tablet that comes in turn may never have a round one.
    """
    if most > TRIMMED_AT_ONCE and _byte_of(last_id) >= TRIMMED_OF_256:
        return
    oldest_kept = _oldest_kept[table.name]
    least = tx.execute(oldest_kept, {"tablet": tablet, "newer": most - 1}).scalar_one_or_none()
    if least is not None:
        tx.execute(_remove_older[table.name], {"tablet": tablet, "least": least})


def _byte_of(id: int) -> int:
    return blake2b(id.to_bytes(8), digest_size=1).digest()[0]
