"""The result as a table for people and as one line of JSON."""

import json
import pstats
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.ingest.disk import Paced
from bench.ingest.plan import Kept, Outcome, Plan

MEBIBYTE = 1024 * 1024
GENERATOR_BUSY_PCT = 95
PROFILE_LINES = 30


def print_table(
    console: Console, plan: Plan, ours: Outcome, peer: Outcome | None, peer_name: str
) -> None:
    """Print both servers side by side; the ratio is ours to theirs."""
    table = Table(
        title=f"Ingest, QoS 1, {plan.publishers} publishers, {plan.window} in flight each"
    )
    table.add_column("")
    table.add_column("Fleetwire\nstores first", justify="right")
    table.add_column(f"{peer_name}\nstores nothing", justify="right")
    table.add_column("ratio", justify="right")

    def row(name: str, form: str, measure: Callable[[Outcome], float]) -> None:
        mine = measure(ours)
        theirs = measure(peer) if peer is not None else None
        shown = "–" if theirs is None else form.format(theirs)
        ratio = f"{mine / theirs:.2f}" if theirs else "–"
        table.add_row(name, form.format(mine), shown, ratio)

    row("at saturation, acknowledged/s", "{:,.0f}", lambda o: o.saturated.per_s)
    row("  PUBACK p50, ms", "{:.2f}", lambda o: o.saturated.ack_p50_ms)
    row("  PUBACK p99, ms", "{:.2f}", lambda o: o.saturated.ack_p99_ms)
    row("  server CPU, %", "{:.0f}", lambda o: o.saturated.server_cpu_pct)
    row("  memory after, MB", "{:,.0f}", lambda o: o.saturated.server_rss_bytes / MEBIBYTE)
    row("steady load, acknowledged/s", "{:,.0f}", lambda o: o.paced.per_s)
    row("  PUBACK p50, ms", "{:.2f}", lambda o: o.paced.ack_p50_ms)
    row("  PUBACK p99, ms", "{:.2f}", lambda o: o.paced.ack_p99_ms)
    row("  server CPU, %", "{:.0f}", lambda o: o.paced.server_cpu_pct)
    row("no connections, memory, MB", "{:,.0f}", lambda o: o.idle.rss_before_bytes / MEBIBYTE)
    row(f"{plan.connections:,} connections", "{:,.0f}", lambda o: o.idle.rss_after_bytes / MEBIBYTE)
    console.print(table)
    if ours.saturated.generator_cpu_pct > GENERATOR_BUSY_PCT:
        console.print("The generator was the bottleneck: the server can do more than this.")


def print_disk(console: Console, plan: Plan, disk: list[Paced]) -> None:
    """Say what this disk alone does at the steady load's pace: nobody can acknowledge sooner."""
    for when, paced in zip(("before", "after"), disk, strict=True):
        console.print(
            f"The disk alone {when}, one durable write a message at {plan.rate:,}/s: "
            f"p50 {paced.p50_ms:.2f} ms, p99 {paced.p99_ms:.2f} ms, "
            f"longest {paced.longest_ms:.1f} ms"
        )


def print_completeness(console: Console, kept: list[Kept]) -> None:
    """Say for each load whether what was acknowledged is what is stored."""
    for load in kept:
        verdict = "complete" if load.complete else "NOT COMPLETE"
        console.print(
            f"{load.load}: {load.acknowledged:,} acknowledged, {load.rows:,} rows, "
            f"{load.lost:,} lost, {load.duplicated:,} duplicated: {verdict}"
        )


def as_json(
    plan: Plan,
    ours: Outcome,
    peer: Outcome | None,
    peer_name: str,
    kept: list[Kept],
    disk: list[Paced],
) -> str:
    """Return everything as one line of JSON."""
    return json.dumps(
        {
            "plan": asdict(plan),
            "fleetwire": asdict(ours),
            "peer": {"name": peer_name, **asdict(peer)} if peer else None,
            "kept": [asdict(load) for load in kept],
            "disk": [asdict(paced) for paced in disk],
        }
    )


def print_profile(console: Console, path: Path) -> None:
    """Print where the event loop's thread spent its time."""
    pstats.Stats(str(path), stream=console.file).sort_stats("tottime").print_stats(PROFILE_LINES)
