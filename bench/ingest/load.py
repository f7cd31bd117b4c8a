"""The load of the ingest bench: devices that publish and wait for their acknowledgements."""

from dataclasses import dataclass
from pathlib import Path

from bench.generator import Generator, Word
from tests.house import Login


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


class Publishers(Generator):
    """The devices in `logins`, whose client ids are their user names."""

    def __init__(
        self, folder: Path, port: int, pid: int, logins: list[Login], cores: set[int] | None
    ) -> None:
        path = folder / "logins.txt"
        path.write_text("".join(f"{name} {name} {word}\n" for name, word in logins))
        super().__init__(port, pid, cores, path)

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
        words: list[Word] = ["fanin", "--qos", 1, "--pubs", publishers]
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
