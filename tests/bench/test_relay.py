"""The relay benchmark runs to its end and counts what arrives. Its speed is not judged."""

import json
import resource
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.relay import report
from bench.relay.files import OTHER_FILES, allow_connections
from bench.relay.plan import LOADS, PACED, QUICK, Relayed, Round

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RUN_TIMEOUT_S = 100

GOOD = Relayed(
    sent=10,
    acknowledged=10,
    delivered=10,
    lost=0,
    duplicated=0,
    reordered=0,
    per_s=100.0,
    delivery_p50_ms=0.1,
    delivery_p99_ms=0.2,
    generator_cpu_pct=50,
    server_cpu_pct=100,
)


@pytest.mark.slow
@pytest.mark.needs_cc
@pytest.mark.needs_mosquitto
@pytest.mark.timeout(RUN_TIMEOUT_S + 20)
def test_a_quick_run_delivers_everything_of_both_servers(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.relay", "--quick", "--json", "--folder", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    (ours,), (theirs,) = result["fleetwire"], result["peer"]["rounds"]
    for one in (ours, theirs):
        assert set(one["relayed"]) == {load.name for load in (*LOADS, PACED)}
        assert all(load["delivered"] > 0 for load in one["relayed"].values())
        assert one["logins_per_s"] > 0
    assert all(load["lost"] == 0 for load in ours["relayed"].values())


@pytest.mark.parametrize(
    "changed",
    [
        {"lost": 1},
        {"duplicated": 1},
        {"reordered": 1},
        {"acknowledged": 9},
        {"sent": 0, "acknowledged": 0, "delivered": 0},
    ],
)
def test_what_is_not_delivered_once_and_in_order_is_told(changed: dict[str, int]) -> None:
    rounds = [round_of(GOOD), round_of(replace(GOOD, **changed))]  # type: ignore[arg-type]
    assert not report.is_complete(rounds)
    assert "NOT COMPLETE" in printed(rounds)
    assert report.is_complete(rounds[:1])
    assert "NOT COMPLETE" not in printed(rounds[:1])


def test_the_table_holds_the_medians_and_their_ratio() -> None:
    ours = [round_of(replace(GOOD, per_s=per_s)) for per_s in (9_000.0, 300.0, 100.0)]
    theirs = [round_of(replace(GOOD, per_s=150.0))]
    console = Console(file=StringIO(), width=100)
    report.print_table(console, QUICK, ours, theirs, "Mosquitto")
    assert isinstance(console.file, StringIO)
    (line,) = (line for line in console.file.getvalue().splitlines() if "50 → 1" in line)
    assert [cell.strip() for cell in line.split("│")[2:5]] == ["300", "150", "2.00"]


def test_as_many_connections_are_planned_as_files_may_be_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_000), hard))
        assert allow_connections(1_100) == 1_100
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1_100 + OTHER_FILES
        if hard != resource.RLIM_INFINITY:
            assert allow_connections(hard) == hard - OTHER_FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def round_of(relayed: Relayed) -> Round:
    return Round(9_000, 5_000, 4_000, {load.name: relayed for load in (*LOADS, PACED)})


def printed(rounds: list[Round]) -> str:
    console = Console(file=StringIO(), width=200)
    report.print_completeness(console, "Fleetwire", rounds)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()
