"""The example of the documentation, run as it stands."""

import subprocess
import sys
from pathlib import Path

from tests.house import House

EXAMPLE = Path(__file__).parents[3] / "examples" / "follow.py"


def test_the_example_shows_the_state_and_then_events(shared_house: House) -> None:
    shared_house.register_device("shown")
    url = shared_house.url.replace("http", "ws", 1) + "/api/v1/realtime/ws"
    words = [sys.executable, str(EXAMPLE), shared_house.login(), "--url", url]
    words += ["--device", "medical/shown", "--event", "command.*", "--count", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as example:
        assert example.stdout is not None
        try:
            assert example.stdout.readline() == "shown inactive\n"
            assert example.stdout.readline() == "live\n"
            sent = shared_house.http(shared_house.medical_url).post(
                "/devices/shown/command", json={"command": "start", "parameters": {}}
            )
            assert sent.status_code == 202
            assert example.stdout.readline().startswith("command.queued shown {")
            assert example.wait(10) == 0
        finally:
            example.kill()


def test_the_example_says_why_it_was_refused(shared_house: House) -> None:
    url = shared_house.url.replace("http", "ws", 1) + "/api/v1/realtime/ws"
    words = [sys.executable, str(EXAMPLE), "no token", "--url", url]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("4401 ")
