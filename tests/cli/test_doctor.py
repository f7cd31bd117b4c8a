"""What the doctor finds without a running Fleetwire; test_with_house.py has the rest."""

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from fleetwire.settings import secret_file
from fleetwire.store.migrate import FOLDER
from tests.cli.conftest import BrokerThread, Run

PORTS = ("--http-port", 0, "--mqtt-port", 0, "--mqtt-ws-port", 0, "--app-port", "medical=0")
PORTS += ("--apps", "medical")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def findings(outcome: Any) -> dict[str, tuple[str, str]]:
    """Return (level, what was found and advised) by what it is about, from the JSON form."""
    checks = json.loads(outcome.out)["checks"]
    return {check["about"]: (check["level"], check["found"] + check["advice"]) for check in checks}


def test_all_is_well_before_the_first_start(run: Run, tmp_path: Path) -> None:
    outcome = run("doctor", *PORTS)
    assert outcome.status == 0, outcome.out
    assert "All is well." in outcome.out
    assert "✗" not in outcome.out
    assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind


def test_json_says_the_same(run: Run) -> None:
    outcome = run("doctor", "--json", *PORTS)
    answer = json.loads(outcome.out)
    assert answer["ok"] is True
    assert answer["settings"]["mqtt_port"] == {"value": "0", "from": "command line"}
    assert findings(outcome)["broker"][0] == "notice"  # it does not run now


def test_a_wrong_setting_is_shown_and_the_rest_still_looked_at(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETWIRE_HTTP_PROT", "1")
    outcome = run("doctor")
    assert outcome.status == 1
    assert "✗ configuration: FLEETWIRE_HTTP_PROT" in outcome.out
    assert "✓ clock" in outcome.out


def test_secrets_are_masked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETWIRE_JWT_SECRET", "s3cret" * 8)
    for form in ((), ("--json",)):
        outcome = run("doctor", *PORTS, *form)
        assert outcome.status == 0
        assert "s3cret" not in outcome.out
        assert "********" in outcome.out


def test_a_taken_port_names_the_setting(run: Run, taken_port: int) -> None:
    outcome = run("doctor", "--json", *PORTS, "--mqtt-ws-port", taken_port)
    assert outcome.status == 1
    level, text = findings(outcome)["mqtt websocket port"]
    assert level == "wrong"
    assert f"{taken_port} is taken by another program" in text
    assert "FLEETWIRE_MQTT_WS_PORT" in text


def test_an_address_of_another_machine(run: Run) -> None:
    outcome = run("doctor", "--json", "--bind", "192.0.2.1")
    assert outcome.status == 1
    assert "192.0.2.1 is no address of this machine" in findings(outcome)["mqtt port"][1]


def test_a_port_for_an_app_that_does_not_run(run: Run) -> None:
    outcome = run("doctor", "--json", *PORTS, "--app-port", "farm=0")
    assert "a port is set for farm" in findings(outcome)["apps"][1]


def test_a_data_folder_that_cannot_be(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = run("doctor", "--json", *PORTS, "--data-dir", tmp_path / "file" / "data")
    assert outcome.status == 1
    assert "cannot be written" in findings(outcome)["data folder"][1]


def test_a_secret_open_to_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "jwt.secret"
    secret_file(path)
    assert findings(run("doctor", "--json", *PORTS))["token secret"][0] == "good"
    path.chmod(0o644)
    level, text = findings(run("doctor", "--json", *PORTS))["token secret"]
    assert level == "wrong"
    assert "chmod 600" in text


def database(folder: Path, *statements: str) -> Path:
    (folder / "data").mkdir()
    path = folder / "data" / "fleetwire.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return path


NEWEST = ScriptDirectory(str(FOLDER)).get_current_head()
VERSIONED = (
    "CREATE TABLE alembic_version (version_num TEXT)",
    f"INSERT INTO alembic_version VALUES ('{NEWEST}')",
    "CREATE TABLE alembic_version_medical (version_num TEXT)",
    "INSERT INTO alembic_version_medical VALUES ('medical_0001')",
)


def test_a_whole_database(run: Run, tmp_path: Path) -> None:
    path = database(tmp_path, "PRAGMA journal_mode=WAL", *VERSIONED)
    found = findings(run("doctor", "--json", *PORTS))
    assert found["database"][0] == "good"
    assert found["database version"] == ("good", f"platform {NEWEST}, medical medical_0001")
    assert found["database content"] == ("good", "whole")
    assert [each.name for each in path.parent.iterdir()] == ["fleetwire.db"]


def test_a_database_without_a_log_ahead(run: Run, tmp_path: Path) -> None:
    database(tmp_path, *VERSIONED)
    assert findings(run("doctor", "--json", *PORTS))["database"][0] == "notice"


def test_somebody_elses_database(run: Run, tmp_path: Path) -> None:
    database(tmp_path, "CREATE TABLE t (x)")
    level, text = findings(run("doctor", "--json", *PORTS))["database version"]
    assert level == "wrong"
    assert "not Fleetwire's" in text


def test_a_database_of_an_older_version(run: Run, tmp_path: Path) -> None:
    database(tmp_path, *VERSIONED, "DELETE FROM alembic_version_medical")
    level, text = findings(run("doctor", "--json", *PORTS))["database version"]
    assert level == "notice"
    assert "medical none, needed is medical_0001" in text


def test_a_database_of_a_newer_version(run: Run, tmp_path: Path) -> None:
    database(tmp_path, *VERSIONED, "UPDATE alembic_version SET version_num = '9999_future'")
    outcome = run("doctor", "--json", *PORTS)
    assert outcome.status == 1
    assert "platform 9999_future is not known here" in findings(outcome)["database version"][1]


def test_a_damaged_database(run: Run, tmp_path: Path) -> None:
    fill = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 5000)"
    path = database(
        tmp_path,
        "PRAGMA journal_mode=WAL",
        *VERSIONED,
        "CREATE TABLE t (x, y)",
        f"{fill} SELECT i, randomblob(100) FROM n",
        "CREATE INDEX i ON t (y)",
    )
    content = bytearray(path.read_bytes())
    content[8192:-8192] = bytes(len(content) - 16384)
    path.write_bytes(content)
    outcome = run("doctor", "--json", *PORTS)
    assert outcome.status == 1
    assert "wrong" in {level for level, _ in findings(outcome).values()}


def test_a_file_that_is_no_database(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fleetwire.db").write_bytes(b"something else" * 100)
    level, text = findings(run("doctor", "--json", *PORTS))["database"]
    assert level == "wrong"
    assert "not a database" in text


@pytest.mark.parametrize(
    ("login", "level", "said"),
    [
        ("me:right@", "good", "accepts us"),
        ("me:wrong@", "wrong", "The user name or password is wrong: MQTT_BROKER_URL"),
        ("", "wrong", "Clients without a credential"),
    ],
)
def test_an_external_broker_is_really_asked(
    run: Run,
    strict_broker: BrokerThread,
    monkeypatch: pytest.MonkeyPatch,
    login: str,
    level: str,
    said: str,
) -> None:
    monkeypatch.setenv("MQTT_BROKER_URL", f"mqtt://{login}127.0.0.1:{strict_broker.port}")
    outcome = run("doctor", "--json", *PORTS)
    assert outcome.status == (0 if level == "good" else 1)
    found = findings(outcome)["broker"]
    assert found[0] == level
    assert said in found[1]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mqtt://127.0.0.1:{free}", "Start the broker"),
        ("mqtt://no-such-host.invalid", "Correct the host name"),
        ("mqtts://127.0.0.1:{broker}", "mqtt:// or mqtts://"),
    ],
)
def test_an_external_broker_that_cannot_be_reached(
    run: Run,
    broker: BrokerThread,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    said: str,
) -> None:
    monkeypatch.setenv("MQTT_BROKER_URL", url.format(free=free_port, broker=broker.port))
    outcome = run("doctor", "--json", *PORTS)
    assert outcome.status == 1
    assert said in findings(outcome)["broker"][1]


def test_an_external_broker_whose_certificate_cannot_be_checked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_BROKER_URL", "mqtts://127.0.0.1:1")
    monkeypatch.setenv("MQTT_BROKER_CA", "nowhere.pem")
    outcome = run("doctor", "--json", *PORTS)
    assert outcome.status == 1
    checks = {each["about"]: each for each in json.loads(outcome.out)["checks"]}
    found = checks["broker"]["found"]
    assert found == "External broker: ca = nowhere.pem cannot be used: No such file or directory"
    assert "mqtt port" not in checks  # none is opened


def test_a_key_set_that_is_not_there(
    run: Run, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETWIRE_JWKS_URL", f"http://127.0.0.1:{free_port}/jwks.json")
    outcome = run("doctor", "--json", *PORTS)
    assert outcome.status == 1
    assert "Correct FLEETWIRE_JWKS_URL" in findings(outcome)["token keys"][1]
