"""`fleetwire devices import` and `fleetwire groups`."""

import json
from pathlib import Path

import pytest

from fleetwire.cli import device_import
from fleetwire.errors import FleetwireError
from tests.cli.conftest import Run
from tests.house import House

FLEET = """device_id,type,tags,attr.floor
imp-1,ecg_monitor,cold ward-3,2
imp-2,ecg_monitor,,3
"""


@pytest.fixture
def at_house(shared_house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The house is what the settings speak of, and its administrator is signed in."""
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(shared_house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", shared_house.login())
    return shared_house


def test_a_file_is_tried_dry_imported_and_found_by_a_group(
    at_house: House, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_import, "PORTION", 1)
    (tmp_path / "fleet.csv").write_text(FLEET)
    dry = run("devices", "import", "fleet.csv", "--dry-run")
    assert (dry.status, dry.out.split(" (")[0]) == (
        0,
        "2 created, 0 changed, 0 unchanged, 0 refused",
    )
    assert run("devices", "import", "fleet.csv").status == 1  # nowhere to put the passwords
    done = run("devices", "import", "fleet.csv", "--credentials", "out.csv")
    assert done.out.strip() == "2 created, 0 changed, 0 unchanged, 0 refused"
    given = dict(row.split(",") for row in (tmp_path / "out.csv").read_text().split())
    assert list(given) == ["imp-1", "imp-2"]
    assert (tmp_path / "out.csv").stat().st_mode & 0o077 == 0
    again = run("devices", "import", "fleet.csv", "--credentials", "out2.csv")
    assert again.out.strip() == "0 created, 0 changed, 2 unchanged, 0 refused"

    assert run("groups", "create", "cold-2", "tag:cold and attr.floor=2").status == 0
    assert "cold-2\ttag:cold and attr.floor=2" in run("groups").out
    assert run("groups", "devices", "cold-2").out == "medical\timp-1\n"
    assert run("groups", "delete", "cold-2").status == 0
    refused = run("groups", "create", "bad", "tag:cold und")
    assert refused.status == 1
    assert "character 10" in refused.err


def test_a_refused_line_is_told_and_is_the_exit_status(
    at_house: House, run: Run, tmp_path: Path
) -> None:
    lines = [{"device_id": "a/b", "type": "x"}, {"device_id": "imp-3", "type": "x"}]
    (tmp_path / "fleet.json").write_text(json.dumps(lines))
    done = run("devices", "import", "fleet.json", "--credentials", "out.csv")
    assert done.status == 1
    assert done.out.strip() == "1 created, 0 changed, 0 unchanged, 1 refused"
    assert "device 1, a/b: device_id stands in topics" in done.err


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("f.csv", "device_id,colour\nd,red\n", "not colour"),
        ("f.csv", "device_id,type\nd\n", "line 2"),
        ("f.csv", "device_id,type\nd,t,more\n", "line 2"),
        ("f.csv", "", "must name device_id"),
        ("f.json", "{}", "list of objects"),
        ("f.json", "[", "is no JSON"),
        ("f.csv", "\udcff", "cannot be read"),
    ],
)
def test_a_file_out_of_form_is_refused_with_its_place(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FleetwireError, match=words):
        device_import.read(tmp_path / name, "medical")


def test_passwords_overwrite_no_file(at_house: House, run: Run, tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text("device_id,type\nimp-9,x\n")
    (tmp_path / "out.csv").write_text("precious")
    assert run("devices", "import", "fleet.csv", "--credentials", "out.csv").status == 1
    assert (tmp_path / "out.csv").read_text() == "precious"
