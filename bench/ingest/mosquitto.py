"""Mosquitto as a yardstick: it takes the same messages, stores nothing, and nobody subscribes."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

READY_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class Peer(NamedTuple):
    """A broker that runs."""

    port: int
    pid: int
    version: str


def find() -> str | None:
    """Return the path of the mosquitto program, None if it is not installed."""
    # Debian keeps it where only root looks.
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")


@contextmanager
def running(program: str, folder: Path, cores: set[int] | None) -> Iterator[Peer]:
    """Run Mosquitto on loopback, on these processor cores."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        f"listener {port} 127.0.0.1\n"
        "allow_anonymous true\n"
        "persistence false\n"
        "set_tcp_nodelay true\n"
        "log_dest none\n"
    )
    process = subprocess.Popen(
        [program, "-c", str(configuration)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if cores is not None:
            os.sched_setaffinity(process.pid, cores)
        _wait_until_listening(process, port)
        yield Peer(port, process.pid, _version(program))
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise RuntimeError("Mosquitto did not start")


def _version(program: str) -> str:
    # "mosquitto version 2.0.11 …"; the program ends with status 3 after its help.
    said = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=READY_TIMEOUT_S)
    words = said.stdout.split()
    return words[2] if len(words) > 2 else ""
