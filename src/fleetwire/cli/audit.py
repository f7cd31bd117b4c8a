"""`fleetwire audit`: who did what, and whether that is still as it was written."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, Token, Url, rest

PATH = "/api/v1/audit"
EXIT_BROKEN = 1
SHOWN = 100

audit_app = typer.Typer(
    cls=ListGroup,
    help="""Show who did what, check that nobody changed it, take it away as a file.

    [dim]fleetwire audit[/]

    [dim]fleetwire audit verify[/]

    [dim]fleetwire audit export --format csv --output audit.csv[/]""",
)

Actor = Annotated[str | None, typer.Option(help="Who: account:1, device:…, anonymous.")]
Action = Annotated[str | None, typer.Option(help="What: device.registered, login.failed.")]
Subject = Annotated[str | None, typer.Option(help="To what: device:medical/bp-001.")]
Outcome = Annotated[str | None, typer.Option(help="ok or refused.")]
Remote = Annotated[str | None, typer.Option(help="From which address.")]
From = Annotated[str | None, typer.Option("--from", help="Then or later: ISO 8601 or epoch.")]
To = Annotated[str | None, typer.Option("--to", help="Before: ISO 8601 or epoch.")]


@audit_app.command("list")
def list_records(
    actor: Actor = None,
    action: Action = None,
    subject: Subject = None,
    outcome: Outcome = None,
    remote: Remote = None,
    start: From = None,
    end: To = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = SHOWN,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the newest deeds; `fleetwire audit` does the same.

    [dim]fleetwire audit list --action login.failed --from 2026-01-31[/]
    """
    from fleetwire.cli.console import columns, note, plain, say

    asked = _asked(actor, action, subject, outcome, remote, start, end)
    items = rest(url, token).get(f"{PATH}?{urlencode(asked | {'limit': str(limit)})}")["items"]
    if as_json:
        say(json.dumps(items))
        return
    if not items:
        note("Nothing is on record that fits.")
        return
    from rich.console import Console

    table = columns("when", "who", "what", "to what", "outcome", "from")
    for each in items:
        words = (each["at"], each["actor"], each["action"], each["subject"] or "")
        table.add_row(*map(plain, words), each["outcome"], plain(each["remote"] or ""))
    Console().print(table)


@audit_app.command("verify")
def verify(
    known: Annotated[
        str | None, typer.Option(help="A head of before: does it still stand?")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Check the chain of records. Exit status 0: it holds; 1: it does not.

    [dim]fleetwire audit verify --known 5e88…[/]
    """
    from fleetwire.cli.console import say

    asked = f"?{urlencode({'known': known})}" if known else ""
    found = rest(url, token).get(f"{PATH}/verify{asked}")
    if as_json:
        say(json.dumps(found))
    else:
        _tell("your organisation", found["own"])
        if found["unknown"] is not None:
            _tell("unknown actors", found["unknown"])
        if found["known"] is not None:
            say("the known head stands" if found["known"] else "the known head is gone")
    if not found["holds"]:
        raise typer.Exit(EXIT_BROKEN)


@audit_app.command("export")
def export(
    format: Annotated[str, typer.Option("--format", "-f", help="ndjson or csv.")] = "ndjson",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
    actor: Actor = None,
    action: Action = None,
    subject: Subject = None,
    outcome: Outcome = None,
    remote: Remote = None,
    start: From = None,
    end: To = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write all records that fit, oldest first. That you did is on record, too.

    [dim]fleetwire audit export -f csv -o audit.csv --from 2026-01-01[/]
    """
    asked = _asked(actor, action, subject, outcome, remote, start, end) | {"format": format}
    chunks = rest(url, token).stream(f"{PATH}/export?{urlencode(asked)}")
    first = next(chunks, b"")  # a refusal leaves a file that is there alone
    if output is None:
        sys.stdout.buffer.write(first)
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        return
    with output.open("wb") as file:
        file.write(first)
        for chunk in chunks:
            file.write(chunk)


def _asked(*values: str | None) -> dict[str, str]:
    names = ("actor", "action", "subject", "outcome", "remote", "from", "to")
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def _tell(whose: str, chain: dict[str, Any]) -> None:
    from fleetwire.cli.console import say

    broken = chain["broken"]
    if broken is not None:
        say(f"{whose}: BROKEN at record {broken['id']} ({broken['at']}): {broken['reason']}")
        return
    before = f", {chain['unchained']} from before the chain" if chain["unchained"] else ""
    say(f"{whose}: {chain['rows']} records hold{before}; head {chain['head'] or '(none)'}")
