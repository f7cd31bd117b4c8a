"""docs/walkthrough.md does what it says, from an empty data folder, against a real server."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "walkthrough.md").read_text()
MARK = "=== end of a command, status"
TIMEOUT_S = 300


def steps(text: str = TEXT) -> list[tuple[str, str]]:
    """Return the commands of a document in order, each with the output shown below it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            found.append((command, shown))
    return found


def is_as_shown(output: str, shown: str) -> bool:
    """Say whether the output is what is shown; `…` is anything, white space does not matter."""
    parts = [re.escape(re.sub(r"\s+", "", part)) for part in shown.split("…")]
    return re.fullmatch(".*".join(parts), re.sub(r"\s+", "", output)) is not None


def run(house: House, folder: Path, text: str = TEXT) -> list[tuple[int, str]]:
    """Run all commands in one shell; return status and output of each."""
    assert house.administrator is not None
    script = "".join(f'{command}\nprintf "\\n{MARK} %d\\n" $?\n' for command, _ in steps(text))
    script = script.replace("localhost:8000", f"127.0.0.1:{house.http_port}")
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "PASSWORD": house.administrator.password,
        "FLEETWIRE_APPS": ",".join(house.app_ports),
        "FLEETWIRE_DATA_DIR": str(house.data_dir),
        "FLEETWIRE_HTTP_PORT": str(house.http_port),
        "FLEETWIRE_MQTT_PORT": str(house.mqtt_port),
        "FLEETWIRE_MQTT_WS_PORT": str(house.mqtt_ws_port),
    }
    said = folder / "said.log"  # a file: what a background job holds open must not keep us waiting
    with said.open("w") as out:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pytest.fail(f"not done after {TIMEOUT_S} s; it said\n{said.read_text()[-2000:]}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # and what it has left behind
            shell.wait()
    outputs = re.split(rf"\n{MARK} (\d+)\n", said.read_text())
    return [(int(outputs[at + 1]), outputs[at]) for at in range(0, len(outputs) - 1, 2)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """The house as the document starts it."""
    house = House(tmp_path, environment={"FLEETWIRE_UNKNOWN_DEVICES": "quarantine"})
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S + 30)
def test_each_command_does_what_is_shown(house: House, tmp_path: Path) -> None:
    results = run(house, tmp_path)
    assert len(results) == len(steps())
    wrong = [
        f"$ {command}\nstatus {status}\n{output}\ninstead of\n{shown}"
        for (command, shown), (status, output) in zip(steps(), results, strict=True)
        if status != 0 or not is_as_shown(output, shown)
    ]
    assert wrong == [], "\n\n".join(wrong)


@pytest.mark.parametrize(
    ("output", "shown", "fits"),
    [
        ('{"a": 1}\n', '{"a":1}', True),
        ('{"a":1,"b":2}', '{…"b":2}', True),
        ('{"a":1,"b":3}', '{…"b":2}', False),
        ("anything", "", False),
        ("", "…", True),
    ],
)
def test_the_comparison_is_loose_but_not_blind(output: str, shown: str, fits: bool) -> None:
    assert is_as_shown(output, shown) is fits
