"""HTTP: what was refused, and why."""

from typing import Annotated

from fastapi import APIRouter, Query, status

from fleetwire.features.quarantine.schemas import QuarantinePage, RefusedMessageView
from fleetwire.features.quarantine.service import QuarantineService
from fleetwire.kit.http import Asks, service

router = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])

TheQuarantine = Annotated[QuarantineService, service(QuarantineService)]


@router.get("")
async def list_messages(
    caller: Asks,
    quarantine: TheQuarantine,
    topic: Annotated[str | None, Query(max_length=1024, description="occurs in the topic")] = None,
    reason: Annotated[str | None, Query(max_length=500, description="occurs in the reason")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> QuarantinePage:
    """List messages that no handler accepted, newest first."""
    page = await quarantine.list(caller, topic=topic, reason=reason, limit=limit, cursor=cursor)
    return QuarantinePage(
        items=[RefusedMessageView.of(message) for message in page.items],
        next_cursor=page.next_cursor,
    )


@router.get("/{id}")
async def read_message(id: int, caller: Asks, quarantine: TheQuarantine) -> RefusedMessageView:
    """Return one message with its payload."""
    return RefusedMessageView.of(await quarantine.get(caller, id))


@router.delete("/{id}", status_code=status.HTTP_204_NO_CONTENT)
async def discard_message(id: int, caller: Asks, quarantine: TheQuarantine) -> None:
    """Remove one message for good."""
    await quarantine.discard(caller, id)
