"""The result as a table for people and as one line of JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from bench.relay.plan import LOADS, PACED, Plan, Round, median

GENERATOR_BUSY_PCT = 95
KILOBYTE = 1000


def print_table(
    console: Console, plan: Plan, ours: Sequence[Round], theirs: Sequence[Round], peer_name: str
) -> None:
    """Print the medians of both servers side by side; the ratio is ours to theirs."""
    table = Table(title=f"Relay, the middle of {plan.rounds}, each on a fresh server")
    table.add_column("")
    table.add_column("Fleetwire", justify="right")
    table.add_column(peer_name, justify="right")
    table.add_column("ratio", justify="right")

    def row(name: str, form: str, measure: Callable[[Round], float]) -> None:
        mine = median(ours, measure)
        if not theirs:
            table.add_row(name, form.format(mine), "–", "–")
            return
        other = median(theirs, measure)
        ratio = f"{mine / other:.2f}" if other else "–"
        table.add_row(name, form.format(mine), form.format(other), ratio)

    for load in LOADS:
        row(f"{load.name}, delivered/s", "{:,.0f}", lambda r, n=load.name: r.relayed[n].per_s)  # type: ignore[misc]
    paced = PACED.name
    row(f"QoS 1 at {plan.rate:,}/s, p50, ms", "{:.2f}", lambda r: r.relayed[paced].delivery_p50_ms)
    row("  p99, ms", "{:.2f}", lambda r: r.relayed[paced].delivery_p99_ms)
    row(
        f"{plan.connections:,} idle connections, kB each",
        "{:.1f}",
        lambda r: r.bytes_per_connection / KILOBYTE,
    )
    row("connections/s, without a name", "{:,.0f}", lambda r: r.connects_per_s)
    row("connections/s, with a password", "{:,.0f}", lambda r: r.logins_per_s)
    console.print(table)
    for name in busy(ours):
        console.print(f"{name}: the generator was the bottleneck; the server can do more.")


def busy(rounds: Sequence[Round]) -> list[str]:
    """Return the loads in which the generator had no time left, in the middle of the rounds."""
    return [
        load.name
        for load in LOADS
        if median(rounds, lambda r: r.relayed[load.name].generator_cpu_pct) > GENERATOR_BUSY_PCT  # noqa: B023 - called at once
    ]


def print_completeness(console: Console, name: str, rounds: Sequence[Round]) -> None:
    """Say of each load that was not delivered completely what is missing."""
    for number, one in enumerate(rounds, 1):
        for load, relayed in one.relayed.items():
            if not relayed.complete:
                console.print(
                    f"{name}, round {number}, {load}: NOT COMPLETE: {relayed.sent:,} sent, "
                    f"{relayed.acknowledged:,} acknowledged, {relayed.lost:,} lost, "
                    f"{relayed.duplicated:,} duplicated, {relayed.reordered:,} out of order",
                    markup=False,
                )
    if is_complete(rounds):
        total = sum(relayed.delivered for one in rounds for relayed in one.relayed.values())
        console.print(f"{name}: {total:,} delivered, complete", markup=False)


def is_complete(rounds: Sequence[Round]) -> bool:
    """Return whether every message of every load reached everybody once."""
    return all(relayed.complete for one in rounds for relayed in one.relayed.values())


def as_json(plan: Plan, ours: Sequence[Round], theirs: Sequence[Round], peer_name: str) -> str:
    """Return everything as one line of JSON."""
    return json.dumps(
        {
            "plan": asdict(plan),
            "fleetwire": [asdict(one) for one in ours],
            "peer": {"name": peer_name, "rounds": [asdict(one) for one in theirs]},
        }
    )
