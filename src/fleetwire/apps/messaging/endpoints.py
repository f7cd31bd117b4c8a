"""HTTP: `/mqtt`, what people publish and subscribe without a socket."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from fleetwire.apps.messaging.book import key_of
from fleetwire.apps.messaging.errors import WRONG_REQUEST
from fleetwire.apps.messaging.gateway import Gateway
from fleetwire.apps.messaging.payloads import encoded
from fleetwire.apps.messaging.schemas import BroadcastBody, PublishBody, SubscribeBody
from fleetwire.apps.messaging.tables import TOPIC_CHARS
from fleetwire.apps.messaging.telling import view
from fleetwire.kit import (
    CREATES,
    Asks,
    Audit,
    Clock,
    InvalidValueError,
    Visitor,
    open_to_all,
    service,
)
from fleetwire.kit.instants import iso, parse

MANAGE = "account.manage"
VERSION = "1.0.0"

TheClock = Annotated[Clock, service(Clock)]
TheAudit = Annotated[Audit, service(Audit)]
Answer = dict[str, Any]
TopicInPath = Annotated[str, Path(min_length=1, max_length=TOPIC_CHARS)]
TopicInQuery = Annotated[str, Query(min_length=1, max_length=TOPIC_CHARS)]
Room = Annotated[str, Path(min_length=1, max_length=128)]
User = Annotated[str, Path(min_length=1, max_length=200)]
DENIED: dict[int | str, dict[str, Any]] = {
    403: {"description": "The topic is not for you"},
    429: {"description": "As many as there may be are there already"},
    503: {"description": "The broker or the database is away: try again"},
}


def open_routes(clock_router: APIRouter) -> APIRouter:
    """Return the router with the route that asks for no credentials added."""

    @clock_router.get("/health", dependencies=[open_to_all(per_minute=300)])
    async def health(visitor: Visitor, clock: TheClock) -> Answer:
        """Say that the service answers."""
        now = iso(clock.now())
        return {"status": "ok", "service": "mqtt", "timestamp": now, "version": VERSION}

    return clock_router


def routes(gateway: Gateway) -> APIRouter:
    """Return the routes over a gateway."""
    router = open_routes(APIRouter(prefix="/mqtt", tags=["messaging"], responses=WRONG_REQUEST))

    @router.get("/status")
    async def status(caller: Asks) -> Answer:
        """Say how the connection to the broker stands."""
        return gateway.status()

    @router.get("/stats")
    async def stats(caller: Asks) -> Answer:
        """Say how it stands, and count your organisation's subscriptions."""
        return gateway.stats(caller.organization_id)

    @router.post("/publish", responses=DENIED, openapi_extra=CREATES)
    async def publish(caller: Asks, body: PublishBody) -> Answer:
        """Publish to a topic that is yours to write."""
        at = await gateway.publish(
            gateway.person(caller),
            body.topic,
            encoded(body.payload),
            qos=body.qos,
            retain=body.retain,
        )
        return {"success": True, "topic": body.topic, "timestamp": iso(at)}

    @router.post("/broadcast", responses=DENIED, openapi_extra=CREATES)
    async def broadcast(caller: Asks, body: BroadcastBody, clock: TheClock) -> Answer:
        """Publish to everybody: QoS 1, marked as a broadcast."""
        message = dict(body.message)
        if body.include_timestamp:
            message["timestamp"] = iso(clock.now())
        payload = encoded(message | {"broadcast": True})
        at = await gateway.publish(gateway.person(caller), body.topic, payload, qos=1)
        return {"success": True, "topic": body.topic, "timestamp": iso(at)}

    @router.post("/subscribe", status_code=201, responses=DENIED)
    async def subscribe(caller: Asks, body: SubscribeBody) -> Answer:
        """Subscribe all your sockets, those of now and of later."""
        subscription = await gateway.subscribe(gateway.person(caller), body.topic, body.qos)
        return {"success": True, "subscription": gateway.view(subscription)}

    @router.delete("/unsubscribe/{topic:path}", responses=DENIED)
    async def unsubscribe(caller: Asks, topic: TopicInPath, clock: TheClock) -> Answer:
        """End your subscription; the topic is percent-encoded, or has plain slashes."""
        await gateway.unsubscribe(gateway.person(caller), topic)
        return {"success": True, "topic": topic, "timestamp": iso(clock.now())}

    @router.get("/subscriptions")
    async def own(caller: Asks) -> Answer:
        """Return your subscriptions."""
        found = gateway.book.subscriptions(key_of(gateway.person(caller)))
        return {"total": len(found), "subscriptions": [gateway.view(each) for each in found]}

    @router.get("/subscriptions/all")
    async def of_everybody(caller: Asks) -> Answer:
        """Return the subscriptions of everybody in your organisation."""
        caller.require(MANAGE)
        found = gateway.book.all_of(caller.organization_id)
        return {"total": len(found), "subscriptions": [gateway.view(each) for each in found]}

    @router.get("/history", responses=DENIED)
    async def read_history(
        caller: Asks,
        topic: TopicInQuery,
        since: Annotated[str, Query(max_length=64)] = "0",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Answer:
        """Return stored messages of a Topic Filter, oldest first.

        `since` is the `cursor` of the page before, a `messageId`, or a time. Go on while there is
        `more`; a page of a filter that matches little may be short, or empty.
        """
        after, received_after = _since(since)
        part = await gateway.history(gateway.person(caller), topic, after, limit, received_after)
        return {
            "messages": [
                view(each, str(each.id), each.qos, retain=each.retain) for each in part.messages
            ],
            "cursor": str(part.position),
            "more": not part.is_last,
        }

    _add_rooms(router, gateway)
    return router


def _add_rooms(router: APIRouter, gateway: Gateway) -> None:
    @router.get("/rooms")
    async def rooms(caller: Asks) -> Answer:
        """Return your organisation's chat rooms with their members."""
        caller.require(MANAGE)
        return {"rooms": gateway.rooms.list(caller.organization_id)}

    @router.put("/rooms/{room}/members/{user}", responses={409: {"description": "Name taken"}})
    async def add_member(
        caller: Asks, room: Room, user: User, clock: TheClock, audit: TheAudit
    ) -> Answer:
        """Make somebody a member; the room is made with its first one."""
        caller.require(MANAGE)
        await gateway.rooms.add(caller.organization_id, room, user, clock.now())
        gateway.members_changed(caller.organization_id, user)
        await audit.record(caller, "messaging.member.added", f"room:{room}", detail={"user": user})
        return {"success": True, "roomId": room, "userId": user}

    @router.delete("/rooms/{room}/members/{user}")
    async def remove_member(caller: Asks, room: Room, user: User, audit: TheAudit) -> Answer:
        """End a membership; what the member is subscribed to ends with it."""
        caller.require(MANAGE)
        await gateway.rooms.remove(caller.organization_id, room, user)
        gateway.members_changed(caller.organization_id, user)
        await audit.record(
            caller, "messaging.member.removed", f"room:{room}", detail={"user": user}
        )
        return {"success": True, "roomId": room, "userId": user}


def _since(said: str) -> tuple[int, int]:
    """Return a cursor, or an instant in microseconds UTC. Raises InvalidValueError."""
    if said.isascii() and said.isdecimal():
        if len(said) > 18:
            raise InvalidValueError("since is no cursor", field="since")
        return int(said), 0
    return 0, parse(said, "since")
