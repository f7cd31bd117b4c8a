"""`fleetwire simulate` against the embedded broker and a registry that is a few lines long."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.cli.conftest import BrokerThread, Run

TOPICS = {name: f"mine/+/{name}" for name in ("data", "status", "commands")}


class Registry(ThreadingHTTPServer):
    """Registers each device once, and gives `me` with the given password as its credential."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.password = "right"
        self.devices: dict[str, Any] = {}
        self.issued: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        registry = self.server
        assert isinstance(registry, Registry)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        credential = {"username": "me", "password": registry.password}
        if self.headers["Authorization"] != "Bearer good":
            self._answer(401, {"detail": "wrong token"})
        elif self.path.endswith("/credentials"):
            registry.issued.append(self.path)
            self._answer(201, credential)
        elif body["device_id"] in registry.devices:
            self._answer(409, {"detail": "taken"})
        else:
            registry.devices[body["device_id"]] = body
            topics = {name: topic.replace("+", body["device_id"]) for name, topic in TOPICS.items()}
            self._answer(201, {"mqtt": {**credential, "topics": topics}})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("FLEETWIRE_TOKEN", "good")
    with Registry() as server:
        # It looks for its end so often, in seconds.
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def words(registry: Registry, broker: BrokerThread, *more: object) -> list[Any]:
    return [
        *("simulate", "medical", "--devices", 4, "--rate", 20, "--duration", "500ms"),
        *("--url", registry.url, "--platform-url", registry.url, "--port", broker.port),
        *more,
    ]


def test_each_device_is_registered_and_everything_it_sends_acknowledged(
    run: Run, registry: Registry, broker: BrokerThread
) -> None:
    outcome = run(*words(registry, broker))
    assert outcome.status == 0, outcome.err
    assert sorted(registry.devices) == ["sim-0001", "sim-0002", "sim-0003", "sim-0004"]
    assert registry.devices["sim-0001"]["patient_id"] == "SIM-P-0001"
    figures = dict(part.rsplit(" ", 1) for part in outcome.out.strip().split("  ")[1:6])
    assert figures["connected"] == "0"  # it said goodbye
    assert int(figures["sent"]) == int(figures["acknowledged"]) > 4 * 3
    assert "errors 0" in outcome.out


def test_devices_of_an_earlier_run_get_a_new_credential(
    run: Run, registry: Registry, broker: BrokerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*words(registry, broker))
    assert registry.issued == []
    for variable, name in (("DEVICES", "data"), ("STATUS", "status"), ("COMMANDS", "commands")):
        monkeypatch.setenv(f"MQTT_TOPIC_{variable}", TOPICS[name])
    outcome = run(*words(registry, broker))
    assert outcome.status == 0, outcome.err
    assert sorted(registry.issued)[0] == "/api/v1/devices/medical/sim-0001/credentials"
    assert len(registry.issued) == 4


def test_devices_that_may_not_connect_are_told_once(
    run: Run, registry: Registry, broker: BrokerThread
) -> None:
    registry.password = "wrong"
    outcome = run(*words(registry, broker))
    assert outcome.status == 1
    assert "4 × Bad User Name or Password (0x86)" in outcome.err
    assert outcome.err.count("×") == 1


def test_a_wrong_token_ends_it_before_it_begins(
    run: Run, registry: Registry, broker: BrokerThread
) -> None:
    outcome = run(*words(registry, broker, "--token", "bad"))
    assert outcome.status == 1
    assert "401 wrong token" in outcome.err
    assert registry.devices == {}


def test_without_an_account_it_says_what_is_missing(
    run: Run, registry: Registry, broker: BrokerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLEETWIRE_TOKEN")
    outcome = run(*words(registry, broker))
    assert outcome.status == 1
    assert "--username, --token or FLEETWIRE_TOKEN" in outcome.err


def test_only_known_families(run: Run) -> None:
    outcome = run("simulate", "toasters")
    assert outcome.status == 2
    assert "there are no virtual 'toasters' devices" in outcome.err
