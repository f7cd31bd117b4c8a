"""The calls of the contract over HTTP, in a whole house."""

import json
from datetime import datetime
from typing import Any

import pytest

from fleetwire.kit.instants import parse
from fleetwire.protocol.packets import Subscription
from tests.apps.messaging.serving import Served, nothing_more

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_health_is_open(served: Served) -> None:
    """«`GET /mqtt/health` (open) | | `{status:"ok",service:"mqtt",timestamp,version}`»."""
    answer = (await served.http("").get("/mqtt/health")).json()
    datetime.fromisoformat(answer.pop("timestamp"))
    assert answer == {"status": "ok", "service": "mqtt", "version": "1.0.0"}


async def test_status_says_how_the_broker_stands(served: Served) -> None:
    """«`{isConnected,clientId,connectedAt?,lastError?,reconnectAttempts}`»."""
    answer = (await served.http().get("/mqtt/status")).json()
    assert answer.keys() == {"isConnected", "clientId", "connectedAt", "reconnectAttempts"}
    assert (answer["isConnected"], answer["reconnectAttempts"]) == (True, 0)


async def test_stats_count_the_organisations_subscriptions(served: Served) -> None:
    """Quotes
    «`{isConnected,clientId,totalSubscriptions,activeSubscriptions,reconnectAttempts,connectedAt,…}`».
    """
    http = served.http("40")
    before = (await http.get("/mqtt/stats")).json()
    await http.post("/mqtt/subscribe", json={"topic": "chat/stats"})
    async with served.socket("40") as client:
        await client.ask("mqtt:subscribe", {"topic": "chat/more"})
        after = (await http.get("/mqtt/stats")).json()
    assert after["totalSubscriptions"] - before["totalSubscriptions"] == 2
    assert after["activeSubscriptions"] - before["activeSubscriptions"] == 2
    assert after.keys() >= {"isConnected", "clientId", "reconnectAttempts", "connectedAt"}
    other = (await served.http("41 viewer 2").get("/mqtt/stats")).json()
    assert other["totalSubscriptions"] == 0


@pytest.mark.parametrize("payload", [{"a": [1, None]}, 0, False, "", "text", None, [], 1.5])
async def test_any_json_is_published(served: Served, payload: Any) -> None:
    """«`{topic,payload: any JSON,qos? 0-2,retain?}` | 200 `{success,topic,timestamp}`»."""
    async with served.socket("2") as client:
        await client.ask("mqtt:subscribe", {"topic": "test/any", "qos": 2})
        body = {"topic": "test/any", "payload": payload, "qos": 2}
        answer = await served.http().post("/mqtt/publish", json=body)
        assert answer.status_code == 200
        said = answer.json()
        parse(said.pop("timestamp"))
        assert said == {"success": True, "topic": "test/any"}
        told = await client.next("mqtt:message")
        assert told["payload"] == payload
        assert type(told["payload"]) is type(payload)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"topic": "chat/+", "payload": 1}, 400, "topic"),
        ({"topic": "chat/#", "payload": 1}, 400, "topic"),
        ({"topic": "", "payload": 1}, 400, "topic"),
        ({"topic": "a\0b", "payload": 1}, 400, "topic"),
        ({"topic": "$SYS/x", "payload": 1}, 400, "topic"),
        ({"topic": "chat/a", "payload": 1, "qos": 3}, 400, "qos"),
        ({"topic": "chat/a", "payload": 1, "qos": True}, 400, "qos"),
        ({"topic": "chat/a", "payload": 1, "retain": "yes"}, 400, "retain"),
        ({"topic": "chat/a"}, 400, "payload"),
        ({"payload": 1}, 400, "topic"),
        ({"topic": "chat/a", "payload": 1, "urgent": True}, 400, "urgent"),
        ({"topic": "chat/a", "payload": "x" * 300_000}, 400, "payload"),
        ({"topic": "sensors/a", "payload": 1}, 403, "topic"),
        ({"topic": "broadcast/a", "payload": 1}, 403, "topic"),
        ({"topic": "elsewhere", "payload": 1}, 403, "topic"),
    ],
)
async def test_what_cannot_be_published_is_refused_by_name(
    served: Served, body: dict[str, Any], status: int, field: str
) -> None:
    """Quotes «403 not permitted; 400 wildcard or bad topic» and
    «Unknown body fields → 400 naming them»."""
    answer = await served.http().post("/mqtt/publish", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["success"] is False
    assert answer.json()["field"] == field


async def test_a_broker_that_takes_nothing_is_503(served: Served) -> None:
    """«503 broker away»."""
    served.house.server.is_draining = True
    try:
        answer = await served.http().post("/mqtt/publish", json={"topic": "test/a", "payload": 1})
        assert answer.status_code == 503
        assert (await served.http().get("/mqtt/status")).json()["isConnected"] is False
    finally:
        served.house.server.is_draining = False


async def test_a_subscription_over_http_is_heard_by_the_users_sockets(served: Served) -> None:
    """«**201** `{success,subscription{id,topic,qos,userId,createdAt,isActive}}`»."""
    http = served.http("3")
    async with served.socket("3") as before, served.socket("4") as other:
        answer = await http.post("/mqtt/subscribe", json={"topic": "chat/http", "qos": 1})
        assert answer.status_code == 201
        said = answer.json()["subscription"]
        assert said.keys() == {"id", "topic", "qos", "userId", "createdAt", "isActive"}
        assert (said["userId"], said["qos"], said["isActive"]) == ("3", 1, True)
        async with served.socket("3") as after:
            await http.post("/mqtt/publish", json={"topic": "chat/http", "payload": 1, "qos": 1})
            for client in (before, after):
                assert (await client.next("mqtt:message"))["topic"] == "chat/http"
            assert await nothing_more(other) == []
        again = await http.post("/mqtt/subscribe", json={"topic": "chat/http", "qos": 0})
        assert again.json()["subscription"]["id"] == said["id"]
        shown = (await http.get("/mqtt/subscriptions")).json()
        assert (shown["total"], shown["subscriptions"][0]["qos"]) == (1, 0)


@pytest.mark.parametrize("path", ["chat%2Fa%2Fb", "chat/a/b", "chat%2Fa/b"])
async def test_a_topic_in_the_path_is_encoded_or_plain(served: Served, path: str) -> None:
    """«topic percent-encoded or with plain slashes | 200 `{success,topic,timestamp}`; 404»."""
    http = served.http("5")
    await http.post("/mqtt/subscribe", json={"topic": "chat/a/b"})
    ended = await http.delete(f"/mqtt/unsubscribe/{path}")
    assert ended.status_code == 200
    assert (ended.json()["success"], ended.json()["topic"]) == (True, "chat/a/b")
    assert (await http.delete(f"/mqtt/unsubscribe/{path}")).status_code == 404
    assert (await http.get("/mqtt/subscriptions")).json()["total"] == 0


@pytest.mark.parametrize("topic", ["chat/#", "chat/+/x", "chat//", "chat/a b?c"])
async def test_wildcards_in_the_path_are_encoded(served: Served, topic: str) -> None:
    http = served.http("6")
    assert (await http.post("/mqtt/subscribe", json={"topic": topic})).status_code == 201
    path = "".join(f"%{byte:02X}" for byte in topic.encode())
    assert (await http.delete(f"/mqtt/unsubscribe/{path}")).json()["topic"] == topic


async def test_everybodys_subscriptions_are_for_administrators(served: Served) -> None:
    """«`{total,subscriptions[]}` of the caller; `/all` for administrators only»."""
    await served.http("7").post("/mqtt/subscribe", json={"topic": "chat/seven"})
    await served.http("8 viewer 2").post("/mqtt/subscribe", json={"topic": "organizations/2/a"})
    assert (await served.http("7").get("/mqtt/subscriptions/all")).status_code == 403
    answer = (await served.http("9 administrator").get("/mqtt/subscriptions/all")).json()
    assert answer["total"] == len(answer["subscriptions"])
    assert "7" in {each["userId"] for each in answer["subscriptions"]}
    assert "8" not in {each["userId"] for each in answer["subscriptions"]}
    own = (await served.http("7").get("/mqtt/subscriptions")).json()
    assert [each["topic"] for each in own["subscriptions"]] == ["chat/seven"]


async def test_a_broadcast_reaches_everybody_once(served: Served) -> None:
    """«publishes QoS 1, not retained, `{...message, timestamp (if asked), broadcast:true}`»."""
    admin = served.http("9 administrator")
    async with served.socket("10") as client:
        await client.ask("mqtt:subscribe", {"topic": "broadcast/#", "qos": 2})
        body = {"topic": "broadcast/alerts", "message": {"text": "hello", "broadcast": False}}
        answer = await admin.post("/mqtt/broadcast", json=body)
        assert answer.status_code == 200
        assert answer.json().keys() == {"success", "topic", "timestamp"}
        told = await client.next("mqtt:message")
        parse(told["payload"].pop("timestamp"))
        assert told["payload"] == {"text": "hello", "broadcast": True}
        assert (told["qos"], told["retain"]) == (1, False)
        await admin.post("/mqtt/broadcast", json={**body, "includeTimestamp": False})
        assert "timestamp" not in (await client.next("mqtt:message"))["payload"]
    async with served.socket("10") as later:
        await later.ask("mqtt:subscribe", {"topic": "broadcast/#"})
        assert await nothing_more(later) == []  # nothing is retained
    assert (await served.http("10").post("/mqtt/broadcast", json=body)).status_code == 403


async def test_a_publish_with_an_idempotency_key_is_done_once(served: Served) -> None:
    http = served.http("11")
    body = {"topic": "chat/once", "payload": 1}
    for _ in range(2):
        answer = await http.post("/mqtt/publish", json=body, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 200
    found = (await http.get("/mqtt/history", params={"topic": "chat/once"})).json()["messages"]
    assert len(found) == 1


async def test_mqtt_clients_see_what_people_publish(served: Served) -> None:
    async with served.mqtt() as client:
        await client.subscribe(Subscription("test/#", 1))
        await served.http().post(
            "/mqtt/publish", json={"topic": "test/hello", "payload": {"a": 1}, "qos": 1}
        )
        async for message in client.messages():
            assert message.topic_name == "test/hello"
            assert json.loads(message.payload) == {"a": 1}
            break


async def test_devices_are_not_people(served: Served) -> None:
    for path in ("/mqtt/status", "/mqtt/stats", "/mqtt/subscriptions", "/mqtt/history?topic=a"):
        assert (await served.http("").get(path)).status_code == 401
