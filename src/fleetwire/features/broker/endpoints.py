"""HTTP: the broker's clients, retained messages and counters, and a live trace."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, status
from fastapi.responses import StreamingResponse

from fleetwire.features.broker.clients import ClientsService
from fleetwire.features.broker.retained import RetainedService
from fleetwire.features.broker.schemas import (
    ClientDetailView,
    ClientPage,
    ClientView,
    CountersView,
    CountView,
    RetainedPage,
    RetainedView,
    SummaryView,
)
from fleetwire.features.broker.service import BrokerService
from fleetwire.features.broker.stream import events
from fleetwire.kit.http import Asks, service

router = APIRouter(prefix="/api/v1/broker", tags=["broker"])

TheBroker = Annotated[BrokerService, service(BrokerService)]
TheClients = Annotated[ClientsService, service(ClientsService)]
TheRetained = Annotated[RetainedService, service(RetainedService)]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Events `packet`, `left_out` and, last, `end`",
    },
    429: {"description": "Too many traces are on"},
}
_NOT_CONNECTED: dict[int | str, dict[str, Any]] = {
    409: {"description": "It is not connected, and its session was not to end"}
}


@router.get("")
async def read_summary(caller: Asks, broker: TheBroker) -> SummaryView:
    """Return the broker as a whole."""
    return SummaryView.of(broker.summary(caller))


@router.get("/counters")
async def read_counters(caller: Asks, broker: TheBroker) -> CountersView:
    """Return what was refused, dropped or ended since the start, by reason."""
    return CountersView(items=[CountView.of(each) for each in broker.counters(caller)])


@router.get("/clients")
async def list_clients(
    caller: Asks,
    clients: TheClients,
    search: Annotated[
        str | None, Query(max_length=200, description="occurs in client id, identity or address")
    ] = None,
    connected: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> ClientPage:
    """List clients with a connection, or with a session that waits for one."""
    page = clients.list(caller, search=search, connected=connected, limit=limit, cursor=cursor)
    return ClientPage(
        items=[ClientView.of(each) for each in page.items], next_cursor=page.next_cursor
    )


@router.get("/clients/{client_id:path}")
async def read_client(client_id: str, caller: Asks, clients: TheClients) -> ClientDetailView:
    """Return one client with its subscriptions, queue and traffic."""
    return ClientDetailView.of(clients.get(caller, client_id))


@router.delete(
    "/clients/{client_id:path}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=_NOT_CONNECTED,
)
async def disconnect_client(
    client_id: str,
    caller: Asks,
    clients: TheClients,
    session: Annotated[
        Literal["keep", "end"], Query(description="end: forget it, with all that waits for it")
    ] = "keep",
) -> None:
    """Disconnect a client. It may come back: revoke its credential to keep it out."""
    await clients.disconnect(caller, client_id, end_session=session == "end")


@router.get("/retained")
async def list_retained(
    caller: Asks,
    retained: TheRetained,
    filter: Annotated[
        str | None, Query(max_length=1024, description="Topic Filter", examples=["devices/+/state"])
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> RetainedPage:
    """List retained messages; payloads are cut to 512 bytes."""
    page = retained.list(caller, topic_filter=filter, limit=limit, cursor=cursor)
    return RetainedPage(
        items=[RetainedView.of(each) for each in page.items], next_cursor=page.next_cursor
    )


@router.get("/retained/{topic:path}")
async def read_retained(topic: str, caller: Asks, retained: TheRetained) -> RetainedView:
    """Return one retained message, whole."""
    return RetainedView.of(retained.get(caller, topic))


@router.delete("/retained/{topic:path}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_retained(topic: str, caller: Asks, retained: TheRetained) -> None:
    """Remove a retained message for good."""
    await retained.delete(caller, topic)


@router.get("/trace", response_class=StreamingResponse, responses=_STREAM)
async def trace(
    caller: Asks,
    broker: TheBroker,
    client: Annotated[str | None, Query(max_length=256, description="client id")] = None,
    address: Annotated[str | None, Query(max_length=64, description="without its port")] = None,
    topic: Annotated[str | None, Query(max_length=1024, description="Topic Filter")] = None,
    payload: Annotated[bool, Query(description="show payloads; for administrators")] = False,
    seconds: Annotated[int, Query(ge=1, le=600)] = 600,
) -> StreamingResponse:
    """Show packets while they pass, as Server-Sent Events, for ten minutes at most.

    Properties, passwords and authentication data are never shown. What cannot be shown in time is
    counted in an event `left_out`.
    """
    begun = await broker.trace(
        caller, client_id=client, address=address, topic=topic, payload=payload, for_s=seconds
    )
    return StreamingResponse(
        events(begun, lambda: broker.end_trace(begun)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
