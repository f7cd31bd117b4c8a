"""Stored messages: read in pages, and resumed from without a gap and without one twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fleetwire.apps.messaging import configure
from fleetwire.kit.instants import iso
from fleetwire.testing import TestHub
from tests.apps.messaging.serving import Served, nothing_more, serving
from tests.web.realtime.socket_client import SocketIOClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def publish(served: Served, topic: str, *payloads: Any) -> None:
    for payload in payloads:
        body = {"topic": topic, "payload": payload, "qos": 1}
        assert (await served.http().post("/mqtt/publish", json=body)).status_code == 200


async def taken(client: SocketIOClient, count: int) -> list[Any]:
    return [(await client.next("mqtt:message"))["payload"] for _ in range(count)]


async def test_history_is_read_in_pages(served: Served) -> None:
    """«`GET /mqtt/history?topic=<filter>&since&limit` | ours | stored messages of topics under
    history policy, with cursor»."""
    await publish(served, "chat/pages", *range(5))
    await publish(served, "chat/other", "x")
    http = served.http()
    found: list[Any] = []
    since = "0"
    for _ in range(10):
        query = {"topic": "chat/pages/#", "since": since, "limit": "2"}
        page = (await http.get("/mqtt/history", params=query)).json()
        found += page["messages"]
        since = page["cursor"]
        if not page["more"]:
            break
    assert [each["payload"] for each in found] == list(range(5))
    assert {each["topic"] for each in found} == {"chat/pages"}
    after = {"topic": "chat/#", "since": found[3]["messageId"]}
    rest = (await http.get("/mqtt/history", params=after)).json()["messages"]
    assert [each["payload"] for each in rest] == [4, "x"]
    late = {"topic": "chat/#", "since": iso(2_000_000_000_000_000)}
    assert (await http.get("/mqtt/history", params=late)).json()["messages"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"topic": "chat/#", "since": "yesterday"}, "since"),
        ({"topic": "chat/#", "since": "9" * 19}, "since"),
        ({"topic": "chat/#", "limit": "0"}, "limit"),
        ({"topic": "chat/#x"}, "topic"),
        ({}, "topic"),
    ],
)
async def test_a_wrong_question_names_its_field(
    served: Served, query: dict[str, str], field: str
) -> None:
    answer = await served.http().get("/mqtt/history", params=query)
    assert answer.status_code == 400
    assert field in answer.json()["field"]


async def test_a_topic_that_is_not_under_history_is_not_stored(served: Served) -> None:
    await publish(served, "test/passing", 1)
    found = await served.http().get("/mqtt/history", params={"topic": "test/#"})
    assert found.json()["messages"] == []


async def test_a_puback_means_stored(served: Served) -> None:
    async with served.mqtt("writer") as client:
        await client.publish("chat/device", b'{"a":1}', qos=1)
        found = await served.http().get("/mqtt/history", params={"topic": "chat/device"})
        assert [each["payload"] for each in found.json()["messages"]] == [{"a": 1}]


async def test_what_the_house_publishes_is_stored_and_told_once(served: Served) -> None:
    async with served.socket() as client:
        await client.ask("mqtt:subscribe", {"topic": "chat/house", "qos": 1})
        await served.publish_as_house("chat/house", b"1")
        told = await client.next("mqtt:message")
        found = await served.http().get("/mqtt/history", params={"topic": "chat/house"})
        (stored,) = found.json()["messages"]
        assert stored["messageId"] == told["messageId"]
        assert await nothing_more(client) == []


async def test_resuming_gives_everything_once(served: Served) -> None:
    """«Reconnecting with `auth:{token, since}` resumes without a gap where history is kept.»"""
    async with served.socket("50") as client:
        await client.ask("mqtt:subscribe", {"topic": "chat/resume/#", "qos": 1})
        await publish(served, "chat/resume/a", 1)
        last = (await client.next("mqtt:message"))["messageId"]
    await publish(served, "chat/resume/a", 2, 3)
    await publish(served, "chat/elsewhere", "x")
    # What it was subscribed to is remembered; and subscribing again brings nothing twice.
    async with served.socket("50", since=last) as client:
        assert await taken(client, 2) == [2, 3]
        await client.ask("mqtt:subscribe", {"topic": "chat/resume/#", "qos": 1})
        await client.ask("mqtt:subscribe", {"topic": "chat/resume/a", "qos": 1})
        await publish(served, "chat/resume/a", 4)
        assert await taken(client, 1) == [4]
        assert await nothing_more(client) == []
    async with served.socket("50", since=int(last)) as client:
        assert await taken(client, 3) == [2, 3, 4]
    async with served.socket("50") as client:  # without since it begins anew
        assert await client.ask("mqtt:subscriptions") == []


async def test_another_user_resumes_by_subscribing(served: Served) -> None:
    await publish(served, "chat/anew", 1)
    first = (await served.http().get("/mqtt/history", params={"topic": "chat/anew"})).json()
    await publish(served, "chat/anew", 2, 3)
    async with served.socket("51", since=first["messages"][0]["messageId"]) as client:
        await client.ask("mqtt:subscribe", {"topic": "chat/+", "qos": 1})
        await client.ask("mqtt:subscribe", {"topic": "chat/anew", "qos": 1})
        assert await taken(client, 2) == [2, 3]
        assert await nothing_more(client) == []


@pytest.mark.parametrize("since", ["x", -1, True, 1.5, {}, "9" * 30])
async def test_a_since_that_is_none_refuses_the_connection(served: Served, since: Any) -> None:
    with pytest.raises(Exception, match="since"):
        async with served.socket(since=since):
            pass


@pytest.mark.slow
async def test_resuming_under_load_has_no_gap_and_nothing_twice(served: Served) -> None:
    start = (await served.http().get("/mqtt/history", params={"topic": "chat/#"})).json()["cursor"]
    count = 600

    async def write(client_id: str) -> None:
        async with served.mqtt(client_id) as device:
            for number in range(count):
                await device.publish(f"chat/load/{client_id}", str(number).encode(), qos=1)

    async def read(token: str) -> list[tuple[str, int]]:
        since, found = start, []
        while len(found) < 2 * count:
            async with served.socket(token, since=since) as client:
                await client.ask("mqtt:subscribe", {"topic": "chat/load/+", "qos": 1})
                for _ in range(min(250, 2 * count - len(found))):
                    told = await client.next("mqtt:message")
                    found.append((told["topic"], told["payload"]))
                    since = told["messageId"]
        return found

    *_, one, other = await asyncio.gather(write("a"), write("b"), read("52"), read("53"))
    for found in (one, other):
        for client_id in "ab":
            told = [number for topic, number in found if topic == f"chat/load/{client_id}"]
            assert told == list(range(count))


@pytest.mark.asyncio(loop_scope="function")
async def test_subscriptions_rooms_and_messages_survive_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        http = served.http("60 administrator")
        await http.post("/mqtt/subscribe", json={"topic": "chat/#", "qos": 1})
        await http.put("/mqtt/rooms/tea/members/60")
        await publish(served, "chat/before", 1)
        before = (await http.get("/mqtt/subscriptions")).json()["subscriptions"]
    async with serving(tmp_path) as served:
        http = served.http("60 administrator")
        after = (await http.get("/mqtt/subscriptions")).json()["subscriptions"]
        assert after == before
        assert (await http.get("/mqtt/rooms")).json()["rooms"][0]["members"] == ["60"]
        async with served.socket("60 administrator", since="0") as client:
            assert await taken(client, 1) == [1]
            await publish(served, "chat/after", 2)
            assert await taken(client, 1) == [2]


@pytest.mark.asyncio(loop_scope="function")
async def test_old_messages_are_removed() -> None:
    async with TestHub(configure({"MESSAGING_HISTORY_DAYS": "1"})) as hub:
        http = hub.http()
        body = {"topic": "chat/old", "payload": 1}
        assert (await http.post("/mqtt/publish", json=body)).status_code == 200
        await hub.advance(86_000)
        await http.post("/mqtt/publish", json={**body, "payload": 2})
        await hub.advance(1_000)
        found = await http.get("/mqtt/history", params={"topic": "chat/#"})
        assert [each["payload"] for each in found.json()["messages"]] == [2]
