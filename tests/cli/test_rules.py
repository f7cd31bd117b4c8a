"""`fleetwire rules`."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.house import House

CHAIN = {
    "app": "medical",
    "id": "cli-hot",
    "name": "Hot",
    "nodes": [
        {
            "id": "f",
            "type": "filter",
            "config": {
                "sourceType": "sensor",
                "UUID": "ru-1",
                "key": "temperature",
                "operator": "isNull",
            },
            "next": "a",
        },
        {"id": "a", "type": "action", "config": {"type": "ALARM", "alarm": {"name": "silent"}}},
    ],
}


@pytest.fixture
def at_house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house is what the settings speak of, and its administrator is signed in."""
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", shared_house.login())
    return shared_house


def good(run: Run, *words: str) -> str:
    done = run(*words)
    assert done.status == 0, done.err
    return done.out


def test_a_chain_is_imported_run_tried_changed_and_removed(
    at_house: House, run: Run, tmp_path: Path
) -> None:
    at_house.register_device("ru-1", "ecg_monitor")
    file = tmp_path / "hot.json"
    file.write_text(json.dumps(CHAIN))
    assert good(run, "rules", "import", str(file)) == "medical\tcli-hot\tcreated\n"
    shown = json.loads(good(run, "rules", "show", "medical", "cli-hot"))
    assert (shown["name"], len(shown["nodes"])) == ("Hot", 2)
    file.write_text(json.dumps([shown | {"name": "Silent"}]))
    assert good(run, "rules", "import", str(file)) == "medical\tcli-hot\tchanged\n"
    assert "Silent" in good(run, "rules")

    out = good(run, "rules", "run", "medical", "cli-hot", "--trigger", "t", "--json")
    assert [node["outcome"] for node in json.loads(out)[0]["nodes"]] == ["passed", "done"]
    assert "a done" in " ".join(good(run, "rules", "log", "medical", "cli-hot").split())
    runs = json.loads(good(run, "rules", "log", "medical", "cli-hot", "--json"))
    assert [(each["trigger"], each["kind"]) for each in runs] == [("manual:t", "manual")]
    assert good(run, "rules", "try", "medical", "cli-hot") == "0 readings: no run\n"

    good(run, "rules", "disable", "medical", "cli-hot")
    listed = {each["id"]: each for each in json.loads(good(run, "rules", "list", "--json"))}
    assert listed["cli-hot"]["enabled"] is False
    good(run, "rules", "enable", "medical", "cli-hot")
    good(run, "rules", "delete", "medical", "cli-hot")
    assert "There is no rule chain 'cli-hot'" in run("rules", "show", "medical", "cli-hot").err


def test_a_file_that_is_no_chain_is_refused(at_house: House, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for content in ("{", "[1]", '{"name": "x"}'):
        file.write_text(content)
        refused = run("rules", "import", str(file))
        assert refused.status == 1
        assert str(file) in refused.err
