"""The namespace `/mqtt`, in a whole house."""

import asyncio
import base64

import pytest

from tests.apps.messaging.serving import NAMESPACE, Served, nothing_more
from tests.web.realtime.socket_client import entered
from tests.web.realtime.talk import Refused

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_first_test_of_every_user(served: Served) -> None:
    """«First test of every user: the React sample (connect, subscribe `chat/room1` QoS 1, publish
    to it, receive the own `mqtt:message`)»."""
    async with served.socket("1") as client:
        await client.say("mqtt:subscribe", {"topic": "chat/room1", "qos": 1})
        subscription = await client.next("mqtt:subscribe:success")
        assert (subscription["topic"], subscription["isActive"]) == ("chat/room1", True)
        said = {"topic": "chat/room1", "payload": {"text": "hi"}, "qos": 1}
        await client.say("mqtt:publish", said)
        success = await client.next("mqtt:publish:success")
        told = await client.next("mqtt:message")
    assert success.keys() == {"topic", "timestamp"}
    assert told.keys() == {"topic", "payload", "qos", "timestamp", "retain", "messageId"}
    assert (told["payload"], told["qos"], told["retain"]) == ({"text": "hi"}, 1, False)


async def test_a_bad_token_refuses_the_connection(served: Served) -> None:
    """«a bad token refuses the connection»."""
    for auth in (None, {}, {"token": "bad"}, {"token": 7}):
        with pytest.raises(Refused) as refused:
            async with entered(served.port, NAMESPACE, auth):
                pass
        assert refused.value.status == 401


async def test_whoever_connects_is_told_the_status(served: Served) -> None:
    """«connect | | `mqtt:status` (status object)» and «`mqtt:status` | – | `mqtt:status`»."""
    async with entered(served.port, NAMESPACE, {"token": "1"}) as client:
        assert (await client.next("mqtt:status"))["isConnected"] is True
        await client.say("mqtt:status")
        assert (await client.next("mqtt:status"))["isConnected"] is True


async def test_replies_are_events_and_the_acknowledgement(served: Served) -> None:
    """Quotes «Replies are **events** (and also the acknowledgement callback, if given)» and
    «`mqtt:subscriptions` | – | `mqtt:subscriptions [...]`»."""
    async with served.socket("20") as client:
        for event, said in (
            ("mqtt:subscribe", {"topic": "chat/twenty"}),
            ("mqtt:publish", {"topic": "chat/twenty", "payload": 1}),
            ("mqtt:unsubscribe", {"topic": "chat/twenty"}),
        ):
            answer = await client.ask(event, said)
            assert answer == await client.next(f"{event}:success")
            assert answer["topic"] == "chat/twenty"
        answer = await client.ask("mqtt:subscriptions")
        assert answer == await client.next("mqtt:subscriptions") == []


@pytest.mark.parametrize("event", ["mqtt:publish", "mqtt:subscribe", "mqtt:unsubscribe"])
async def test_errors_are_events_and_the_acknowledgement(served: Served, event: str) -> None:
    """«`mqtt:publish:error {error}`», «`mqtt:subscribe:error {error}`» and «`:error`»."""
    async with served.socket("21") as client:
        for said in (
            None,
            7,
            {},
            {"topic": 7},
            {"topic": "a\0b", "payload": 1},
            {"topic": "elsewhere", "payload": 1},
            {"topic": "chat/a", "payload": 1, "more": 1},
        ):
            answer = await client.ask(event, said)
            assert answer == await client.next(f"{event}:error")
            assert answer["error"]
        said = {"topic": "chat/a", "more": 1} | ({"payload": 1} if "publish" in event else {})
        assert (await client.ask(event, said))["field"] == "more"


async def test_retained_messages_follow_a_subscription(served: Served) -> None:
    """«`mqtt:subscribe:success` (subscription) or … retained messages follow»."""
    http = served.http()
    for name in ("one", "two"):
        body = {"topic": f"test/kept/{name}", "payload": name, "qos": 1, "retain": True}
        assert (await http.post("/mqtt/publish", json=body)).status_code == 200
    async with served.socket("22") as client:
        await client.ask("mqtt:subscribe", {"topic": "test/kept/+", "qos": 2})
        await client.ask("mqtt:status")
        names = [name for name, _ in client.told if name != "mqtt:status"]
        assert names == ["mqtt:subscribe:success", "mqtt:message", "mqtt:message"]
        found = [await client.next("mqtt:message") for _ in range(2)]
        assert {each["payload"] for each in found} == {"one", "two"}
        assert {(each["retain"], each["qos"]) for each in found} == {(True, 1)}
        # Again is a subscription like the first [MQTT-3.8.4-3]; one that passes is not retained.
        await http.post("/mqtt/publish", json=body)
        assert (await client.next("mqtt:message"))["retain"] is False
        await http.post("/mqtt/publish", json={**body, "payload": ""})
        await client.next("mqtt:message")
        await client.ask("mqtt:unsubscribe", {"topic": "test/kept/+"})
        await client.ask("mqtt:subscribe", {"topic": "test/kept/+"})
        assert [each["payload"] for each in await nothing_more(client)] == ["one"]


@pytest.mark.parametrize(("sent", "asked"), [(0, 2), (1, 0), (2, 1), (2, 2), (1, 2)])
async def test_the_lower_qos_counts(served: Served, sent: int, asked: int) -> None:
    topic = f"test/qos/{sent}{asked}"
    async with served.socket("23") as client, served.mqtt(f"q{sent}{asked}") as device:
        await client.ask("mqtt:subscribe", {"topic": topic, "qos": asked})
        await device.publish(topic, b"x", qos=sent)
        assert (await client.next("mqtt:message"))["qos"] == min(sent, asked)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b'{"a":1}', {"payload": {"a": 1}}),
        (b"plain", {"payload": "plain"}),
        (b"", {"payload": ""}),
        (b"\xff\xfe", {"payload": base64.b64encode(b"\xff\xfe").decode(), "encoding": "base64"}),
        (b"[" * 5000, {"payload": "[" * 5000}),
    ],
)
async def test_payloads_are_said_as_plainly_as_they_can_be(
    served: Served, payload: bytes, told: dict[str, object]
) -> None:
    """«payload parsed if JSON, else text, else base64 with `encoding:"base64"`»."""
    async with served.socket("24") as client, served.mqtt("payloads") as device:
        await client.ask("mqtt:subscribe", {"topic": "test/payloads"})
        await device.publish("test/payloads", payload, qos=1)
        message = await client.next("mqtt:message")
        assert {name: message[name] for name in told} == told
        assert ("encoding" in message) == ("encoding" in told)


async def test_a_message_reaches_a_socket_once_however_many_filters_match(served: Served) -> None:
    """«Wildcards `+` and `#` work.»."""
    async with served.socket("25") as client:
        filters = {"chat/#": 0, "chat/+": 2, "chat/x": 1, "+/x": 0, "chat/x/#": 0}
        for topic, qos in filters.items():
            assert (await client.ask("mqtt:subscribe", {"topic": topic, "qos": qos}))["id"]
        await served.publish_as_house("chat/x", b"1")
        assert (await client.next("mqtt:message"))["qos"] == 1
        assert await nothing_more(client) == []


async def test_one_users_end_never_cuts_off_another(served: Served) -> None:
    """«A subscription is the user's, counted by reference: one user's unsubscribe or disconnect
    never cuts off another. N sockets share one broker subscription.»."""
    async with served.socket("26") as stays:
        await stays.ask("mqtt:subscribe", {"topic": "chat/shared"})
        async with served.socket("27") as other, served.socket("26") as second:
            for client in (other, second):
                await client.ask("mqtt:subscribe", {"topic": "chat/shared"})
            await other.ask("mqtt:unsubscribe", {"topic": "chat/shared"})
            await second.ask("mqtt:unsubscribe", {"topic": "chat/shared"})
            await served.publish_as_house("chat/shared", b"1")
            assert (await stays.next("mqtt:message"))["payload"] == 1
            assert await nothing_more(other) == await nothing_more(second) == []
            await other.ask("mqtt:subscribe", {"topic": "chat/shared"})
        await served.publish_as_house("chat/shared", b"2")
        assert (await stays.next("mqtt:message"))["payload"] == 2
        (shown,) = await stays.ask("mqtt:subscriptions")
        assert shown["topic"] == "chat/shared"


async def test_a_subscription_ends_with_its_last_holder(served: Served) -> None:
    http = served.http("28")
    async with served.socket("28") as one, served.socket("28") as two:
        for client in (one, two):
            await client.ask("mqtt:subscribe", {"topic": "chat/28"})
        await one.ask("mqtt:unsubscribe", {"topic": "chat/28"})
        assert (await http.get("/mqtt/subscriptions")).json()["total"] == 1
        await two.ask("mqtt:unsubscribe", {"topic": "chat/28"})
        assert (await http.get("/mqtt/subscriptions")).json()["total"] == 0
        assert "error" in await two.ask("mqtt:unsubscribe", {"topic": "chat/28"})


async def test_too_many_subscriptions_are_refused(served: Served) -> None:
    async with served.socket("29") as client:
        answers = await asyncio.gather(
            *[client.ask("mqtt:subscribe", {"topic": f"chat/{each}"}) for each in range(60)]
        )
        answers += await asyncio.gather(
            *[client.ask("mqtt:subscribe", {"topic": f"chat/{each}"}) for each in range(60, 101)]
        )
    assert sum("id" in each for each in answers) == 100
    assert "100" in answers[-1]["error"]
