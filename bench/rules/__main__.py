"""Measure what rule chains cost ingest: `python -m bench.rules`, or `make bench-rules`.

See bench/README.md.
"""

import argparse
import json
import shutil
import sqlite3
import statistics
import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.command import changed, parser_for, run
from bench.generator import pinned
from bench.ingest.load import Publishers
from bench.rules.plan import QUICK, Outcome, Outcomes, Plan, load, make_chains, names_of, register
from tests.house import House, Login

CATCH_UP_S = 300.0
LOOK_S = 0.5
LEAST = 0.5  # of its throughput ingest keeps


def main() -> int:
    """Return 0 if ingest keeps half of its throughput, 1 if not, 2 if the run failed."""
    parser = parser_for(
        "rules", "Ingest with rule chains beside it, and without, by turns.", seconds="10"
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured (3)")
    arguments = parser.parse_args()
    plan = changed(QUICK if arguments.quick else Plan(), arguments, ["seconds", "rounds"])
    return run(_measure, plan, arguments)


def _measure(console: Console, plan: Plan, folder: Path, arguments: argparse.Namespace) -> int:
    without, beside, logins = _prepare(plan, folder)
    found = Outcomes()
    for number in range(plan.rounds):
        for data, outcomes in ((without, found.without), (beside, found.beside)):
            place = folder / f"round-{number}-{data.name}"
            shutil.copytree(data, place)
            outcomes.append(_once(plan, place, logins, has_chains=data is beside))
            shutil.rmtree(place)
    ratio = _speed(found.beside) / _speed(found.without)
    _print(console, plan, found, ratio)
    if arguments.json:
        said = {"plan": asdict(plan), **asdict(found), "ratio": ratio}
        sys.stdout.write(json.dumps(said) + "\n")
    is_right = all(each.runs and not each.woken_wrongly for each in found.beside)
    return 0 if is_right and (ratio >= LEAST or arguments.quick) else 1


def _prepare(plan: Plan, folder: Path) -> tuple[Path, Path, list[Login]]:
    """Return the folders of a house without chains and of one with them, and the credentials.

    Registering so many devices takes longer than a round does.
    """
    without, beside = folder / "without", folder / "beside"
    without.mkdir()
    house = House(without)
    try:
        house.start()
        logins = register(house, plan)
        make_chains(house, plan)
        house.stop()
        shutil.copytree(without, beside)
        with closing(sqlite3.connect(house.database_path)) as database, database:
            database.execute("DELETE FROM rule_chains")
    finally:
        house.close()
    return without, beside, logins


def _once(plan: Plan, folder: Path, logins: list[Login], *, has_chains: bool) -> Outcome:
    server_cores, load_cores = pinned()
    house = House(folder, cores=server_cores)
    try:
        house.start()
        published = load(Publishers(folder, house.mqtt_port, house.pid, logins, load_cores), plan)
        if not has_chains:
            house.stop()
            return Outcome(published)
        began = time.monotonic()
        _wait_until_caught_up(house)
        caught_up_s = time.monotonic() - began
        house.stop()
        ((runs,),) = house.select("SELECT sum(repeats + 1) FROM rule_executions")
        return Outcome(published, int(runs or 0), caught_up_s, _woken_wrongly(house, plan))
    finally:
        house.close()


def _wait_until_caught_up(house: House) -> None:
    """Return once the stored position is the last reading's. Raises TimeoutError."""
    until = time.monotonic() + CATCH_UP_S
    while time.monotonic() < until:
        ((last,),) = house.select("SELECT max(id) FROM readings")
        found = house.select("SELECT cursor FROM rule_position")
        if found and found[0][0] >= last:
            return
        time.sleep(LOOK_S)
    raise TimeoutError(f"the chains have not caught up within {CATCH_UP_S:g} s")


def _woken_wrongly(house: House, plan: Plan) -> int:
    """Return how many stored runs were woken by a reading that their chain does not name."""
    rows = house.select(
        """
        SELECT rule_chains.id, devices.device_id FROM rule_executions
        JOIN rule_chains ON rule_chains.key = rule_executions.chain
        JOIN readings ON readings.id = CAST(substr(rule_executions.trigger, 9) AS INTEGER)
        JOIN devices ON devices.id = readings.device
        """
    )
    named = {
        (f"bench-{chain}", f"bench-{device}")
        for chain in range(plan.chains)
        for device in names_of(chain, plan)
    }
    return sum((chain, device) not in named for chain, device in rows)


def _speed(outcomes: list[Outcome]) -> float:
    return statistics.median(each.published.per_s for each in outcomes)


def _print(console: Console, plan: Plan, found: Outcomes, ratio: float) -> None:
    table = Table(
        title=f"Ingest, QoS 1, {plan.variables:,} variables, {plan.chains:,} nested chains"
    )
    for name in ("", "without chains", "with chains", "ratio"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row(
        "acknowledged/s (median)",
        f"{_speed(found.without):,.0f}",
        f"{_speed(found.beside):,.0f}",
        f"{ratio:.2f}",
    )
    for number, (without, beside) in enumerate(zip(found.without, found.beside, strict=True), 1):
        table.add_row(
            f"  round {number}",
            f"{without.published.per_s:,.0f}",
            f"{beside.published.per_s:,.0f}",
            f"{beside.published.per_s / without.published.per_s:.2f}",
        )
        table.add_row(
            "  PUBACK p99, ms",
            f"{without.published.ack_p99_ms:.1f}",
            f"{beside.published.ack_p99_ms:.1f}",
            "",
        )
        table.add_row(
            "  server CPU, %",
            f"{without.published.server_cpu_pct:.0f}",
            f"{beside.published.server_cpu_pct:.0f}",
            "",
        )
        table.add_row(
            "  runs; caught up after, s", "–", f"{beside.runs:,}; {beside.caught_up_s:.1f}", ""
        )
    console.print(table)
    wrong = sum(each.woken_wrongly for each in found.beside)
    console.print(f"Chains woken by a reading that they do not name: {wrong}")


if __name__ == "__main__":
    sys.exit(main())
