"""`fleetwire follow`."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import paho.mqtt.client as mqtt
import pytest

from fleetwire.cli.follow import line
from tests.cli.conftest import Run
from tests.house import House

EVENTS = ("--event", "device.data.received")


class Device:
    """A device that publishes its next value with QoS 1."""

    def __init__(self, house: House, device_id: str) -> None:
        self._topic = f"devices/{device_id}/data"
        self._body = {"device_id": device_id, "metric_type": "n"}
        self._next = 0
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=device_id)
        self._client.username_pw_set(*house.register_device(device_id))
        self._client.connect("127.0.0.1", house.mqtt_port)
        self._client.loop_start()

    def measure(self) -> None:
        """Publish; return once it is stored."""
        body = self._body | {"value": self._next, "timestamp": self._next}
        self._next += 1
        self._client.publish(self._topic, json.dumps(body), qos=1).wait_for_publish(10)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Publish again and again, until the end of the block."""
        is_over = threading.Event()

        def work() -> None:
            while not is_over.wait(0.02):
                self.measure()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def at_house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house is what the settings speak of, and its administrator is signed in."""
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", shared_house.login())
    return shared_house


@pytest.fixture
def device(at_house: House) -> Iterator[Device]:
    """A device that is connected."""
    device = Device(at_house, "cli-f")
    yield device
    device.close()


@pytest.mark.slow
def test_stored_events_come_first_and_then_what_happens(device: Device, run: Run) -> None:
    for _ in range(3):
        device.measure()
    words = ("follow", "--device", "medical/cli-f", *EVENTS, "--json")
    told = run(*words, "--since", "0", "--count", "3")
    assert told.status == 0, told.err
    events = [json.loads(line) for line in told.out.splitlines()]
    assert [event["data"]["value"] for event in events] == [0, 1, 2]
    with device.measuring():
        words = ("--query", "type:pulse_oximeter", "--device", "cli-f", *EVENTS)
        live = run("follow", *words, "--count", "2")
    assert live.status == 0, live.err
    assert live.out.count("medical/cli-f device.data.received") == 2


class Breaking(BaseHTTPRequestHandler):
    """Tells what `answers` holds, one for each connection, which breaks off at its end."""

    answers: ClassVar[list[str]]
    asked: ClassVar[list[dict[str, list[str]]]]

    def do_GET(self) -> None:
        self.asked.append(parse_qs(urlsplit(self.path).query))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answers.pop(0).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing beside the results."""


def sent(cursor: int) -> str:
    event = {"cursor": cursor, "event": "e", "app": "a", "device_id": "d", "received_at": "now"}
    return f"id: {cursor}\ndata: {json.dumps(event | {'data': {}})}\n\n"


def part(name: str, **members: object) -> str:
    return f"event: {name}\ndata: {json.dumps(members)}\n\n"


@contextmanager
def serving(*answers: str) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """Serve these; yield the URL and what was asked."""
    kind = type("Once", (Breaking,), {"answers": list(answers), "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", kind.asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is opened again at once."""
    monkeypatch.setattr("fleetwire.cli.follow.FIRST_PAUSE_S", 0.0)


@pytest.mark.usefixtures("impatient")
def test_after_a_lost_connection_it_goes_on_where_it_was(run: Run) -> None:
    unavailable = part("refused", status=503, detail="The server stops.", field=None)
    answers = (
        part("subscribed", cursor=9) + sent(3) + sent(4),
        part("subscribed", cursor=9) + unavailable,
        part("subscribed", cursor=12) + sent(7) + part("live", cursor=12),
        sent(13),
    )
    with serving(*answers) as (url, asked):
        told = run("follow", "--url", url, "--since", "1", "--count", "4", "--json")
    assert told.status == 0, told.err
    assert [json.loads(line)["cursor"] for line in told.out.splitlines()] == [3, 4, 7, 13]
    assert [each["since"] for each in asked] == [["1"], ["4"], ["4"], ["12"]]
    assert "The server stops." in told.err


@pytest.mark.usefixtures("impatient")
def test_who_asked_for_nothing_older_loses_nothing_from_the_beginning_on(run: Run) -> None:
    with serving(part("subscribed", cursor=9), sent(10)) as (url, asked):
        told = run("follow", "--url", url, "--count", "1")
    assert told.status == 0, told.err
    assert "since" not in asked[0]
    assert asked[1]["since"] == ["9"]


@pytest.mark.usefixtures("impatient")
def test_who_may_not_stay_is_told_why(run: Run) -> None:
    answer = sent(1) + part("refused", status=401, detail="The key was revoked.", field=None)
    with serving(answer) as (url, asked):
        told = run("follow", "--url", url)
    assert told.status == 1
    assert "The key was revoked." in told.err
    assert len(asked) == 1


@pytest.mark.usefixtures("impatient")
def test_who_joins_and_leaves_is_told_beside_the_events(run: Run) -> None:
    joined = [{"app": "a", "device_id": "new", "type": "x"}]
    answer = part("members", joined=joined, left=[{"app": "a", "device_id": "old"}]) + sent(1)
    with serving(answer) as (url, _):
        told = run("follow", "--url", url, "--group", "g", "--count", "1")
    assert "a/new joined" in told.err
    assert "a/old left" in told.err


@pytest.mark.slow
def test_a_refusal_and_a_server_that_is_not_there_are_told(
    at_house: House, run: Run, free_port: int
) -> None:
    refused = run("follow", "--group", "nobody")
    assert refused.status == 1
    assert "404" in refused.err
    nowhere = run("follow", "--url", f"http://127.0.0.1:{free_port}")
    assert nowhere.status == 1
    assert "Is the server running" in nowhere.err


def test_a_line_gives_no_orders_to_a_terminal() -> None:
    event = {"received_at": "now", "app": "a", "device_id": "d", "event": "e"}
    assert "\x1b" not in line(event | {"data": {"text": "\x1b[2J"}, "event": "\x1b[2J"})
