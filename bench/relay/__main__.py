"""Measure the relay: `python -m bench.relay`, or `make bench-relay`. See bench/README.md."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench import mosquitto
from bench.command import changed, parser_for, run
from bench.generator import pinned
from bench.relay import report
from bench.relay.files import allow_connections
from bench.relay.load import carry_out
from bench.relay.plan import QUICK, Plan, Round
from tests.house import House, Login


def main() -> int:
    """Return 0 if Fleetwire delivered everything once, 1 if not, 2 if the run failed."""
    arguments = _parse()
    plan = changed(QUICK if arguments.quick else Plan(), arguments, ["seconds", "rounds"])
    return run(_measure, plan, arguments)


def _measure(console: Console, plan: Plan, folder: Path, arguments: argparse.Namespace) -> int:
    server_cores, load_cores = pinned()
    if server_cores is None:
        console.print("One core only: the server and the load generator share it.")
    possible = allow_connections(plan.connections)
    if possible < plan.connections:
        console.print(f"Open files are limited here: {possible:,} connections instead.")
        plan = replace(plan, connections=possible)
    program = None if arguments.alone else mosquitto.find()
    peer_name = "Mosquitto (left out)"
    ours: list[Round] = []
    theirs: list[Round] = []
    # By turns, so that what else this machine does meets both.
    for number in range(plan.rounds):
        place = folder / str(number)
        place.mkdir()
        ours.append(_measure_fleetwire(plan, place, server_cores, load_cores))
        if program is None:
            continue
        logins = [Login(f"bench-{n}", f"password-{n}") for n in range(plan.logins)]
        with mosquitto.running(program, place, server_cores, logins) as broker:
            peer_name = f"Mosquitto {broker.version}"
            theirs.append(carry_out(plan, place, broker.port, broker.pid, logins, load_cores))
    report.print_table(console, plan, ours, theirs, peer_name)
    report.print_completeness(console, "Fleetwire", ours)
    report.print_completeness(console, peer_name, theirs)
    if arguments.json:
        sys.stdout.write(report.as_json(plan, ours, theirs, peer_name) + "\n")
    return 0 if report.is_complete(ours) else 1


def _measure_fleetwire(
    plan: Plan, folder: Path, server_cores: set[int] | None, load_cores: set[int] | None
) -> Round:
    house = House(folder, cores=server_cores)
    try:
        house.start()
        logins = [house.register_device(f"bench-{n}") for n in range(plan.logins)]
        outcome = carry_out(plan, folder, house.mqtt_port, house.pid, logins, load_cores)
        house.stop()
        return outcome
    finally:
        house.close()


def _parse() -> argparse.Namespace:
    parser = parser_for(
        "relay", "Client to client on one core: a fresh server, everything on.", seconds="5"
    )
    parser.add_argument("--rounds", type=int, help="how often both servers are measured (3)")
    parser.add_argument("--alone", action="store_true", help="leave Mosquitto out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
