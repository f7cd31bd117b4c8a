"""`fleetwire acl`: may somebody publish or subscribe, and why."""

import json
from typing import Annotated
from urllib.parse import urlencode

import typer

from fleetwire.cli.options import AsJson, Token, Url, rest

EXIT_REFUSED = 1

acl_app = typer.Typer(help="Say who may publish and subscribe to what, and why.")


@acl_app.callback()
def _group() -> None:
    """Say who may publish and subscribe to what, and why."""


@acl_app.command("test")
def read_ruling(
    identity: Annotated[str, typer.Argument(help="device:medical/bp-1, account:1, key:3, …")],
    action: Annotated[str, typer.Argument(help="publish or subscribe.")],
    topic: Annotated[str, typer.Argument(help="Topic name, or topic filter.")],
    client_id: Annotated[str, typer.Option("--client-id", "-i")] = "",
    listener: Annotated[str, typer.Option(help="For anonymous: tcp, tls, ws, wss, unix.")] = "tcp",
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Say whether a client would be let. Exit status 0: it would; 1: it would not.

    [dim]fleetwire acl test device:medical/bp-001 publish devices/bp-001/data[/]

    [dim]fleetwire acl test anonymous subscribe '#' --listener tls[/]
    """
    from fleetwire.cli.console import note, printable, say

    asked = {"identity": identity, "action": action, "topic": topic, "listener": listener}
    if client_id:
        asked["client_id"] = client_id
    ruling = rest(url, token).get(f"/api/v1/acl/test?{urlencode(asked)}")
    if as_json:
        say(json.dumps(ruling))
    else:
        say(f"{'yes' if ruling['allowed'] else 'no'}: {printable(ruling['reason'].encode())}")
        for name in ("needed", "template", "given_by", "role", "credential"):
            if ruling[name]:
                note(f"  {name.replace('_', ' ')}: {printable(ruling[name].encode())}")
    if not ruling["allowed"]:
        raise typer.Exit(EXIT_REFUSED)
