"""What cannot start says in one line what to change, and leaves with a status that is not 0."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import House

TIMEOUT_S = 30
FREE = ["--http-port", "0", "--mqtt-port", "0", "--mqtt-ws-port", "0", "--app-port", "medical=0"]
FREE += ["--apps", "medical"]


def serve(
    folder: Path, *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Start a server that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "fleetwire.cli.main", "serve", *FREE, *words],
        cwd=folder,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def refusal(outcome: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that says why it did not start."""
    assert outcome.returncode == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr
    return next(line for line in outcome.stderr.splitlines() if line.startswith("fleetwire: "))


@pytest.mark.parametrize(
    "option", ["--http-port", "--mqtt-port", "--mqtt-ws-port", "--app-port medical="]
)
def test_a_port_in_use_is_named(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        name, _, prefix = option.partition(" ")
        line = refusal(serve(tmp_path, name, prefix + port))
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    line = refusal(serve(tmp_path, environment={"FLEETWIRE_MQTT_PROT": "1883"}))
    assert "FLEETWIRE_MQTT_PROT" in line
    assert "FLEETWIRE_MQTT_PORT" in line
    assert "apps" in refusal(serve(tmp_path, "--apps", "nonesuch")).lower()


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = refusal(serve(tmp_path, "--data-dir", "file/below"))
    assert "file/below" in line
    assert "--data-dir" in line


def test_a_second_server_on_the_same_data_is_refused(house: House, tmp_path: Path) -> None:
    line = refusal(serve(tmp_path, "--data-dir", str(house.data_dir)))
    assert "Another Fleetwire" in line


def test_bound_to_the_world_credentials_are_demanded(tmp_path: Path) -> None:
    house = House(tmp_path, options=["--bind", "0.0.0.0"])
    house.start()
    try:
        with socket.create_connection(("127.0.0.1", house.mqtt_port), timeout=5) as peer:
            peer.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x")
            assert peer.recv(4) == b"\x20\x02\x00\x05"  # not authorized
    finally:
        house.close()
