"""HTTP: what was refused, why, and what is to become of it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, status

from fleetwire.errors import InvalidValueError
from fleetwire.features.quarantine.rerun import REHEARSED_MOST, Rerun
from fleetwire.features.quarantine.schemas import (
    Discarded,
    OutcomeView,
    QuarantinePage,
    RefusedMessageView,
    Rehearsal,
    RerunList,
    RerunView,
    SelectionRequest,
)
from fleetwire.features.quarantine.search import Search
from fleetwire.features.quarantine.service import QuarantineService
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.http import Asks, service
from fleetwire.kit.instants import parse

router = APIRouter(prefix="/api/v1/quarantine", tags=["quarantine"])

MAX_WAIT_S = 60.0

TheQuarantine = Annotated[QuarantineService, service(QuarantineService)]
TheRerun = Annotated[Rerun, service(Rerun)]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("")
async def list_messages(
    caller: Asks,
    quarantine: TheQuarantine,
    text: Annotated[str | None, Query(max_length=256, description="occurs anywhere")] = None,
    topic: Annotated[str | None, Query(max_length=1024, description="occurs in the topic")] = None,
    filter: Annotated[
        str | None, Query(max_length=1024, description="a Topic Filter", examples=["devices/+/#"])
    ] = None,
    app: Annotated[str | None, Query(max_length=64)] = None,
    device: Annotated[
        str | None, Query(max_length=128, description="sent it, or stands in the topic")
    ] = None,
    reason: Annotated[str | None, Query(max_length=500, description="occurs in the reason")] = None,
    start: Annotated[
        str | None, Query(alias="from", description="received then or later; ISO 8601 or epoch")
    ] = None,
    end: Annotated[
        str | None, Query(alias="to", description="received before; ISO 8601 or epoch")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> QuarantinePage:
    """List messages that no handler accepted, newest first.

    A page may be short and have a `next_cursor`: so many messages were looked at by then.
    """
    search = Search(
        text=text,
        topic=topic,
        filter=filter,
        app=app,
        device=device,
        reason=reason,
        from_at=None if start is None else parse(start, "from"),
        to_at=None if end is None else parse(end, "to"),
    )
    page = await quarantine.list(caller, search, limit=limit, cursor=cursor)
    return QuarantinePage(
        items=[RefusedMessageView.of(message) for message in page.items],
        next_cursor=page.next_cursor,
    )


@router.post("/discard")
async def discard_messages(
    body: SelectionRequest, caller: Asks, quarantine: TheQuarantine
) -> Discarded:
    """Remove many messages for good."""
    return Discarded(discarded=await quarantine.discard_many(caller, body.selection()))


@router.post("/rehearse")
async def rehearse(
    body: SelectionRequest,
    caller: Asks,
    rerun: TheRerun,
    limit: Annotated[int, Query(ge=1, le=REHEARSED_MOST)] = 20,
    cursor: str | None = None,
) -> Rehearsal:
    """Show what a re-run would change, message by message, and change nothing."""
    page = await rerun.rehearse(caller, body.selection(), limit=limit, cursor=cursor)
    return Rehearsal(
        items=[OutcomeView.of(outcome) for outcome in page.items], next_cursor=page.next_cursor
    )


@router.post("/rerun", status_code=status.HTTP_202_ACCEPTED)
async def start_rerun(
    body: SelectionRequest,
    caller: Asks,
    rerun: TheRerun,
    wait: Annotated[
        str | None, Query(description="wait so long for its end", examples=["10s"])
    ] = None,
) -> RerunView:
    """Carry messages up the road once more, as if they came now but for when they were received.

    Those that are accepted leave quarantine; the others stay, with the new reason.
    """
    wait_s = 0.0 if wait is None else parse_duration(wait, "wait")
    if wait_s > MAX_WAIT_S:
        raise InvalidValueError(f"wait must not be longer than {MAX_WAIT_S:g} s", field="wait")
    job = await rerun.start(caller, body.selection())
    if wait_s:
        await rerun.wait(job, wait_s)
    return RerunView.of(job)


@router.get("/reruns")
async def list_reruns(caller: Asks, rerun: TheRerun) -> RerunList:
    """List the re-runs since the server was started, newest first."""
    return RerunList(items=[RerunView.of(job) for job in rerun.jobs(caller)])


@router.get("/reruns/{rerun_id}")
async def read_rerun(rerun_id: str, caller: Asks, rerun: TheRerun) -> RerunView:
    """Return how far a re-run has come."""
    return RerunView.of(rerun.get(caller, rerun_id))


@router.get("/{id}")
async def read_message(id: Id, caller: Asks, quarantine: TheQuarantine) -> RefusedMessageView:
    """Return one message with its payload."""
    return RefusedMessageView.of(await quarantine.get(caller, id))


@router.delete("/{id}", status_code=status.HTTP_204_NO_CONTENT)
async def discard_message(id: Id, caller: Asks, quarantine: TheQuarantine) -> None:
    """Remove one message for good."""
    await quarantine.discard(caller, id)
