"""Mosquitto as a yardstick: the same loads on the same core. It stores nothing."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.house import Login

READY_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
HASH_TIMEOUT_S = 60.0


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
def running(
    program: str, folder: Path, cores: set[int] | None, logins: Sequence[Login] = ()
) -> Iterator[Peer]:
    """Run Mosquitto on loopback, on these processor cores.

    It lets in who has one of the logins, with the right password, and who says no name.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    configuration = folder / "mosquitto.conf"
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence false",
        "set_tcp_nodelay true",
        "log_dest none",
        # As it comes, 2.0 drops QoS 1 messages that 50 publishers send to one subscriber.
        "max_queued_messages 0",
        # Started by root it would become somebody who may not read the passwords.
        f"user {pwd.getpwuid(os.geteuid()).pw_name}",
    ]
    if logins:
        lines.append(f"password_file {_password_file(folder, logins)}")
    configuration.write_text("\n".join(lines) + "\n")
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


def _password_file(folder: Path, logins: Sequence[Login]) -> Path:
    path = folder / "mosquitto.passwords"
    path.write_text("".join(f"{name}:{word}\n" for name, word in logins))
    path.chmod(0o600)
    # Puts a salted hash in the place of each password.
    subprocess.run(["mosquitto_passwd", "-U", str(path)], check=True, timeout=HASH_TIMEOUT_S)
    return path


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
