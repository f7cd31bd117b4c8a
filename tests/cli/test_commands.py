"""`fleetwire commands`."""

import json

import pytest

from tests.cli.conftest import Run
from tests.house import House


@pytest.fixture(scope="module")
def device(shared_house: House) -> str:
    name = shared_house.register_device("cmd-1").username
    answer = shared_house.http(shared_house.url).patch(
        f"/api/v1/devices/medical/{name}", json={"tags": ["cmd"]}, headers={"If-Match": "*"}
    )
    assert answer.status_code == 200, answer.text
    return name


@pytest.fixture
def at_house(shared_house: House, device: str, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house is what the settings speak of, and its administrator is signed in."""
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", shared_house.login())
    return shared_house


def test_a_command_is_sent_listed_shown_and_cancelled(at_house: House, run: Run) -> None:
    sent = run("commands", "send", "cmd-1", "go", "-p", "n=3", "-p", "how=slowly", "--json")
    assert sent.status == 0, sent
    command = json.loads(sent.out)
    assert command["parameters"] == {"n": 3, "how": "slowly"}
    assert command["state"] == "queued"
    shown = run("commands", "show", command["id"])
    assert shown.out.splitlines()[0] == f"{command['id']} queued"
    assert command["id"] in run("commands", "list", "cmd-1", "--state", "queued").out
    cancelled = run("commands", "cancel", command["id"])
    assert cancelled.out.startswith(f"{command['id']} cancelled")
    listed = json.loads(run("commands", "list", "cmd-1", "-s", "queued", "--json").out)
    assert command["id"] not in [each["id"] for each in listed]


def test_a_key_sends_once_and_another_command_is_refused(at_house: House, run: Run) -> None:
    words = ["commands", "send", "cmd-1", "go", "--key", "k", "--json"]
    first, second = (json.loads(run(*words).out) for _ in range(2))
    assert first["id"] == second["id"]
    refused = run("commands", "send", "cmd-1", "stop", "--key", "k")
    assert refused.status == 1
    assert "another command" in refused.err


def test_what_was_not_done_in_time_is_the_exit_status(at_house: House, run: Run) -> None:
    ended = run("commands", "send", "cmd-1", "go", "--expires-in", "1s", "--wait", "10s")
    assert ended.status == 1
    assert "expired" in ended.out
    assert "the device was not there in time" in ended.out


def test_a_batch_and_its_progress(at_house: House, run: Run) -> None:
    batch = json.loads(run("commands", "batch", "go", "cmd-1").out)
    shown = json.loads(run("commands", "progress", batch["id"]).out)
    assert (shown["total"], shown["refused_count"]) == (1, 0)


def test_a_command_goes_to_a_group(at_house: House, run: Run) -> None:
    assert run("groups", "create", "cmd-group", "tag:cmd").status == 0
    sent = json.loads(run("commands", "send", "--group", "cmd-group", "go", "--json").out)
    assert (sent["group"], sent["app"], sent["total"]) == ("cmd-group", "medical", 1)
    told = run("commands", "send", "--query", "tag:cmd", "go", "--app", "medical")
    assert told.status == 0
    assert "1 devices of medical" in told.out


def test_of_a_group_it_can_be_waited_for_the_outcomes(at_house: House, run: Run) -> None:
    words = ["commands", "send", "--query", "tag:cmd", "go"]
    ended = run(*words, "--expires-in", "1s", "--wait", "10s")
    assert ended.status == 1
    assert "1 expired" in ended.out


def test_a_command_is_for_a_device_or_for_many(at_house: House, run: Run) -> None:
    for words in (["go"], ["cmd-1", "go", "--group", "g"], ["go", "--group", "g", "--query", "q"]):
        refused = run("commands", "send", *words)
        assert refused.status == 1
        assert "--group" in refused.err or "DEVICE NAME" in refused.err


def test_a_parameter_without_a_value_is_refused(at_house: House, run: Run) -> None:
    refused = run("commands", "send", "cmd-1", "go", "-p", "n")
    assert refused.status == 1
    assert "NAME=VALUE" in refused.err
