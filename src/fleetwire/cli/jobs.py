"""`fleetwire jobs`: long work, how far it is, and its end before its time."""

import json
import time
from operator import itemgetter
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, Token, Url, rest

PATH = "/api/v1/jobs"
EXIT_FAILED = 1
SHOWN = 100
LOOK_AGAIN_S = 0.5

jobs_app = typer.Typer(
    cls=ListGroup,
    help="""Show long work, such as an import or a re-run: how far it is, and what became of it.

    [dim]fleetwire jobs[/]

    [dim]fleetwire jobs watch 5f2a9c3d1e7b8a60[/]

    [dim]fleetwire jobs cancel 5f2a9c3d1e7b8a60[/]""",
)

Id = Annotated[str, typer.Argument(help="Id of the job.")]


@jobs_app.command("list")
def list_jobs(
    kind: Annotated[str | None, typer.Option(help="device.import or quarantine.rerun.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="running, interrupted, succeeded, failed or cancelled."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = SHOWN,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the jobs of the last 30 days, newest first; `fleetwire jobs` does the same.

    [dim]fleetwire jobs list --state running[/]
    """
    from fleetwire.cli.console import show

    asked = {"kind": kind, "state": state, "limit": str(limit)}
    given = {name: value for name, value in asked.items() if value is not None}
    items = rest(url, token).get(f"{PATH}?{urlencode(given)}")["items"]
    show(
        items,
        {
            "id": itemgetter("id"),
            "kind": itemgetter("kind"),
            "state": itemgetter("state"),
            "done": _done,
            "what became of it": _counts,
            "begun": lambda job: job["created_at"][:19],
        },
        as_json=as_json,
        none="There are no jobs.",
    )


@jobs_app.command("show")
def show_job(id: Id, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """Show how far a job is.

    [dim]fleetwire jobs show 5f2a9c3d1e7b8a60[/]
    """
    _tell(rest(url, token).get(f"{PATH}/{id}"), as_json=as_json)


@jobs_app.command("watch")
def watch_job(id: Id, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """Show a job's progress until it ends. Exit status 1: it did not succeed.

    [dim]fleetwire jobs watch 5f2a9c3d1e7b8a60[/]
    """
    from fleetwire.cli.console import progress

    client = rest(url, token)
    with progress() as bar:
        task = bar.add_task(id, total=None)
        while True:
            job = client.get(f"{PATH}/{id}")
            bar.update(task, completed=job["done"], total=job["total"])
            if job["state"] != "running":
                break
            time.sleep(LOOK_AGAIN_S)
    _tell(job, as_json=as_json)
    if job["state"] != "succeeded":
        raise typer.Exit(EXIT_FAILED)


@jobs_app.command("cancel")
def cancel_job(id: Id, url: Url = None, token: Token = None) -> None:
    """Stop a job; what was done stays done.

    [dim]fleetwire jobs cancel 5f2a9c3d1e7b8a60[/]
    """
    _tell(rest(url, token).post(f"{PATH}/{id}/cancel", {}), as_json=False)


def _tell(job: dict[str, Any], *, as_json: bool) -> None:
    from fleetwire.cli.console import printable, say

    if as_json:
        say(json.dumps(job))
        return
    counts = _counts(job)
    why = f" ({job['error']})" if job["error"] else ""
    said = f"{job['kind']} {job['state']}{why}, {_done(job)} done{f': {counts}' if counts else ''}"
    say(printable(said.encode()))


def _done(job: dict[str, Any]) -> str:
    return f"{job['done']}" if job["total"] is None else f"{job['done']} of {job['total']}"


def _counts(job: dict[str, Any]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in job["counts"].items())
