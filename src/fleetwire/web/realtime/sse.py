"""Server-Sent Events `/api/v1/realtime/events`: one subscription, said in the query.

Each event's id is its cursor, so an EventSource that loses its connection resumes by itself
(`Last-Event-ID`).
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.security import HTTPBearer
from starlette.types import Receive, Scope, Send

from fleetwire.errors import InvalidValueError
from fleetwire.kit.http import Gate
from fleetwire.web.realtime.access import Access, check_origin
from fleetwire.web.realtime.channel import Channel
from fleetwire.web.realtime.chunk import Part
from fleetwire.web.realtime.hub import RealtimeHub
from fleetwire.web.realtime.interest import Wish, wish_of
from fleetwire.web.realtime.messages import refusal

PATH = "/api/v1/realtime/events"
SIGN_OF_LIFE_S = 15.0  # proxies cut what is silent for a minute or less
MAX_DIGITS = 19  # of a cursor

# A name said wrong must not widen what is followed to everything.
NAMES = (
    "app", "device", "group", "query", "organization", "event", "topic", "since", "snapshot",
    "slow", "token",
)  # fmt: skip

_EXAMPLE = (
    'event: subscribed\ndata: {"cursor":41}\n\n'
    'id: 42\ndata: {"cursor":42,"event":"device.status","app":"medical","device_id":"bp-1",'
    '"topic":"devices/bp-1/status","received_at":"2026-01-31T12:00:00.250Z",'
    '"data":{"status":"online"}}\n\n'
)


def sse_router(
    hub: RealtimeHub, gate: Gate, origins: Sequence[str], only_app: str | None
) -> APIRouter:
    """Return the route."""
    router = APIRouter(
        tags=["realtime"],
        dependencies=[Depends(HTTPBearer(auto_error=False, scheme_name="bearer"))],
    )
    described: dict[int | str, dict[str, Any]] = {
        200: {"description": "Events", "content": {"text/event-stream": {"example": _EXAMPLE}}}
    }

    @router.get(PATH, response_class=Response, responses=described)
    async def follow(
        request: Request,
        app: Annotated[list[str] | None, Query()] = None,
        device: Annotated[list[str] | None, Query(description="`app/device_id`")] = None,
        group: Annotated[list[str] | None, Query()] = None,
        query: Annotated[str | None, Query(examples=["tag:cold and attr.floor=2"])] = None,
        organization: Annotated[list[int] | None, Query()] = None,
        event: Annotated[list[str] | None, Query(examples=["command.*"])] = None,
        topic: Annotated[list[str] | None, Query(description="MQTT Topic Filter")] = None,
        since: Annotated[str | None, Query(description="cursor to resume after")] = None,
        snapshot: bool | None = None,
        slow: Literal["latest", "every"] = "latest",
        token: Annotated[
            str | None, Query(description="for an EventSource, which has no headers")
        ] = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Follow committed events: the state of the devices first, then each event.

        What is named several times is any of them; what is not named is whatever there is.
        """
        check_origin(request, origins)
        for name in request.query_params:
            if name not in NAMES:
                raise InvalidValueError(
                    f"{name[:60]!r} is not known here. Known: {', '.join(NAMES)}.", field=name[:60]
                )
        wish = wish_of(
            {
                "apps": app or [],
                "devices": device or [],
                "groups": group or [],
                "query": query,
                "organizations": organization or [],
                "events": event or [],
                "topics": topic or [],
                "since": _cursor(last_event_id or since),
                "snapshot": snapshot,
                "slow": slow,
            }
        )
        origin = request.headers.get("origin")
        return EventStream(hub, Access(gate, request), wish, origin, only_app)

    return router


class EventStream(Response):
    """The answer: it lasts until the client goes or may not stay."""

    media_type = "text/event-stream"

    def __init__(
        self,
        hub: RealtimeHub,
        access: Access,
        wish: Wish,
        origin: str | None,
        only_app: str | None,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]  # nobody knows how long it is
        if origin is not None:
            self.headers["Access-Control-Allow-Origin"] = origin
            self.headers["Vary"] = "Origin"
        self._hub = hub
        self._access = access
        self._wish = wish
        self._only_app = only_app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve. Raises DomainError before anything was sent."""
        channel = _Lines(send)
        connection = await self._hub.connect(self._access, channel, "sse", self._only_app)
        gone = asyncio.create_task(_gone(receive))
        try:
            await connection.subscribe("", self._wish)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            channel.begin()
            over: set[asyncio.Future[Any]] = {connection.ended, gone}
            while not connection.ended.done() and not gone.done():
                done, _ = await asyncio.wait(
                    over, timeout=SIGN_OF_LIFE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    await channel.write(": still on\n\n")
            error = connection.ended.result() if connection.ended.done() else None
            if error is not None:
                await channel.send(None, refusal(error))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            await connection.close()
            await asyncio.gather(gone, return_exceptions=True)


class _Lines(Channel):
    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = asyncio.Event()

    def begin(self) -> None:
        self._begun.set()

    async def send(self, subscription: str | None, part: Part) -> None:
        await self._begun.wait()
        if part.chunks:
            await self.write("".join(chunk.sse for chunk in part.chunks))
            return
        id = "" if part.cursor is None else f"id: {part.cursor}\n"
        await self.write(f"{id}event: {part.name}\ndata: {{{part.members}}}\n\n")

    async def write(self, text: str) -> None:
        """Send text. Raises ConnectionError (OSError) if the client has gone."""
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cursor(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise InvalidValueError("since must be the cursor of an event", field="since")
    return int(text)
