"""The command line and the examples against a real server."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_doctor import findings
from tests.house import House

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_S = 30


@pytest.fixture
def at_house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house, whose ports and data folder are what the settings say."""
    monkeypatch.setenv("FLEETWIRE_DATA_DIR", str(shared_house.data_dir))
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_MQTT_PORT", str(shared_house.mqtt_port))
    monkeypatch.setenv("FLEETWIRE_MQTT_WS_PORT", str(shared_house.mqtt_ws_port))
    ports = ",".join(f"{app}={port}" for app, port in shared_house.app_ports.items())
    monkeypatch.setenv("FLEETWIRE_APP_PORTS", ports)
    monkeypatch.setenv("FLEETWIRE_APPS", ",".join(shared_house.app_ports))
    return shared_house


def test_login_writes_a_token_that_the_other_commands_take(
    run: Run, at_house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert at_house.administrator is not None
    username, password = at_house.administrator
    (tmp_path / "password").write_text(password + "\n")
    with (tmp_path / "password").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        outcome = run("login", username, "--password-stdin")
    assert outcome.status == 0, outcome.err

    monkeypatch.setenv("FLEETWIRE_TOKEN", outcome.out.strip())
    registered = run("devices", "register", "cli-1", "--type", "weight_scale", "-a", "patient_id=P")
    assert registered.status == 0, registered.err
    login = dict(line.split() for line in registered.out.splitlines())

    payload = '{"metric_type": "weight", "value": 74.2}'
    me = ("-u", login["username"], "-P", login["password"])
    assert run("publish", "devices/cli-1/data", payload, *me).status == 0
    assert at_house.select("SELECT value FROM device_readings WHERE device_id = 'cli-1'") == [
        (74.2,)
    ]
    refused = run("publish", "devices/other/data", payload, *me)
    assert refused.status == 1
    assert "refused" in refused.err

    listed = run("devices", "list")
    assert re.search(r"medical +cli-1 +weight_scale", listed.out)


def test_without_a_token_it_says_how_to_get_one(run: Run, at_house: House) -> None:
    outcome = run("devices", "list")
    assert outcome.status == 1
    assert "export FLEETWIRE_TOKEN=$(fleetwire login)" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_wrong_password_is_one_line(
    run: Run, at_house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("wrong\n")
    with (tmp_path / "password").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        outcome = run("login", "nobody", "--password-stdin")
    assert outcome.status == 1
    assert "401" in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_doctor_is_content_with_a_running_server(
    run: Run, at_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETWIRE_TOKEN", at_house.login())
    device = at_house.register_device("doctor-1")
    outcome = run("doctor", "--json", "-u", device.username, "-P", device.password)
    found = findings(outcome)
    assert outcome.status == 0, outcome.out
    assert {level for level, _ in found.values()} == {"good"}
    assert "by the Fleetwire that runs here" in found["mqtt port"][1]
    assert "answers" in found["broker"][1]
    assert found["credential"] == ("good", "doctor-1 may connect")
    assert found["sign-in"] == ("good", "FLEETWIRE_TOKEN is accepted")
    assert found["database content"] == ("good", "whole")


def test_the_doctor_tells_a_bad_credential(run: Run, at_house: House) -> None:
    outcome = run("doctor", "--json", "-u", "doctor-2", "-P", "wrong")
    assert outcome.status == 1
    assert findings(outcome)["credential"][0] == "wrong"


def test_simulated_devices_are_registered_connect_and_are_stored(
    run: Run, at_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETWIRE_TOKEN", at_house.login())
    words = ("simulate", "medical", "--devices", 6, "--rate", 5, "--duration", "1s")
    for _ in range(2):  # the second time the devices are there already
        outcome = run(*words)
        assert outcome.status == 0, outcome.err
        assert "errors 0" in outcome.out
    count = "SELECT count(DISTINCT device_id) FROM device_readings WHERE device_id LIKE 'sim-%'"
    assert at_house.select(count) == [(6,)]


def test_simulate_needs_an_account(run: Run, at_house: House) -> None:
    outcome = run("simulate", "medical")
    assert outcome.status == 1
    assert "--username" in outcome.err


def test_migrate_will_not_touch_a_database_in_use(run: Run, at_house: House) -> None:
    outcome = run("migrate")
    assert outcome.status == 2
    assert "Another Fleetwire is running" in outcome.err


def test_migrate_makes_a_database_once(run: Run) -> None:
    first, second = run("migrate"), run("migrate")
    assert first.status == second.status == 0
    assert "applied 0001_first" in first.out
    assert second.out == "The database is up to date.\n"


def test_the_examples_publish_and_watch(shared_house: House) -> None:
    device = shared_house.register_device("example-1")
    port = shared_house.app_ports["medical"]
    watching = subprocess.Popen(
        [
            *(sys.executable, EXAMPLES / "watch.py", shared_house.login()),
            *("--url", f"ws://127.0.0.1:{port}/ws/mqtt", "--device", "example-1", "--count", "20"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "watching\n"
        published = subprocess.run(
            [
                *(sys.executable, EXAMPLES / "publish_paho.py", "example-1", device.password),
                *("--port", str(shared_house.mqtt_port)),
            ],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        assert published.stdout == "stored\n"
        events: list[dict[str, Any]] = []
        while "device.data.received" not in {event["type"] for event in events}:
            events.append(json.loads(watching.stdout.readline()))
        assert events[-1]["systolic"] == 121
        assert events[-1]["topic"] == "devices/example-1/data"
    finally:
        watching.kill()
        watching.communicate()


def test_the_watching_example_says_why_it_was_refused(shared_house: House) -> None:
    port = shared_house.app_ports["medical"]
    watching = subprocess.run(
        [
            *(sys.executable, EXAMPLES / "watch.py", "no-token"),
            *("--url", f"ws://127.0.0.1:{port}/ws/mqtt"),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert watching.returncode == 1
    assert watching.stderr.startswith("4401 ")
