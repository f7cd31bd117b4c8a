"""The broker over HTTP."""

import asyncio
import json
from urllib.parse import quote

import pytest

from fleetwire.features.broker.endpoints import router
from fleetwire.features.broker.stream import events
from fleetwire.net.trace import Trace, Wanted
from fleetwire.protocol.packets import Subscription
from tests.features.broker.conftest import Room
from tests.features.http import serving

API = "/api/v1/broker"


async def test_clients_are_listed_read_and_disconnected(room: Room) -> None:
    name = "ward 3/bp#1?"
    async with (
        serving([router], room.services) as http,
        room.client(name, "one") as client,
        room.client("other", "one"),
    ):
        await client.subscribe(Subscription("a/+", 1))
        page = (await http.get(f"{API}/clients", params={"limit": 1})).json()
        assert [each["client_id"] for each in page["items"]] == ["other"]
        rest = {"limit": 1, "cursor": page["next_cursor"]}
        page = (await http.get(f"{API}/clients", params=rest)).json()
        (listed,) = page["items"]
        assert page["next_cursor"] is None
        assert listed["client_id"] == name
        assert listed["queue"] == {"messages": 0, "bytes": 0}
        assert listed["connected_since"].endswith("Z")
        path = f"{API}/clients/{quote(name, safe='')}"
        shown = (await http.get(path)).json()
        assert shown["client"] == listed
        assert shown["subscriptions"][0]["topic_filter"] == "a/+"
        assert shown["traffic"]["bytes_sent"] > 0
        stranger = {"Organization": "2"}
        assert (await http.get(path, headers=stranger)).status_code == 404
        assert (await http.delete(path, headers=stranger)).status_code == 404
        assert (await http.delete(path, params={"session": "all"})).status_code == 422
        assert (await http.delete(path, params={"session": "end"})).status_code == 204
        assert (await http.get(path)).status_code == 404
        found = await http.get(f"{API}/clients", params={"search": "OTHER", "connected": True})
        assert [each["client_id"] for each in found.json()["items"]] == ["other"]
        bad = await http.get(f"{API}/clients", params={"cursor": "é"})
        assert (bad.status_code, bad.json()["field"]) == (422, "cursor")


async def test_retained_messages_are_listed_read_and_removed(room: Room) -> None:
    async with serving([router], room.services) as http:
        room.server.publish("/a b/c", "grün".encode(), retain=True)
        room.server.publish("bin", b"\xff\x00", retain=True)
        (text, binary) = (await http.get(f"{API}/retained")).json()["items"]
        assert (text["payload"], text["encoding"], text["is_cut"]) == ("grün", "utf-8", False)
        assert (binary["payload"], binary["encoding"]) == ("/wA=", "base64")
        found = (await http.get(f"{API}/retained", params={"filter": "/+/c"})).json()
        assert found["items"] == [text]
        path = f"{API}/retained/{quote('/a b/c', safe='')}"
        assert (await http.get(path)).json() == text
        assert (await http.delete(path)).status_code == 204
        assert (await http.get(path)).status_code == 404
        assert (await http.delete(path)).status_code == 404
        bad = await http.get(f"{API}/retained", params={"filter": "a#"})
        assert (bad.status_code, bad.json()["field"]) == (422, "filter")


async def test_the_summary_and_the_counters_count(room: Room) -> None:
    async with serving([router], room.services) as http, room.client("c", "one") as client:
        await client.publish("t", b"x", 1)
        summary = (await http.get(API)).json()
        assert (summary["clients_connected"], summary["messages_received"]) == (1, 1)
        assert summary["is_held"] is False
        await client.disconnect()
        items = (await http.get(f"{API}/counters")).json()["items"]
        assert {"what": "connection ended", "reason": "disconnect", "count": 1} in items


async def test_a_trace_is_a_stream_of_events_that_ends(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = room.server.tracer
    begin, begun = tracer.open, asyncio.Event()

    def opening(wanted: Wanted, for_s: float) -> Trace:
        begun.set()
        return begin(wanted, for_s)

    monkeypatch.setattr(tracer, "open", opening)
    async with serving([router], room.services) as http:
        asking = asyncio.create_task(
            http.get(f"{API}/trace", params={"topic": "t/#", "seconds": 1, "payload": True})
        )
        await asyncio.wait_for(begun.wait(), 5)
        async with room.client("c", "one") as client:
            await client.publish("t/1", b"hello\n\nevent: end", 1)
        answer = await asking
    assert answer.headers["content-type"].startswith("text/event-stream")
    began, packet, end, rest = answer.text.split("\n\n")
    assert began == ": trace is on"
    name, data = packet.split("\n")
    assert name == "event: packet"
    shown = json.loads(data.removeprefix("data: "))
    assert shown["packet"] == "PUBLISH"
    assert shown["direction"] == "in"
    assert (shown["client_id"], shown["topic"]) == ("c", "t/1")
    assert shown["payload"] == "hello\n\nevent: end"  # and yet no event of its own
    assert end == "event: end\ndata: {}"
    assert rest == ""
    assert room.server.tracer.traces == []
    assert room.audit.records == [("account:1", "broker.traced", None)]


@pytest.mark.parametrize(
    "params", [{}, {"topic": "a/#/b"}, {"client": "x", "seconds": 601}, {"client": "x" * 257}]
)
async def test_a_trace_of_nothing_in_particular_is_refused(
    room: Room, params: dict[str, str | int]
) -> None:
    async with serving([router], room.services) as http:
        assert (await http.get(f"{API}/trace", params=params)).status_code == 422
    assert room.server.tracer.traces == []


async def test_a_silent_trace_gives_signs_of_life_and_ends_with_its_reader(room: Room) -> None:
    tracer = room.server.tracer
    trace = tracer.open(Wanted("c", None, None, False, lambda grant: True), 60)
    stream = events(trace, lambda: tracer.end(trace), sign_of_life_s=0.01)
    assert await anext(stream) == b": trace is on\n\n"
    assert await anext(stream) == b": still on\n\n"
    trace.leave_out(3)
    assert await anext(stream) == b'event: left_out\ndata: {"packets":3}\n\n'
    await stream.aclose()
    assert tracer.traces == []
