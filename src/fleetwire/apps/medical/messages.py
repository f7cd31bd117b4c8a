"""HTTP: plain MQTT for people. All parameters stand in the query, as the field sends them."""

import base64
from typing import Annotated

from fastapi import APIRouter, Query

from fleetwire.apps.medical.schemas import Done, SeenMessage, SeenMessages
from fleetwire.kit import Asks, Audit, Messages, RecentMessage, service
from fleetwire.kit.instants import iso, now

TheMessages = Annotated[Messages, service(Messages)]
QoS = Annotated[int, Query(ge=0, le=2)]

router = APIRouter(tags=["messages"])


@router.post("/publish", responses={400: {"description": "Not a topic to publish to"}})
async def publish(
    topic: str, payload: str, caller: Asks, messages: TheMessages, qos: QoS = 0
) -> Done:
    """Publish one message."""
    topic = _with_plus(topic)
    message_id = await messages.publish(caller, topic, payload.encode(), qos=qos)
    return _done("Message published", topic, message_id, qos)


@router.post("/subscribe", responses={400: {"description": "Not a topic filter"}})
async def subscribe(topic: str, caller: Asks, messages: TheMessages, qos: QoS = 0) -> Done:
    """Start keeping the latest messages that match a topic or filter."""
    topic = _with_plus(topic)
    watch_id = await messages.watch(caller, topic, qos=qos)
    return _done("Subscribed", topic, watch_id, qos)


@router.get("/messages/{topic:path}")
async def read_messages(
    topic: str,
    caller: Asks,
    messages: TheMessages,
    audit: Annotated[Audit, service(Audit)],
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> SeenMessages:
    """Return the latest messages seen on a subscribed topic or filter, newest first."""
    seen = messages.recent(caller, topic, limit)
    await audit.record(caller, "patient.read", f"topic:{topic}"[:256], detail={"count": len(seen)})
    return SeenMessages(topic=topic, count=len(seen), messages=[_shown(each) for each in seen])


def _with_plus(topic: str) -> str:
    # An unescaped `+` in a query arrives as a space. A level that is one space is nobody's topic,
    # so it is the wildcard that was meant.
    return "/".join("+" if level == " " else level for level in topic.split("/"))


def _done(message: str, topic: str, message_id: str, qos: int) -> Done:
    return Done(
        success=True,
        message=message,
        topic=topic,
        message_id=message_id,
        qos=qos,
        timestamp=iso(now()),
    )


def _shown(message: RecentMessage) -> SeenMessage:
    at = iso(message.received_at)
    try:
        text = message.payload.decode()
    except UnicodeDecodeError:
        encoded = base64.b64encode(message.payload).decode()
        return SeenMessage(
            topic=message.topic, payload=encoded, timestamp=at, qos=message.qos, encoding="base64"
        )
    return SeenMessage(topic=message.topic, payload=text, timestamp=at, qos=message.qos)
