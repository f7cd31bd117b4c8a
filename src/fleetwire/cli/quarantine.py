"""`fleetwire quarantine`: messages that were refused, and what is to become of them."""

import json
import time
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, From, To, Token, Url, narrowing, rest
from fleetwire.errors import InvalidValueError

PATH = "/api/v1/quarantine"
EXIT_FAILED = 1
SHOWN = 100
LOOK_AGAIN_S = 0.25
COLUMNS: Mapping[str, Callable[[Any], str | None]] = {
    "id": lambda message: str(message["id"]),
    "received": itemgetter("received_at"),
    "topic": itemgetter("topic"),
    "who": itemgetter("identity"),
    "why": itemgetter("reason"),
}

quarantine_app = typer.Typer(
    cls=ListGroup,
    help="""Show messages that were refused, carry them once more, or discard them.

    [dim]fleetwire quarantine --device bp-001[/]

    [dim]fleetwire quarantine rerun --device bp-001 --dry-run[/]

    [dim]fleetwire quarantine discard 17 18[/]""",
)

Ids = Annotated[list[int] | None, typer.Argument(help="Numbers of messages.")]
WHERE = {
    "text": Annotated[str | None, typer.Option("--text", "-s", help="Occurs anywhere.")],
    "filter": Annotated[str | None, typer.Option(help="Topic filter.")],
    "app": Annotated[str | None, typer.Option(help="The app that refused it.")],
    "device": Annotated[str | None, typer.Option(help="Sent it, or is in its topic.")],
    "reason": Annotated[str | None, typer.Option(help="Occurs in the reason.")],
    "from": From,
    "to": To,
}
All = Annotated[bool, typer.Option("--all", help="Every message.")]


@quarantine_app.command("list")
@narrowing(WHERE)
def list_messages(
    where: dict[str, str],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = SHOWN,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the newest refused messages; `fleetwire quarantine` does the same.

    [dim]fleetwire quarantine --filter 'devices/+/data' --reason 'not registered'[/]
    """
    from fleetwire.cli.console import show

    items = rest(url, token).get(f"{PATH}?{urlencode(where | {'limit': str(limit)})}")["items"]
    none = "No message fits." if where else "Quarantine is empty."
    show(items, COLUMNS, as_json=as_json, none=none)


@quarantine_app.command("show")
def show_message(
    id: Annotated[int, typer.Argument(help="Number of the message.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Write one message with its payload, as JSON.

    [dim]fleetwire quarantine show 17[/]
    """
    from fleetwire.cli.console import say

    say(json.dumps(rest(url, token).get(f"{PATH}/{id}"), indent=2))


@quarantine_app.command("discard")
@narrowing(WHERE)
def discard(
    where: dict[str, str],
    ids: Ids = None,
    all: All = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Remove messages for good.

    [dim]fleetwire quarantine discard --device bp-001 --to 2026-01-31[/]
    """
    from fleetwire.cli.console import note

    answer = rest(url, token).post(f"{PATH}/discard", _selection(ids, where, all))
    note(f"{answer['discarded']} discarded.")


@quarantine_app.command("rerun")
@narrowing(WHERE)
def rerun(
    where: dict[str, str],
    ids: Ids = None,
    all: All = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Carry messages once more, as if they came now. Exit status 1: some were refused again.

    [dim]fleetwire quarantine rerun --device bp-001 --dry-run[/]
    """
    from fleetwire.cli.console import note, say

    body = _selection(ids, where, all)
    client = rest(url, token)
    if dry_run:
        _rehearse(client, body, as_json=as_json)
        return
    job = client.post(f"{PATH}/rerun?wait=1s", body)
    while job["state"] in ("waiting", "running"):
        note(f"{job['looked_at']} looked at, {job['accepted']} accepted …")
        time.sleep(LOOK_AGAIN_S)
        job = client.get(f"{PATH}/reruns/{job['id']}")
    if as_json:
        say(json.dumps(job))
    else:
        say(
            f"{job['accepted']} accepted, {job['refused']} refused again, "
            f"{job['left_alone']} left alone"
        )
    if job["error"]:
        note(f"It ended early: {job['error']}")
    if job["state"] != "done" or job["refused"]:
        raise typer.Exit(EXIT_FAILED)


def _rehearse(client: Any, body: dict[str, Any], *, as_json: bool) -> None:
    from fleetwire.cli.console import printable, say

    cursor: str | None = ""
    while cursor is not None:
        asked = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
        page = client.post(f"{PATH}/rehearse?{urlencode(asked)}", body)
        cursor = page["next_cursor"]
        for each in page["items"]:
            if as_json:
                say(json.dumps(each))
                continue
            why = f": {each['reason']}" if each["reason"] else ""
            say(printable(f"{each['id']} {each['topic']} {each['result']}{why}".encode()))
            for effect in each["effects"]:
                say("    " + json.dumps(effect))


def _selection(ids: list[int] | None, where: dict[str, str], all: bool) -> dict[str, Any]:
    """Return the body of a request; nothing said must not mean everything."""
    if bool(ids) + bool(where) + all != 1:
        raise InvalidValueError("Name messages by their numbers, or by options, or say --all")
    return {"ids": ids} if ids else {"where": where}
