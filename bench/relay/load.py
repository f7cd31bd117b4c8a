"""The loads of the relay bench, put on one server."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.generator import Generator, Word
from bench.relay.plan import LOADS, PACED, Load, Plan, Relayed, Round
from tests.house import Login

SETTLE_S = 1.0
TOPIC = "relay/bench/%d"  # no app takes it
FILTER = "relay/bench/#"


class Relay(Generator):
    """Publishers and subscribers that say no name."""

    def relay(self, load: Load, duration_s: float, warmup_s: float) -> Relayed:
        """Publish for `duration_s` and wait for the last delivery; the first `warmup_s` count for
        completeness, not for speed. Raises LoadError."""
        words: list[Word] = ["e2e", "--qos", load.qos, "--topic", TOPIC, "--filter", FILTER]
        words += ["--pubs", load.publishers, "--subs", load.subscribers]
        words += ["--backlog", load.backlog, "--rate", load.rate]
        words += ["--duration", duration_s, "--warmup", warmup_s]
        result = self._run(words, duration_s)
        published, delivered = result["published"], result["delivered"]
        late = result.get("delivery_ms", {"p50": float("nan"), "p99": float("nan")})
        return Relayed(
            sent=int(published["sent"]),
            acknowledged=int(published["acked"]),
            delivered=int(delivered["messages"]),
            lost=int(delivered["lost"]),
            duplicated=int(delivered["duplicated"]),
            reordered=int(delivered["reordered"]),
            per_s=delivered["per_s"],
            delivery_p50_ms=late["p50"],
            delivery_p99_ms=late["p99"],
            generator_cpu_pct=result["resources"]["generator_cpu_pct"],
            server_cpu_pct=result["resources"]["broker_cpu_pct"],
        )


def carry_out(
    plan: Plan,
    folder: Path,
    port: int,
    pid: int,
    logins: Sequence[Login],
    cores: set[int] | None,
) -> Round:
    """Put all loads on one server. Raises LoadError."""
    anonymous = Relay(port, pid, cores)
    # First, while the memory of the server is still what a fresh one has.
    idle = anonymous.connect(plan.connections, hold_s=SETTLE_S)
    known = Generator(port, pid, cores, _login_file(folder, logins, plan.handshakes))
    logged_in = known.connect(plan.handshakes, hold_s=0)
    duration_s = plan.seconds + plan.warmup_s
    relayed = {load.name: anonymous.relay(load, duration_s, plan.warmup_s) for load in LOADS}
    paced = replace(PACED, rate=plan.rate)
    relayed[paced.name] = anonymous.relay(paced, duration_s, plan.warmup_s)
    return Round(
        bytes_per_connection=(idle.rss_after_bytes - idle.rss_before_bytes) / idle.connections,
        connects_per_s=idle.per_s,
        logins_per_s=logged_in.per_s,
        relayed=relayed,
    )


def _login_file(folder: Path, logins: Sequence[Login], clients: int) -> Path:
    """Many clients share few credentials; each has a Client Identifier of its own."""
    path = folder / "logins.txt"
    lines = []
    for number in range(clients):
        name, word = logins[number % len(logins)]
        lines.append(f"relay-{number} {name} {word}\n")
    path.write_text("".join(lines))
    return path
