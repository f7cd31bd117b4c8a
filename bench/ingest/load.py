"""The load generator: builds mqload and runs it."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.house import Login

MQLOAD = Path(__file__).resolve().parent.parent / "mqload"
BUILD_TIMEOUT_S = 60.0
CONFIRM_TIMEOUT_S = 30.0  # over what the load itself takes: connecting, and the last answers


class LoadError(Exception):
    """The generator could not be built, or its run failed or lost a connection."""


@dataclass(frozen=True)
class Published:
    """What became of one load. Times in milliseconds from when a message was due or written."""

    sent: int
    acknowledged: int
    per_s: float
    ack_p50_ms: float
    ack_p99_ms: float
    generator_cpu_pct: float
    server_cpu_pct: float
    server_rss_bytes: float


@dataclass(frozen=True)
class Connected:
    """What idle connections cost."""

    connections: int
    rss_before_bytes: float
    rss_after_bytes: float


class Generator:
    """mqload against one server, as the devices in `logins`.

    `cores` are the processor cores the generator may use, None for all.
    """

    def __init__(
        self, folder: Path, port: int, pid: int, logins: list[Login], cores: set[int] | None
    ) -> None:
        self._port = port
        self._pid = pid
        self._cores = cores
        self._logins = folder / "logins.txt"
        # A device's client id is its user name.
        self._logins.write_text("".join(f"{name} {name} {word}\n" for name, word in logins))

    def publish(
        self,
        payload: str,
        *,
        publishers: int,
        window: int,
        duration_s: float,
        warmup_s: float = 0,
        rate: int = 0,
    ) -> Published:
        """Publish QoS 1 for `duration_s`, at `rate` messages per second (0 = all it takes).

        The first `warmup_s` count for completeness, not for speed. Raises LoadError.
        """
        words: list[str | int | float] = ["fanin", "--qos", 1, "--pubs", publishers]
        words += ["--window", window, "--rate", rate, "--duration", duration_s]
        words += ["--warmup", warmup_s, "--topic", "devices/bench-%d/data", "--payload", payload]
        result = self._run(words, duration_s)
        published, resources = result["published"], result["resources"]
        ack = result.get("ack_ms", {"p50": float("nan"), "p99": float("nan")})
        return Published(
            sent=int(published["sent"]),
            acknowledged=int(published["acked"]),
            per_s=published["per_s"],
            ack_p50_ms=ack["p50"],
            ack_p99_ms=ack["p99"],
            generator_cpu_pct=resources["generator_cpu_pct"],
            server_cpu_pct=resources["broker_cpu_pct"],
            server_rss_bytes=resources["broker_rss_end"],
        )

    def connect(self, connections: int, hold_s: float) -> Connected:
        """Open connections and hold them idle. Raises LoadError."""
        result = self._run(["connect", "--conns", connections, "--hold", hold_s], hold_s)
        resources = result["resources"]
        return Connected(
            connections=int(result["connections"]["ready"]),
            rss_before_bytes=resources["broker_rss_before"],
            rss_after_bytes=resources["broker_rss_end"],
        )

    def _run(
        self, words: list[str | int | float], duration_s: float
    ) -> dict[str, dict[str, float]]:
        timeout_s = duration_s + CONFIRM_TIMEOUT_S
        command = [str(MQLOAD / "mqload"), *map(str, words)]
        command += ["--port", str(self._port), "--pid", str(self._pid), "--json", "--quiet"]
        command += ["--credentials", str(self._logins), "--timeout", str(timeout_s)]
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
        result: dict[str, dict[str, float]] = json.loads(output.splitlines()[-1])
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
