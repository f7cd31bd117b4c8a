"""The audit log of the app: who changed what, as `/api/user/audit-logs` shows it.

The house's own audit holds the same, chained; this one can be listed by the app's people.
"""

from typing import Any

from sqlalchemy import Connection, func, insert, select

from fleetwire.apps.tablets.tables import audit
from fleetwire.kit import Caller, Transaction
from fleetwire.kit.instants import iso


def add(
    tx: Transaction,
    caller: Caller,
    action: str,
    subject: str,
    at: int,
    detail: dict[str, Any] | None = None,
) -> None:
    """Add who did what, in the transaction of what he did."""
    tx.execute(
        insert(audit).values(
            organization_id=caller.organization_id,
            actor=caller.actor[:128],
            username=(caller.username or caller.email)[:128] or None,
            action=action,
            subject=subject[:256],
            detail=detail,
            at=at,
        )
    )


def latest(
    connection: Connection, organization_id: int, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Return entries, newest first, and how many there are."""
    own = audit.c.organization_id == organization_id
    total = connection.execute(select(func.count()).select_from(audit).where(own)).scalar_one()
    wanted = select(audit).where(own).order_by(audit.c.id.desc()).limit(limit).offset(offset)
    found = [
        {
            "id": str(each.id),
            "actor": each.actor,
            "username": each.username,
            "action": each.action,
            "subject": each.subject,
            "detail": each.detail,
            "timestamp": iso(each.at),
        }
        for each in connection.execute(wanted)
    ]
    return found, total
