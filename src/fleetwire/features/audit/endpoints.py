"""HTTP: who did what."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from fleetwire.features.audit.export import MEDIA_TYPES, Format, csv_lines, ndjson_lines
from fleetwire.features.audit.schemas import AuditPage, AuditRecordView, VerdictView
from fleetwire.features.audit.service import SqlAudit, Wanted
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import parse

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

TheAudit = Annotated[SqlAudit, service(SqlAudit)]


def _wanted(
    actor: Annotated[str | None, Query(max_length=256, examples=["account:17"])] = None,
    action: Annotated[str | None, Query(max_length=64, examples=["login.failed"])] = None,
    subject: Annotated[str | None, Query(max_length=256, examples=["device:medical/bp-1"])] = None,
    outcome: Literal["ok", "refused"] | None = None,
    remote: Annotated[str | None, Query(max_length=64, examples=["192.0.2.10"])] = None,
    start: Annotated[
        str | None, Query(alias="from", description="ISO 8601 or epoch, inclusive")
    ] = None,
    end: Annotated[
        str | None, Query(alias="to", description="ISO 8601 or epoch, exclusive")
    ] = None,
) -> Wanted:
    return Wanted(
        actor=actor,
        action=action,
        subject=subject,
        outcome=outcome,
        remote=remote,
        from_at=None if start is None else parse(start, "from"),
        to_at=None if end is None else parse(end, "to"),
    )


Conditions = Annotated[Wanted, Depends(_wanted)]


@router.get("")
async def list_records(
    caller: Asks,
    audit: TheAudit,
    wanted: Conditions,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> AuditPage:
    """List who did what, newest first. Needs the permission `audit.read`."""
    page = await audit.list(
        caller,
        actor=wanted.actor,
        action=wanted.action,
        subject=wanted.subject,
        outcome=wanted.outcome,
        remote=wanted.remote,
        from_at=wanted.from_at,
        to_at=wanted.to_at,
        limit=limit,
        cursor=cursor,
    )
    return AuditPage(
        items=[AuditRecordView.of(record) for record in page.items], next_cursor=page.next_cursor
    )


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Every record that fits, oldest first",
            "content": {
                "application/x-ndjson": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    },
)
async def export_records(
    caller: Asks, audit: TheAudit, wanted: Conditions, format: Format = "ndjson"
) -> StreamingResponse:
    """Give all records that fit as one file, oldest first. That it was asked for is on record."""
    pages = await audit.export(caller, wanted)
    lines = ndjson_lines(pages) if format == "ndjson" else csv_lines(pages)
    return StreamingResponse(
        lines,
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="audit.{format}"'},
    )


@router.get("/verify")
async def verify_records(
    caller: Asks,
    audit: TheAudit,
    known: Annotated[
        str | None,
        Query(pattern="^[0-9a-f]{64}$", description="a `head` of before: does it still stand?"),
    ] = None,
) -> VerdictView:
    """Check that no record was changed, added or removed since it was written.

    Each holds the digest of itself and of the one before it.
    """
    return VerdictView.of(await audit.verify(caller, known))
