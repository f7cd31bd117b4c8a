"""`fleetwire devices import` and `fleetwire groups`."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleetwire.cli import device_import
from fleetwire.cli.rest import RestClient, RestError
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


def test_an_import_is_a_job_that_others_can_watch(
    at_house: House, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_import, "PORTION", 2)
    rows = "".join(f"job-{number},x\n" for number in range(3))
    (tmp_path / "fleet.csv").write_text(f"device_id,type\n{rows}a/b,x\n")
    done = run("devices", "import", "fleet.csv", "--credentials", "out.csv")
    id = done.err.split()[1]
    job = json.loads(run("jobs", "watch", id, "--json").out)
    assert (job["state"], job["done"], job["total"]) == ("succeeded", 4, 4)
    assert job["counts"] == {"created": 3, "refused": 1}
    shown = run("jobs", "show", id)
    assert shown.out == "device.import succeeded, 4 of 4 done: 3 created, 1 refused\n"
    listed = json.loads(run("jobs", "--kind", "device.import", "--json").out)
    assert id in [each["id"] for each in listed]
    assert id in run("jobs").out
    assert run("jobs", "--state", "failed").err == "There are no jobs.\n"
    assert run("jobs", "cancel", id).status == 1  # it is over
    assert run("jobs", "show", "nothing").status == 1


def test_an_import_that_is_stopped_is_a_cancelled_job(
    at_house: House, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = device_import._send

    def stop_at_the_second(client: RestClient, path: str, portion: list[Any]) -> list[Any]:
        if portion[0]["device_id"] == "stopped-2":
            raise KeyboardInterrupt
        return sent(client, path, portion)

    monkeypatch.setattr(device_import, "PORTION", 1)
    monkeypatch.setattr(device_import, "_send", stop_at_the_second)
    (tmp_path / "fleet.csv").write_text("device_id,type\nstopped-1,x\nstopped-2,x\n")
    stopped = run("devices", "import", "fleet.csv", "--credentials", "out.csv")
    assert stopped.status == 130
    watched = run("jobs", "watch", stopped.err.split()[1])
    assert watched.status == 1
    assert "cancelled (Cancelled by account:1.), 1 of 2 done" in watched.out


@pytest.mark.slow
def test_an_import_goes_on_after_a_restart_of_the_server(
    house: House, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETWIRE_HTTP_PORT", str(house.http_port))
    monkeypatch.setenv("FLEETWIRE_TOKEN", house.login())
    sent = device_import._send
    states: list[str] = []

    def restart_before_the_second(client: RestClient, path: str, portion: list[Any]) -> list[Any]:
        if portion[0]["device_id"] == "cut-2":
            house.stop()
            house.start()
            states.append(client.get(f"/api/v1/jobs/{path.partition('job=')[2]}")["state"])
        return sent(client, path, portion)

    monkeypatch.setattr(device_import, "PORTION", 1)
    monkeypatch.setattr(device_import, "_send", restart_before_the_second)
    (tmp_path / "fleet.csv").write_text("device_id,type\ncut-1,x\ncut-2,x\n")
    done = run("devices", "import", "fleet.csv", "--credentials", "out.csv")
    assert done.status == 0, done.err
    assert states == ["interrupted"]
    watched = run("jobs", "watch", done.err.split()[1])
    assert watched.out == "device.import succeeded, 2 of 2 done: 2 created\n"


class Answers:
    """A server that answers a portion with these, one after the other."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.keys: list[str] = []

    def post(self, path: str, body: object, *, key: str) -> object:
        self.keys.append(key)
        answer = self.answers.pop(0)
        if isinstance(answer, RestError):
            raise answer
        return answer


AWAY = RestError("nothing listens")
CUT_OFF = RestError("was cut off", 409)
PORTION = [{"device_id": "first"}, {"device_id": "last"}]


def test_a_portion_without_an_answer_comes_again_by_the_same_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_import, "LOOK_AGAIN_S", 0)
    server = Answers(AWAY, AWAY, {"items": [1]})
    assert device_import._send(server, "/", PORTION) == [1]  # type: ignore[arg-type]  # a fake
    assert len(set(server.keys)) == 1


def test_who_was_perhaps_registered_without_a_password_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(device_import, "LOOK_AGAIN_S", 0)
    server = Answers(AWAY, CUT_OFF, {"items": [1]})
    assert device_import._send(server, "/", PORTION) == [1]  # type: ignore[arg-type]  # a fake
    assert server.keys[0] == server.keys[1] != server.keys[2]
    assert "cut off between first and last" in capsys.readouterr().err
    with pytest.raises(RestError):  # a conflict of another kind is not overridden
        device_import._send(Answers(CUT_OFF), "/", PORTION)  # type: ignore[arg-type]  # a fake


def test_patience_with_a_server_that_is_away_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_import, "PATIENCE_S", 0)
    with pytest.raises(RestError):
        device_import._send(Answers(AWAY, AWAY), "/", PORTION)  # type: ignore[arg-type]  # a fake


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
