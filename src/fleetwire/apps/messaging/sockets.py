"""Socket.IO, namespace `/mqtt`: what is asked is answered by an event and the acknowledgement."""

from collections.abc import Awaitable, Callable
from typing import Any

from fleetwire.apps.messaging.book import Listener, key_of
from fleetwire.apps.messaging.errors import error_answer
from fleetwire.apps.messaging.gateway import Gateway
from fleetwire.apps.messaging.payloads import encoded
from fleetwire.apps.messaging.schemas import PublishBody, SubscribeBody, UnsubscribeBody, parsed
from fleetwire.kit import (
    DomainError,
    InvalidValueError,
    SocketClient,
    SocketSpace,
    StoreUnavailableError,
)
from fleetwire.kit.instants import iso

NAMESPACE = "/mqtt"
_LISTENER = "listener"


def space_of(gateway: Gateway) -> SocketSpace:
    """Return the namespace over a gateway."""
    space = SocketSpace(NAMESPACE)

    @space.on_connect
    async def connect(client: SocketClient) -> None:
        listener = gateway.join(client, _since(client.auth.get("since")))
        client.state[_LISTENER] = listener
        client.emit("mqtt:status", gateway.status())
        if listener.since is not None:
            gateway.catching.start(listener)
        else:
            for topic_filter in listener.filters:
                gateway.say_retained(listener, topic_filter)

    @space.on_disconnect
    async def disconnect(client: SocketClient) -> None:
        gateway.leave(client.state[_LISTENER])

    @space.on_rights
    async def rights(client: SocketClient) -> None:
        gateway.narrow(client.state[_LISTENER])

    @space.on("mqtt:status")
    async def status(client: SocketClient, said: Any) -> dict[str, Any]:
        current = gateway.status()
        client.emit("mqtt:status", current)
        return current

    @space.on("mqtt:subscriptions")
    async def subscriptions(client: SocketClient, said: Any) -> list[dict[str, Any]]:
        listener: Listener = client.state[_LISTENER]
        own = gateway.book.subscriptions(key_of(listener.person))
        found = [gateway.view(each) for each in own]
        client.emit("mqtt:subscriptions", found)
        return found

    @space.on("mqtt:publish")
    async def publish(client: SocketClient, said: Any) -> dict[str, Any]:
        async def work(listener: Listener) -> dict[str, Any]:
            body = parsed(PublishBody, said)
            payload = encoded(body.payload)
            at = await gateway.publish(
                listener.person, body.topic, payload, qos=body.qos, retain=body.retain
            )
            return {"topic": body.topic, "timestamp": iso(at)}

        return await _answered(client, "mqtt:publish", said, work)

    @space.on("mqtt:subscribe")
    async def subscribe(client: SocketClient, said: Any) -> dict[str, Any]:
        async def work(listener: Listener) -> dict[str, Any]:
            body = parsed(SubscribeBody, said)
            subscription = await gateway.subscribe_socket(listener, body.topic, body.qos)
            return gateway.view(subscription)

        answer = await _answered(client, "mqtt:subscribe", said, work)
        if "error" not in answer:
            listener: Listener = client.state[_LISTENER]
            gateway.say_retained(listener, answer["topic"])
            if listener.since is not None:
                gateway.catching.start(listener)
        return answer

    @space.on("mqtt:unsubscribe")
    async def unsubscribe(client: SocketClient, said: Any) -> dict[str, Any]:
        async def work(listener: Listener) -> dict[str, Any]:
            body = parsed(UnsubscribeBody, said)
            await gateway.unsubscribe_socket(listener, body.topic)
            return {"topic": body.topic}

        return await _answered(client, "mqtt:unsubscribe", said, work)

    return space


async def _answered(
    client: SocketClient,
    event: str,
    said: object,
    work: Callable[[Listener], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    """Carry out what was asked, tell the client by event, and return the acknowledgement."""
    try:
        answer = await work(client.state[_LISTENER])
    except DomainError as error:
        answer = error_answer(error)[1]
    except StoreUnavailableError:
        answer = {"success": False, "error": "The database does not answer. Try again."}
    else:
        client.emit(f"{event}:success", answer)
        return answer
    topic = said.get("topic") if isinstance(said, dict) else None
    if isinstance(topic, str):
        answer["topic"] = topic[:1024]
    client.emit(f"{event}:error", answer)
    return answer


def _since(said: object) -> int | None:
    """Return the stored message to resume after. Raises InvalidValueError."""
    if said is None:
        return None
    if isinstance(said, int) and not isinstance(said, bool) and 0 <= said < 2**63:
        return said
    if isinstance(said, str) and said.isascii() and said.isdecimal() and len(said) < 19:
        return int(said)
    raise InvalidValueError("since is the messageId of a stored message", field="since")
