"""Traces: what passes is shown to who may see it, and nothing that is secret or unbounded."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.grants import Grant
from fleetwire.net import trace as traces
from fleetwire.net.authenticator import Authenticator, Offer, RefusedError
from fleetwire.net.client import ConnectionRefusedByServerError, MQTTClient
from fleetwire.net.connection import MQTTConnection
from fleetwire.net.server import ConnectionLimits, Server
from fleetwire.net.trace import Line, TooManyTracesError, Trace, Wanted
from fleetwire.protocol import constants as c
from fleetwire.protocol.encoder import encode_publish
from fleetwire.protocol.packets import Properties, Publish, Subscription

WAIT_S = 5.0


class Door(Authenticator):
    async def authenticate(self, offer: Offer) -> Grant:
        if offer.password == b"wrong":
            raise RefusedError("wrong user name or password", c.BAD_USER_NAME_OR_PASSWORD)
        return Grant(offer.username or "anonymous", ["#"], ["#"], organization_id=1)


class House:
    """A server, and the ways to connect to it and to look at it."""

    def __init__(self) -> None:
        self.server = Server(Broker(Limits()), Door(), ConnectionLimits())
        self.port = 0

    async def client(self, client_id: str, **options: Any) -> MQTTClient:
        client = MQTTClient(client_id, **options)
        await client.connect("127.0.0.1", self.port)
        return client

    def trace(
        self,
        client_id: str | None = None,
        *,
        address: str | None = None,
        topic: str | None = None,
        payload: bool = False,
        for_s: float = 60,
        may_see: Any = lambda grant: True,
    ) -> Trace:
        wanted = Wanted(client_id, address, topic, payload, may_see)
        return self.server.tracer.open(wanted, for_s)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    house.port = await house.server.listen_tcp("127.0.0.1", 0, anonymous_allowed=True)
    try:
        yield house
    finally:
        await house.server.close()


async def lines_until(trace: Trace, packet: str) -> list[Line]:
    """Take lines until one of this packet has come."""
    found: list[Line] = []
    async with asyncio.timeout(WAIT_S):
        while packet not in [line.packet for line in found]:
            found += (await trace.take(WAIT_S))[0]
    return found


def words(lines: list[Line]) -> list[str]:
    return [f"{line.direction} {line.packet}" for line in lines]


@pytest.mark.parametrize("version", [c.V31, c.V311, c.V5])
async def test_a_client_is_shown_from_connect_to_its_end(house: House, version: int) -> None:
    trace = house.trace("me")
    client = await house.client(
        "me",
        version=version,
        username="ann",
        password="hunter2",
        will=Publish("wills/me", b"secret will"),
    )
    await client.subscribe(Subscription("a/#", 1))
    await client.publish("a/b", b"secret payload", 1)
    async for _ in client.messages():
        break
    await client.publish("a/b", b"secret payload", 2)
    await client.unsubscribe("a/#")
    await client.disconnect()
    lines = await lines_until(trace, "CLOSED")
    shown = words(lines)
    begin = ["in CONNECT", "out CONNACK", "in SUBSCRIBE", "out SUBACK", "in PUBLISH"]
    assert shown[:5] == begin
    assert {"out PUBLISH", "out PUBACK", "in PUBACK", "out PUBREC", "in PUBREL"} <= set(shown)
    assert shown[-2:] == ["in DISCONNECT", "out CLOSED"]
    by_name = {f"{line.direction} {line.packet}": line.detail for line in reversed(lines)}
    assert by_name["in CONNECT"] == {
        "protocol_version": version,
        "clean_start": True,
        "keep_alive_s": 60,
        "username": "ann",
        "with_password": True,
        "will_topic": "wills/me",
    }
    assert by_name["out CONNACK"] == {"reason": "0x00 Success", "session_present": False}
    assert by_name["in SUBSCRIBE"]["filters"] == ["a/# qos 1"]
    assert by_name["in PUBLISH"]["topic"] == "a/b"
    assert by_name["in PUBLISH"]["payload_bytes"] == len("secret payload")
    assert by_name["out CLOSED"] == {"reason": "disconnect"}
    for secret in ("hunter2", "secret payload", "secret will"):
        assert secret not in repr(lines)


async def test_a_refused_connect_is_shown_with_its_answer(house: House) -> None:
    trace = house.trace("me")
    for version in (c.V311, c.V5):
        with pytest.raises(ConnectionRefusedByServerError):
            await house.client("me", version=version, username="ann", password="wrong")
    lines, _ = await trace.take(WAIT_S)
    assert words(lines) == ["in CONNECT", "out CONNACK"] * 2
    assert lines[1].detail["reason"] == "return code 4"
    assert lines[3].detail["reason"] == "0x86 Bad User Name or Password"


async def test_others_are_not_shown(house: House) -> None:
    of_client, of_address = house.trace("me"), house.trace(address="192.0.2.1")
    here = house.trace(address="127.0.0.1")
    await (await house.client("other")).disconnect()
    assert words(await lines_until(here, "CLOSED"))[0] == "in CONNECT"
    assert await of_client.take(0) == ([], 0)
    assert await of_address.take(0) == ([], 0)


async def test_a_topic_shows_its_messages_and_subscriptions_only(house: House) -> None:
    trace = house.trace(topic="a/+")
    client = await house.client("me")
    await client.subscribe(Subscription("x"), Subscription("y"))
    await client.subscribe(Subscription("a/#"))
    await client.publish("b", b"", 1)
    await client.publish("a/b/c", b"", 1)
    await client.publish("a/b", b"1234", 1)
    lines, _ = await trace.take(WAIT_S)
    assert words(lines) == ["in SUBSCRIBE", "in PUBLISH", "out PUBLISH"]
    assert [line.detail["topic"] for line in lines[1:]] == ["a/b", "a/b"]
    await client.disconnect()


async def test_a_topic_is_shown_where_the_server_sends_an_alias(house: House) -> None:
    trace = house.trace(topic="a/b")
    connection = MQTTConnection(house.server, True)
    connection.version = c.V5
    sent = house.server.tracer.sent
    for topic_name, alias in (("other", 1), ("a/b", 2), ("", 1), ("", 2), ("", 3)):
        properties: Properties = {c.TOPIC_ALIAS: alias}
        sent(connection, encode_publish(topic_name, b"", 0, False, False, 0, properties, c.V5))
    lines, _ = await trace.take(WAIT_S)
    # What an alias of before the trace stands for is not known; it may be what is looked for.
    assert [line.detail["topic"] for line in lines] == ["a/b", "a/b", None]


async def test_payloads_are_shown_where_asked_for_as_far_as_is_bounded(house: House) -> None:
    trace = house.trace("me", payload=True)
    client = await house.client("me", password="hunter2", username="ann")
    await client.publish("t", "grün".encode(), 1)
    await client.publish("t", b"\xff" * 5000, 1)
    await client.disconnect()
    lines = await lines_until(trace, "CLOSED")
    text, binary = (line.detail for line in lines if line.packet == "PUBLISH")
    assert (text["payload"], text["encoding"]) == ("grün", "utf-8")
    assert (binary["encoding"], binary["payload_bytes"]) == ("base64", 5000)
    assert len(binary["payload"]) < 1500
    assert "hunter2" not in repr(lines)


async def test_what_may_not_be_seen_is_not_shown(house: House) -> None:
    asked: list[Grant | None] = []

    def nothing(grant: Grant | None) -> bool:
        asked.append(grant)
        return False

    trace = house.trace("me", may_see=nothing)
    await (await house.client("me")).disconnect()
    assert await trace.take(0) == ([], 0)
    assert asked[0] is None  # its CONNECT: nobody knows yet whose it is
    assert {grant.organization_id for grant in asked if grant is not None} == {1}


async def test_what_is_over_the_rate_is_counted_and_not_shown(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "LINES_PER_S", 10)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)  # one second, however long it takes
    trace = house.trace("me")
    client = await house.client("me")
    for _ in range(30):
        await client.publish("t", b"", 1)
    lines, left_out = await trace.take(WAIT_S)
    assert len(lines) == 10
    # CONNECT, CONNACK, 30 × (PUBLISH, PUBACK): each is shown or counted.
    assert len(lines) + left_out == 62
    monkeypatch.undo()
    await client.disconnect()


async def test_a_reader_who_does_not_read_costs_bounded_memory(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "WAITING_MOST", 5)
    trace = house.trace("me")
    client = await house.client("me")
    for _ in range(10):
        await client.publish("t", b"", 1)
    lines, left_out = await trace.take(WAIT_S)
    assert (len(lines), left_out) == (5, 17)
    await client.disconnect()


async def test_traces_are_bounded_in_number_and_time(house: House) -> None:
    tracer = house.server.tracer
    first = house.trace("me", for_s=1e9)
    assert first.ends_at - time.monotonic() <= 600
    for _ in range(traces.TRACES_MOST - 1):
        house.trace("me")
    with pytest.raises(TooManyTracesError):
        house.trace("me")
    tracer.end(first)
    short = house.trace("me", for_s=0)  # ends at once, unread
    await (await house.client("me")).disconnect()
    assert short not in tracer.traces
    tracer.close()
    assert tracer.traces == []
    assert first.is_over(time.monotonic())


async def test_a_waiting_reader_hears_that_the_server_stops(house: House) -> None:
    trace = house.trace("me")
    taking = asyncio.create_task(trace.take(60))
    await asyncio.sleep(0)
    house.server.tracer.close()
    assert await asyncio.wait_for(taking, WAIT_S) == ([], 0)
    assert trace.is_closed


async def test_a_running_client_is_traced_from_the_middle(house: House) -> None:
    client = await house.client("me")
    await client.subscribe(Subscription("t", 1))
    trace = house.trace("me")
    await client.publish("t", b"x", 1)
    await client.disconnect()
    lines = await lines_until(trace, "CLOSED")
    assert words(lines)[0] == "in PUBLISH"
    assert "out PUBLISH" in words(lines)
