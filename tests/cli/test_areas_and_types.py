"""`fleetwire areas`, `fleetwire types` and `fleetwire devices export`."""

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.house import House


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


def test_a_tree_is_made_filled_moved_and_removed(at_house: House, run: Run) -> None:
    for device_id in ("ar-1", "ar-2"):
        at_house.register_device(device_id, "ecg_monitor")
    assert good(run, "areas", "create", "Site/Floor 2/Ward 3") == "Site/Floor 2/Ward 3\n"
    good(run, "areas", "create", "Site/Floor 2/Ward 4")
    assert run("areas", "create", "Site/Floor 2").status == 1
    out = good(run, "areas", "assign", "Site/Floor 2/Ward 3", "ar-1", "ar-2")
    assert out == "2 devices are in Site/Floor 2/Ward 3\n"
    assert good(run, "areas", "tree", "Site/Floor 2") == (
        "Floor 2  (2 devices)\n  Ward 3  (2 devices)\n  Ward 4  (0 devices)\n"
    )
    assert good(run, "areas", "move", "Site/Floor 2", "Annex") == "Annex\n"
    out = good(run, "areas", "assign", "Annex/Ward 4", "--query", "area:Annex and not tag:x")
    assert out == "2 devices are in Annex/Ward 4\n"
    good(run, "areas", "assign", "-", "ar-2")
    shown = json.loads(good(run, "areas", "tree", "Annex", "--json"))
    assert [(each["path"], each["device_count"]) for each in shown] == [
        ("Annex", 0),
        ("Annex/Ward 3", 0),
        ("Annex/Ward 4", 1),
    ]
    refused = run("areas", "delete", "Annex/Ward 4")
    assert refused.status == 1
    assert "0 areas and 1 device" in refused.err
    good(run, "areas", "delete", "Annex/Ward 3")
    assert "There is no area 'Annex/Ward 3'" in run("areas", "delete", "Annex/Ward 3").err
    assert run("areas", "assign", "Annex").status != 0


def test_a_type_is_made_shown_taken_from_a_file_and_removed(
    at_house: House, run: Run, tmp_path: Path
) -> None:
    words = ("--metric", "temperature:Cel:2:8", "--metric", "door", "--state", "idle")
    assert (
        good(run, "types", "create", "cli-fridge", *words, "--command", "reset") == "cli-fridge\n"
    )
    listed = {each["name"]: each for each in json.loads(good(run, "types", "list", "--json"))}
    assert listed["pulse_oximeter"]["app"] == "medical"
    assert listed["cli-fridge"]["metrics"][0]["high"] == 8
    assert "temperature 2…8 Cel" in good(run, "types")
    shown = good(run, "types", "show", "cli-fridge")
    assert set(json.loads(shown)).isdisjoint({"app", "created_at"})
    (tmp_path / "types.json").write_text(
        json.dumps([json.loads(shown) | {"states": ["on"]}, {"name": "cli-lamp"}])
    )
    out = good(run, "types", "import", "types.json")
    assert out == "cli-fridge changed\ncli-lamp created\n"
    assert json.loads(good(run, "types", "show", "cli-fridge"))["states"] == ["on"]
    assert json.loads(good(run, "types", "show", "cli-fridge"))["metrics"][1]["name"] == "door"
    (tmp_path / "types.json").write_text('{"name": "cli-fridge"}')
    good(run, "types", "import", "types.json")
    assert json.loads(good(run, "types", "show", "cli-fridge"))["metrics"] == []
    good(run, "types", "delete", "cli-fridge")
    assert run("types", "show", "cli-fridge").status == 1


@pytest.mark.parametrize("metric", ["a:b:c:d:e", ":Cel", "t:Cel:x", "t:Cel:1:nan"])
def test_a_metric_out_of_form_is_refused(run: Run, metric: str) -> None:
    assert run("types", "create", "x", "--metric", metric).status == 2


@pytest.mark.parametrize("text", ["[", "[1]", "{}", '[{"name": 1}]'])
def test_a_file_of_types_out_of_form_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "types.json").write_text(text)
    assert run("types", "import", "types.json").status == 1


def test_devices_are_written_to_a_file_and_no_file_is_written_over(
    at_house: House, run: Run, tmp_path: Path
) -> None:
    at_house.register_device("ex-1", "export me")
    query = ("--query", 'type:"export me"')
    assert "1 device in fleet.csv" in run("devices", "export", "fleet.csv", *query).err
    with (tmp_path / "fleet.csv").open(newline="") as file:
        assert [row["device_id"] for row in csv.DictReader(file)] == ["ex-1"]
    (tmp_path / "fleet.csv").write_text("precious")
    assert run("devices", "export", "fleet.csv", *query).status == 1
    assert run("devices", "export", "fleet.csv", "--query", "bad", "--force").status == 1
    assert (tmp_path / "fleet.csv").read_text() == "precious"
    assert run("devices", "export", "fleet.csv", *query, "--force").status == 0
    assert "1 device in fleet.json" in run("devices", "export", "fleet.json", *query).err
    assert [each["device_id"] for each in json.loads((tmp_path / "fleet.json").read_text())] == [
        "ex-1"
    ]
    out = good(run, "devices", "export", "-", "-f", "ndjson", *query)
    assert json.loads(out)["type"] == "export me"
    assert run("devices", "export", "fleet.xls").status == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.csv", "fleet.json"]


def test_devices_are_listed_that_a_query_means(at_house: House, run: Run) -> None:
    at_house.register_device("li-1", "list me")
    good(run, "areas", "create", "List/Here")
    good(run, "areas", "assign", "List/Here", "li-1")
    assert "List/Here" in good(run, "devices", "list", "-q", "area:List")
    listed = json.loads(good(run, "devices", "list", "-q", 'type:"list me"', "--json"))
    assert [(each["device_id"], each["area"]) for each in listed] == [("li-1", "List/Here")]
