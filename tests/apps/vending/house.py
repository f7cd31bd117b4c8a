"""A real Fleetwire with the vending app and its demonstration data, and what runs beside it."""

import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.apps.vending.field import KEY
from tests.house import House

WAIT_S = 10.0


def vending_house(folder: Path, environment: Mapping[str, str] | None = None) -> House:
    """Return a house that is not started yet."""
    return House(
        folder,
        apps=("vending",),
        options=["--demo"],
        environment={"MIDTRANS_SERVER_KEY": KEY, **(environment or {})},
    )


def url_of(house: House) -> str:
    """The root of the app's listener."""
    return f"http://127.0.0.1:{house.app_ports['vending']}"


def at_ports(house: House, line: str) -> list[str]:
    """Return the words of a line of the contract, sent to the ports of this house."""
    words = shlex.split(line.replace("localhost:3001", url_of(house).removeprefix("http://")))
    if words[0] == "curl":
        return ["curl", "-sS", *words[1:]]
    return [words[0], "-p", str(house.mqtt_port), *words[1:]]


@contextmanager
def running(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a program and end it afterwards."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
