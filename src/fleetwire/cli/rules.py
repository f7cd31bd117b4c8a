"""`fleetwire rules`: what happens by itself."""

import json
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, From, To, Token, Url, rest
from fleetwire.errors import FleetwireError

RULES = "/api/v1/rules"
MAX_FILE_BYTES = 1024 * 1024
# What is known of a chain and is no part of it.
OUTSIDE = ("created_at", "updated_at", "next_at")
EMPTY: dict[str, Any] = {"description": "", "enabled": True, "schedule": None, "start": None}

rules_app = typer.Typer(
    cls=ListGroup,
    help="""Chains of filters and actions that readings, the clock and people set going.

    [dim]fleetwire rules[/]

    [dim]fleetwire rules import hot.json[/]

    [dim]fleetwire rules log medical hot[/]""",
)

App = Annotated[str, typer.Argument(help="The app whose devices it names.")]
Id = Annotated[str, typer.Argument(help="The chain's id.")]


@rules_app.command("list")
def list_rules(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List chains.

    [dim]fleetwire rules list --json[/]
    """
    from fleetwire.cli.console import show

    cells = {
        "app": lambda each: each["app"],
        "id": lambda each: each["id"],
        "name": lambda each: each["name"],
        "enabled": lambda each: "yes" if each["enabled"] else "no",
        "nodes": lambda each: str(len(each["nodes"])),
        "due": lambda each: each["next_at"] or "",
    }
    found = list(rest(url, token).every(RULES))
    show(found, cells, as_json=as_json, none="There is no rule chain yet.")


@rules_app.command("show")
def show_rule(family: App, chain: Id, url: Url = None, token: Token = None) -> None:
    """Write a chain as JSON that `fleetwire rules import` takes.

    [dim]fleetwire rules show medical hot > hot.json[/]
    """
    from fleetwire.cli.console import say

    found = rest(url, token).get(_path(family, chain))
    said = {key: value for key, value in found.items() if key not in OUTSIDE}
    say(json.dumps(said, indent=2))


@rules_app.command("import")
def import_rules(
    file: Annotated[Path, typer.Argument(help="JSON: a chain, or a list of them.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Make the chains of a file; those that are there become as it says.

    [dim]fleetwire rules import hot.json[/]
    """
    from fleetwire.cli.console import printable, say

    chains = _read(file)
    client = rest(url, token)
    known = {(each["app"], each["id"]) for each in client.every(RULES)}
    for each in chains:
        body = {key: value for key, value in each.items() if key not in OUTSIDE}
        place = (each["app"], each.get("id", ""))
        if place in known:
            # What the file does not say is not there from now on.
            said = EMPTY | {"nodes": []} | body
            client.patch(_path(said.pop("app"), said.pop("id")), said)
            id, became = place[1], "changed"
        else:
            id, became = client.post(RULES, body)["id"], "created"
        known.add((each["app"], id))
        say(f"{printable(each['app'].encode())}\t{id}\t{became}")


@rules_app.command("enable")
def enable(family: App, chain: Id, url: Url = None, token: Token = None) -> None:
    """Let a chain run from now on.

    [dim]fleetwire rules enable medical hot[/]
    """
    rest(url, token).patch(_path(family, chain), {"enabled": True})


@rules_app.command("disable")
def disable(family: App, chain: Id, url: Url = None, token: Token = None) -> None:
    """Let a chain run by hand only.

    [dim]fleetwire rules disable medical hot[/]
    """
    rest(url, token).patch(_path(family, chain), {"enabled": False})


@rules_app.command("run")
def run_rule(
    family: App,
    chain: Id,
    trigger: Annotated[
        str | None, typer.Option(help="The same again runs nothing and shows the first run.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Run a chain now, with the newest values.

    [dim]fleetwire rules run medical hot[/]
    """
    body = {} if trigger is None else {"trigger": trigger}
    found = rest(url, token).post(f"{_path(family, chain)}/run", body)
    _show_runs([found], as_json=as_json)


@rules_app.command("try")
def try_rule(
    family: App,
    chain: Id,
    from_: From = None,
    to: To = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Say what a chain would have done with stored readings; nothing is done.

    [dim]fleetwire rules try medical hot --from 2026-01-31T00:00:00Z[/]
    """
    from fleetwire.cli.console import say

    span = {"from": from_, "to": to}
    body = {name: value for name, value in span.items() if value is not None}
    found = rest(url, token).post(f"{_path(family, chain)}/dry-run", body)
    if as_json:
        say(json.dumps(found))
        return
    counts = ", ".join(f"{count} {outcome}" for outcome, count in found["outcomes"].items())
    say(f"{found['readings']} readings: {counts or 'no run'}")
    if not found["is_whole"]:
        say("There are more readings in this span than were looked at.")


@rules_app.command("log")
def log(
    family: App,
    chain: Id,
    limit: Annotated[int, typer.Option(min=1, help="So many, the newest.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List a chain's runs, newest first.

    [dim]fleetwire rules log medical hot --limit 5 --json[/]
    """
    found = rest(url, token).every(f"{_path(family, chain)}/executions")
    _show_runs(list(islice(found, limit)), as_json=as_json)


@rules_app.command("delete")
def delete(family: App, chain: Id, url: Url = None, token: Token = None) -> None:
    """Remove a chain, and its log.

    [dim]fleetwire rules delete medical hot[/]
    """
    rest(url, token).delete(_path(family, chain))


def _path(family: str, chain: str) -> str:
    return f"{RULES}/{quote(family, safe='')}/{quote(chain, safe='')}"


def _show_runs(runs: list[Any], *, as_json: bool) -> None:
    from fleetwire.cli.console import show

    cells = {
        "at": lambda each: each["started_at"],
        "by": lambda each: each["trigger"],
        "outcome": lambda each: each["outcome"],
        "nodes": lambda each: ", ".join(
            f"{node['node']} {node['outcome']}" for node in each["nodes"]
        ),
        "why": lambda each: each["error"] or each["aborted_reason"] or "",
        "as well": lambda each: str(each["repeats"] or ""),
    }
    show(runs, cells, as_json=as_json, none="It has not run yet.")


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise FleetwireError(f"{file} is larger than {MAX_FILE_BYTES} bytes")
        found = json.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise FleetwireError(f"{file} cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise FleetwireError(f"{file} is no JSON: {error}") from None
    chains = found if isinstance(found, list) else [found]
    for each in chains:
        if not isinstance(each, dict) or not isinstance(each.get("app"), str):
            raise FleetwireError(f"{file} must be an object with an app, or a list of them")
    return chains
