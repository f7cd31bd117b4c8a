"""Generator: builds mqload and runs it against one server."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

MQLOAD = Path(__file__).resolve().parent / "mqload"
BUILD_TIMEOUT_S = 60.0
CONFIRM_TIMEOUT_S = 30.0  # over what the load itself takes: connecting, and the last answers

Word = str | int | float
Result = dict[str, dict[str, float]]


class LoadError(Exception):
    """The generator could not be built, or its run failed or lost a connection."""


@dataclass(frozen=True)
class Connected:
    """What connections cost, in bytes of the server's memory, and how fast they were accepted."""

    connections: int
    per_s: float
    rss_before_bytes: float
    rss_after_bytes: float


class Generator:
    """mqload against the server with this port and process id.

    `cores` are the processor cores the generator may use, None for all. `logins` is a file of
    client ids, user names and passwords; without it clients say no name.
    """

    def __init__(
        self, port: int, pid: int, cores: set[int] | None, logins: Path | None = None
    ) -> None:
        self._port = port
        self._pid = pid
        self._cores = cores
        self._logins = logins

    def connect(self, connections: int, hold_s: float) -> Connected:
        """Open connections and hold them idle. Raises LoadError."""
        result = self._run(["connect", "--conns", connections, "--hold", hold_s], hold_s)
        resources, opened = result["resources"], result["connections"]
        return Connected(
            connections=int(opened["ready"]),
            per_s=opened["per_s"],
            rss_before_bytes=resources["broker_rss_before"],
            rss_after_bytes=resources["broker_rss_end"],
        )

    def _run(self, words: list[Word], duration_s: float) -> Result:
        timeout_s = duration_s + CONFIRM_TIMEOUT_S
        command = [str(MQLOAD / "mqload"), *map(str, words)]
        command += ["--port", str(self._port), "--pid", str(self._pid), "--json", "--quiet"]
        command += ["--timeout", str(timeout_s)]
        if self._logins is not None:
            command += ["--credentials", str(self._logins)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if self._cores is not None:
            os.sched_setaffinity(process.pid, self._cores)
        try:
            output, errors = process.communicate(timeout=timeout_s + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise LoadError("mqload did not stop by itself") from None
        if process.returncode != 0:
            raise LoadError(errors.strip() or f"mqload ended with status {process.returncode}")
        result: Result = json.loads(output.splitlines()[-1])
        return result


def build() -> None:
    """Build mqload if its source is newer. Raises LoadError."""
    try:
        made = subprocess.run(
            ["make", "--silent", "-C", str(MQLOAD)],
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
        )
    except FileNotFoundError:
        raise LoadError("make and a C compiler are needed to build the load generator") from None
    if made.returncode != 0:
        raise LoadError(f"mqload could not be built: {made.stderr.strip()}")


def pinned() -> tuple[set[int] | None, set[int] | None]:
    """Return the cores of the server and those of the generator; None where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, {cores[1]}) if len(cores) > 1 else (None, None)
