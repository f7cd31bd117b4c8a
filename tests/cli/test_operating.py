"""`fleetwire clients`, `retained` and `trace`."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fleetwire.cli.trace import line
from fleetwire.net.client import ConnectionLostError, MQTTClient
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Subscription
from tests.cli.conftest import Run
from tests.house import House


@pytest.fixture
def at_house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house is what the settings speak of, and its administrator is signed in."""
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", shared_house.login())
    return shared_house


@contextmanager
def talking(house: House, client_id: str, **options: object) -> Iterator[None]:
    """A client that subscribes to `<its id>/#` and publishes to `<its id>/t` all the time."""
    is_there, is_enough = threading.Event(), threading.Event()

    async def talk() -> None:
        client = MQTTClient(client_id, **options)  # type: ignore[arg-type]
        await client.connect("127.0.0.1", house.mqtt_port)
        await client.subscribe(Subscription(f"{client_id}/#", 1, no_local=True))
        while not is_enough.is_set() and client.is_connected:
            await client.publish(f"{client_id}/t", b"hello", 1)
            is_there.set()
        if client.is_connected:
            await client.disconnect()

    def run() -> None:
        asyncio.run(talk())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert is_there.wait(10)
        yield
    finally:
        is_enough.set()
        thread.join(10)


async def leave_behind(house: House, client_id: str, *, topic: str = "") -> None:
    """A session that waits for its client, or a retained message."""
    options = {c.SESSION_EXPIRY_INTERVAL: 600} if not topic else {}
    client = MQTTClient(client_id, properties=dict(options))
    await client.connect("127.0.0.1", house.mqtt_port)
    if topic:
        await client.publish(topic, b"kept \x1b[31m" + b"x" * 100, 1, retain=True)
    await client.disconnect()


def test_clients_are_listed_shown_and_kicked(run: Run, at_house: House) -> None:
    asyncio.run(leave_behind(at_house, "cli-away"))
    with talking(at_house, "cli/live"):
        listed = run("clients", "--search", "cli")
        assert listed.status == 0, listed.err
        assert "cli-away" in listed.out
        live = next(each for each in listed.out.splitlines() if "cli/live" in each)
        assert "127.0.0.1" in live
        assert "cli-away" not in run("clients", "--connected").out
        shown = run("clients", "show", "cli/live")
        assert "cli/live/#" in shown.out
        assert "no local" in shown.out
        as_json = json.loads(run("clients", "show", "cli/live", "--json").out)
        assert as_json["traffic"]["messages_received"] > 0
    away = run("clients", "show", "cli-away")
    assert "kept for 600 s" in away.out
    assert "no subscriptions" in away.err
    refused = run("clients", "kick", "cli-away")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "session=end" in refused.err
    assert run("clients", "kick", "cli-away", "--end-session").status == 0
    assert run("clients", "show", "cli-away").status == 1


def test_a_connected_client_is_kicked(run: Run, at_house: House) -> None:
    client_ids = json.loads(run("clients", "--json").out)
    assert "cli-kick" not in [each["client_id"] for each in client_ids]
    ended: list[BaseException] = []
    is_there = threading.Event()

    async def stay() -> None:
        client = MQTTClient("cli-kick")
        await client.connect("127.0.0.1", at_house.mqtt_port)
        is_there.set()
        try:
            async for _ in client.messages():
                pass
        except ConnectionLostError as error:
            ended.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(stay()))
    thread.start()
    assert is_there.wait(10)
    outcome = run("clients", "kick", "cli-kick")
    thread.join(10)
    assert (outcome.status, outcome.err) == (0, "Disconnected. It may come back.\n")
    assert "Administrative action" in str(ended[0])


def test_nobody_there_is_said(run: Run, at_house: House) -> None:
    outcome = run("clients", "--search", "no such client")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "No client fits.\n")
    assert run("clients", "--search", "no such client", "--json").out == "[]\n"


def test_retained_messages_are_listed_and_deleted(run: Run, at_house: House) -> None:
    asyncio.run(leave_behind(at_house, "cli-r", topic="cli/kept"))
    listed = run("retained", "cli/+")
    assert listed.status == 0, listed.err
    assert "cli/kept" in listed.out
    assert "\x1b[31m" not in listed.out  # a payload gives no orders to a terminal
    (shown,) = json.loads(run("retained", "cli/+", "--json").out)
    assert (shown["topic"], shown["payload_bytes"]) == ("cli/kept", 110)
    assert "cli/kept" in run("retained").out
    assert run("retained", "delete", "cli/kept").status == 0
    again = run("retained", "delete", "cli/kept")
    assert again.status == 1
    assert "404" in again.err
    assert run("retained", "cli/+").err == "No retained message fits.\n"


def test_the_broker_speaks_of_itself(run: Run, at_house: House) -> None:
    listed = run("retained", "$SYS/broker/version")
    assert "fleetwire version" in listed.out


def test_a_trace_shows_packets_until_there_are_enough(run: Run, at_house: House) -> None:
    with talking(at_house, "cli-t"):
        outcome = run("trace", "--client", "cli-t", "--count", "4", "--for", "20s")
        assert outcome.status == 0, outcome.err
        assert "PUBLISH topic=cli-t/t qos=1" in outcome.out
        assert "<- PUBACK" in outcome.out
        assert "hello" not in outcome.out
        words = ("trace", "--topic", "cli-t/+", "--payload", "--json", "--count", "1")
        packet = json.loads(run(*words).out)
        assert (packet["topic"], packet["payload"]) == ("cli-t/t", "hello")


def test_a_trace_ends_by_itself(run: Run, at_house: House) -> None:
    outcome = run("trace", "--client", "nobody", "--for", "1s")
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err.endswith("The trace has ended.\n")


def test_a_trace_needs_something_to_look_for(run: Run, at_house: House) -> None:
    outcome = run("trace")
    assert outcome.status == 2
    assert "--client" in outcome.err
    too_long = run("trace", "--client", "x", "--for", "1h")
    assert (too_long.status, "600" in too_long.err) == (1, True)


def test_a_line_of_a_trace_gives_no_orders_to_a_terminal() -> None:
    packet = {
        "at": "2026-01-31T12:00:00.250Z",
        "client_id": "a\x1b[2J",
        "remote": "h:1",
        "direction": "out",
        "packet": "PUBLISH",
        "topic": "t",
        "qos": 0,
        "retain": True,
        "payload_bytes": 2,
        "payload": "\n\r",
        "encoding": "utf-8",
    }
    expected = r"12:00:00.250 a\x1b[2J <- PUBLISH topic=t retain payload_bytes=2 \n\r"
    assert line(packet) == expected


@pytest.mark.parametrize("words", [("clients",), ("retained",), ("trace", "--client", "x")])
def test_without_a_token_it_says_how_to_get_one(
    run: Run, at_house: House, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.delenv("FLEETWIRE_TOKEN")
    outcome = run(*words)
    assert outcome.status == 1
    assert "fleetwire login" in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        *(("clients",), ("clients", "list"), ("clients", "show"), ("clients", "kick")),
        *(("retained",), ("retained", "list"), ("retained", "delete"), ("trace",)),
    ],
)
def test_each_help_has_an_example(run: Run, words: tuple[str, ...]) -> None:
    outcome = run(*words, "--help")
    assert outcome.status == 0
    assert f"fleetwire {words[0]}" in outcome.out
