"""Progress of a batch of commands: watched until each device has done it or will not."""

import json
import time
from typing import Any
from urllib.parse import quote

import typer

from fleetwire.cli.console import note, plain, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.cli.rest import RestClient

NOT_DONE = ("failed", "rejected", "expired", "cancelled", "superseded")
LOOK_AGAIN_S = 0.25


def follow(client: "RestClient", batch: dict[str, Any], wait_s: float, *, as_json: bool) -> None:
    """Wait for the outcomes, at most so long, and write what is known then.

    Raises typer.Exit(1) if it is known that a device did not do it.
    """
    if wait_s and batch["open_count"]:
        batch = _watch(client, batch, time.monotonic() + wait_s)
    if as_json:
        say(json.dumps(batch))
    else:
        counts = batch["states"] | {
            "waiting": batch["waiting"],
            "refused": batch["refused_count"],
        }
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        say(f"{batch['id']} {batch['total']} devices of {batch['app']}: {told}")
        for refused in batch["refused"]:
            note(f"{plain(refused['device_id'])}: {plain(refused['reason'])}")
    if batch["refused_count"] or any(batch["states"].get(state) for state in NOT_DONE):
        raise typer.Exit(1)


def _watch(client: "RestClient", batch: dict[str, Any], until_s: float) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import Progress

    path = f"/api/v1/command-batches/{quote(batch['id'], safe='')}"
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("devices", total=batch["total"])
        while batch["open_count"]:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            time.sleep(min(LOOK_AGAIN_S, left_s))
            batch = client.get(path)
            progress.update(task, completed=batch["total"] - batch["open_count"])
    return batch
