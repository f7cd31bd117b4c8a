"""HTTP: who did what."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from fleetwire.features.audit.schemas import AuditPage, AuditRecordView
from fleetwire.features.audit.service import SqlAudit
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import parse

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

TheAudit = Annotated[SqlAudit, service(SqlAudit)]


@router.get("")
async def list_records(
    caller: Asks,
    audit: TheAudit,
    actor: Annotated[str | None, Query(max_length=256, examples=["account:17"])] = None,
    action: Annotated[str | None, Query(max_length=64, examples=["login.failed"])] = None,
    subject: Annotated[str | None, Query(max_length=256, examples=["device:medical/bp-1"])] = None,
    outcome: Literal["ok", "refused"] | None = None,
    start: Annotated[
        str | None, Query(alias="from", description="ISO 8601 or epoch, inclusive")
    ] = None,
    end: Annotated[
        str | None, Query(alias="to", description="ISO 8601 or epoch, exclusive")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> AuditPage:
    """List who did what, newest first. Needs the permission `audit.read`."""
    page = await audit.list(
        caller,
        actor=actor,
        action=action,
        subject=subject,
        outcome=outcome,
        from_at=None if start is None else parse(start, "from"),
        to_at=None if end is None else parse(end, "to"),
        limit=limit,
        cursor=cursor,
    )
    return AuditPage(
        items=[AuditRecordView.of(record) for record in page.items], next_cursor=page.next_cursor
    )
