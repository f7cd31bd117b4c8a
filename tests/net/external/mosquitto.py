"""Debian's mosquitto as the broker where devices are; it keeps its state over its ends."""

import getpass
import socket
import subprocess
import time
from pathlib import Path

HOST = "127.0.0.1"
START_TIMEOUT_S = 10.0
POLL_S = 0.02


class Mosquitto:
    """One mosquitto on a port of its own. With a login everybody needs one.

    `more` are further lines of its configuration.
    """

    def __init__(
        self, folder: Path, port: int, login: tuple[str, str] | None = None, more: str = ""
    ) -> None:
        self.folder = folder
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            # It would give up root, and with it the right to write into this folder.
            f"user {getpass.getuser()}",
            f"listener {port} {HOST}",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            more,
        ]
        if login is None:
            lines.append("allow_anonymous true")
        else:
            passwords = folder / "passwords"
            subprocess.run(
                ["mosquitto_passwd", "-b", "-c", str(passwords), *login], check=True, timeout=10
            )
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it, and return when it listens."""
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["mosquitto", "-v", "-c", str(self.folder / "mosquitto.conf")],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection((HOST, self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(POLL_S)  # it does not say when it listens

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Ask it to store its state and end."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(START_TIMEOUT_S)

    def log(self) -> str:
        """Return what it has said so far."""
        return (self.folder / "mosquitto.log").read_text(errors="replace")
