"""What the command says of itself, and of mistakes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run

COMMANDS = (
    *("serve", "doctor", "publish", "subscribe", "simulate"),
    *("login", "devices", "migrate", "version"),
    *("clients", "retained", "trace", "follow"),
    *("jobs", "quarantine", "audit"),
)


def test_help_names_every_command(run: Run) -> None:
    outcome = run("--help")
    assert outcome.status == 0
    for command in COMMANDS:
        assert command in outcome.out


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("devices", "version")])
def test_each_help_has_an_example(run: Run, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.status == 0
    assert f"fleetwire {command}" in outcome.out


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'sqlalchemy', 'fastapi', 'uvicorn', 'pydantic', 'asyncio', 'fleetwire.settings'}"
    program = f"import sys, fleetwire.cli.main; print({heavy} & set(sys.modules) or 'nothing')"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout.strip() == "nothing"


def test_asking_a_server_does_not_load_what_makes_one(free_port: int) -> None:
    heavy = "{'sqlalchemy', 'fastapi', 'uvicorn', 'alembic'}"
    program = (
        "import sys\n"
        "from fleetwire.cli.main import main\n"
        "try: main()\n"
        f"except SystemExit: print({heavy} & set(sys.modules) or 'nothing')"
    )
    words = ["jobs", "--url", f"http://127.0.0.1:{free_port}"]
    ended = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "Nothing listens" in ended.stderr
    assert ended.stdout.strip() == "nothing"


def test_an_unknown_option_is_a_usage_error(run: Run) -> None:
    outcome = run("serve", "--no-such-option")
    assert outcome.status == 2
    assert "--no-such-option" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve", "--http-port", "70000"), "--http-port (command line) must be from 0 to 65535"),
        (("serve", "--bind", "nowhere"), "--bind (command line) must be an address"),
        (("serve", "--app-port", "medical"), "--app-port (command line) must be app=port"),
        (("serve", "--apps", "no_such_app"), "no app is called 'no_such_app'"),
    ],
)
def test_a_wrong_setting_is_one_line(run: Run, words: tuple[str, ...], said: str) -> None:
    outcome = run(*words)
    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("fleetwire: ")


def test_a_wrong_variable_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETWIRE_MQTT_PROT", "1884")
    outcome = run("publish", "t", "x")
    assert outcome.status == 2
    assert outcome.err == (
        "fleetwire: FLEETWIRE_MQTT_PROT (environment) is not a setting. "
        "Did you mean FLEETWIRE_MQTT_PORT?\n"
    )


def test_a_data_folder_that_cannot_be_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = run("serve", "--data-dir", tmp_path / "file" / "data")
    assert outcome.status == 2
    assert "The data folder" in outcome.err
    assert "Traceback" not in outcome.err


def test_version(run: Run) -> None:
    assert run("version").out.startswith("0.")
