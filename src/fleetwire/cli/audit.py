"""`fleetwire audit`: who did what, and whether that is still as it was written."""

import json
import sys
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, From, To, Token, Url, narrowing, rest

PATH = "/api/v1/audit"
EXIT_BROKEN = 1
SHOWN = 100
COLUMNS = {
    "when": itemgetter("at"),
    "who": itemgetter("actor"),
    "what": itemgetter("action"),
    "to what": itemgetter("subject"),
    "outcome": itemgetter("outcome"),
    "from": itemgetter("remote"),
}

audit_app = typer.Typer(
    cls=ListGroup,
    help="""Show who did what, check that nobody changed it, take it away as a file.

    [dim]fleetwire audit[/]

    [dim]fleetwire audit verify[/]

    [dim]fleetwire audit export --format csv --output audit.csv[/]""",
)

WHERE = {
    "actor": Annotated[str | None, typer.Option(help="Who: account:1, device:…, anonymous.")],
    "action": Annotated[str | None, typer.Option(help="What: device.registered, login.failed.")],
    "subject": Annotated[str | None, typer.Option(help="To what: device:medical/bp-001.")],
    "outcome": Annotated[str | None, typer.Option(help="ok or refused.")],
    "remote": Annotated[str | None, typer.Option(help="From which address.")],
    "from": From,
    "to": To,
}


@audit_app.command("list")
@narrowing(WHERE)
def list_records(
    where: dict[str, str],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = SHOWN,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the newest deeds; `fleetwire audit` does the same.

    [dim]fleetwire audit list --action login.failed --from 2026-01-31[/]
    """
    from fleetwire.cli.console import show

    items = rest(url, token).get(f"{PATH}?{urlencode(where | {'limit': str(limit)})}")["items"]
    show(items, COLUMNS, as_json=as_json, none="Nothing is on record that fits.")


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
@narrowing(WHERE)
def export(
    where: dict[str, str],
    format: Annotated[str, typer.Option("--format", "-f", help="ndjson or csv.")] = "ndjson",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write all records that fit, oldest first. That you did is on record, too.

    [dim]fleetwire audit export -f csv -o audit.csv --from 2026-01-01[/]
    """
    asked = urlencode(where | {"format": format})
    chunks = rest(url, token).stream(f"{PATH}/export?{asked}")
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


def _tell(whose: str, chain: dict[str, Any]) -> None:
    from fleetwire.cli.console import say

    broken = chain["broken"]
    if broken is not None:
        say(f"{whose}: BROKEN at record {broken['id']} ({broken['at']}): {broken['reason']}")
        return
    before = f", {chain['unchained']} from before the chain" if chain["unchained"] else ""
    say(f"{whose}: {chain['rows']} records hold{before}; head {chain['head'] or '(none)'}")
