"""Measure durable ingest: `python -m bench.ingest`, or `make bench`. See bench/README.md."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench import mosquitto
from bench.command import changed, parser_for, run
from bench.generator import pinned
from bench.ingest import report
from bench.ingest.disk import flush_ms, paced_writes
from bench.ingest.load import Publishers
from bench.ingest.plan import QUICK, Kept, Outcome, Plan, carry_out, compare
from tests.house import House, Login


def main() -> int:
    """Return 0 if everything acknowledged is stored once, 1 if not, 2 if the run failed."""
    arguments = _parse()
    plan = changed(QUICK if arguments.quick else Plan(), arguments, ["seconds", "window"])
    return run(_measure, plan, arguments)


def _measure(console: Console, plan: Plan, folder: Path, arguments: argparse.Namespace) -> int:
    server_cores, load_cores = pinned()
    if server_cores is None:
        console.print("One core only: the server and the load generator share it.")
    console.print(f"One durable write of 4 KiB takes {flush_ms(folder):.2f} ms here.")

    profile = folder / "profile" if arguments.profile else None
    # Before and after, since the disk has good and bad minutes: the server's come in between.
    disk = [paced_writes(folder, plan.rate, plan.seconds / 2)]
    ours, kept = _measure_fleetwire(plan, folder, server_cores, load_cores, profile)
    disk.append(paced_writes(folder, plan.rate, plan.seconds / 2))
    peer: Outcome | None = None
    peer_name = "Mosquitto (left out)"
    program = mosquitto.find()
    if program is not None and profile is None:
        with mosquitto.running(program, folder, server_cores) as broker:
            peer_name = f"Mosquitto {broker.version}"
            logins = [Login(f"bench-{n}", "-") for n in range(plan.connections)]
            generator = Publishers(folder, broker.port, broker.pid, logins, load_cores)
            peer = carry_out(plan, generator)

    if profile is not None:
        console.print("Under the profiler everything is several times slower.")
        report.print_profile(console, profile)
    report.print_table(console, plan, ours, peer, peer_name)
    report.print_disk(console, plan, disk)
    report.print_completeness(console, kept)
    if arguments.json:
        sys.stdout.write(report.as_json(plan, ours, peer, peer_name, kept, disk) + "\n")
    return 0 if all(load.complete for load in kept) else 1


def _measure_fleetwire(
    plan: Plan,
    folder: Path,
    server_cores: set[int] | None,
    load_cores: set[int] | None,
    profile: Path | None,
) -> tuple[Outcome, list[Kept]]:
    environment = {"FLEETWIRE_PROFILE": str(profile)} if profile is not None else {}
    house = House(folder, cores=server_cores, environment=environment)
    try:
        house.start()
        # Each client is a device with a credential and topics of its own.
        count = max(plan.connections, plan.publishers)
        logins = [house.register_device(f"bench-{n}") for n in range(count)]
        generator = Publishers(folder, house.mqtt_port, house.pid, logins, load_cores)
        outcome = carry_out(plan, generator)
        house.stop()
        kept = [
            compare(house, "saturated", outcome.saturated),
            compare(house, "paced", outcome.paced),
        ]
        return outcome, kept
    finally:
        house.close()


def _parse() -> argparse.Namespace:
    parser = parser_for(
        "ingest",
        "Durable ingest on one core: a fresh server, devices with credentials, QoS 1.",
        seconds="10",
    )
    parser.add_argument(
        "--window", type=int, help="messages in flight of each publisher, at most (48)"
    )
    parser.add_argument(
        "--profile", action="store_true", help="say where the event loop's time goes"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
