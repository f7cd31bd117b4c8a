"""`fleetwire clients`, `retained` and `trace`: what an operator sees of a running server."""

from typing import Annotated

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, Token, Url, rest

clients_app = typer.Typer(
    cls=ListGroup,
    help="""Show who is connected, and what waits for whom.

    [dim]fleetwire clients[/]

    [dim]fleetwire clients --search bp- --connected[/]

    [dim]fleetwire clients show bp-001[/]""",
)
retained_app = typer.Typer(
    cls=ListGroup,
    help="""Show and remove retained messages.

    [dim]fleetwire retained[/]

    [dim]fleetwire retained 'devices/+/status'[/]

    [dim]fleetwire retained delete devices/bp-001/status[/]""",
)


@clients_app.command("list")
def list_clients(
    search: Annotated[
        str | None, typer.Option("--search", "-s", help="In client id, identity or address.")
    ] = None,
    connected: Annotated[bool, typer.Option("--connected", help="Not those away.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the clients; `fleetwire clients` does the same.

    [dim]fleetwire clients --search 192.0.2. --connected[/]
    """
    from fleetwire.cli import clients

    clients.show_all(rest(url, token), search, connected, as_json=as_json)


@clients_app.command("show")
def show_client(
    client_id: Annotated[str, typer.Argument(help="Client id.")],
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show one client: its connection, subscriptions, queue and traffic.

    [dim]fleetwire clients show bp-001[/]
    """
    from fleetwire.cli import clients

    clients.show(rest(url, token), client_id, as_json=as_json)


@clients_app.command("kick")
def kick_client(
    client_id: Annotated[str, typer.Argument(help="Client id.")],
    end_session: Annotated[
        bool, typer.Option("--end-session", help="Forget also what waits for it.")
    ] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Disconnect a client. It may come back: revoke its credential to keep it out.

    [dim]fleetwire clients kick bp-001[/]

    [dim]fleetwire clients kick bp-001 --end-session[/]
    """
    from fleetwire.cli import clients

    clients.kick(rest(url, token), client_id, end_session=end_session)


@retained_app.command("list")
def list_retained(
    topic_filter: Annotated[str | None, typer.Argument(help="Topic filter.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List retained messages; `fleetwire retained` does the same.

    [dim]fleetwire retained 'devices/+/status'[/]

    [dim]fleetwire retained '$SYS/#'   (what the broker says of itself)[/]
    """
    from fleetwire.cli import retained

    retained.show_all(rest(url, token), topic_filter, as_json=as_json)


@retained_app.command("delete")
def delete_retained(
    topic: Annotated[str, typer.Argument(help="Topic name.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Remove one retained message for good.

    [dim]fleetwire retained delete devices/bp-001/status[/]
    """
    from fleetwire.cli import retained

    retained.delete(rest(url, token), topic)


def trace(
    client: Annotated[str | None, typer.Option(help="Client id.")] = None,
    address: Annotated[str | None, typer.Option(help="Address, without its port.")] = None,
    topic: Annotated[str | None, typer.Option(help="Topic filter.")] = None,
    payload: Annotated[
        bool, typer.Option("--payload", help="Show payloads; for administrators.")
    ] = False,
    duration: Annotated[str, typer.Option("--for", help="How long: 30s, 5m; 10m at most.")] = "10m",
    count: Annotated[int | None, typer.Option("--count", "-C", min=1, help="End after.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write a line for each packet of one client, address or topic while it passes.

    -> is from the client, <- to it. Passwords and properties are never shown. What passes too fast
    is counted, not shown.

    [dim]fleetwire trace --client bp-001[/]

    [dim]fleetwire trace --address 192.0.2.7 --for 1m   (why can it not connect?)[/]

    [dim]fleetwire trace --topic 'devices/+/data' --payload --count 10[/]
    """
    from fleetwire.cli import trace as tracing
    from fleetwire.kit.durations import parse_duration

    named = {"client": client, "address": address, "topic": topic}
    chosen = {name: value for name, value in named.items() if value is not None}
    if not chosen:
        raise typer.BadParameter("name a --client, an --address or a --topic")
    chosen["seconds"] = str(max(1, round(parse_duration(duration, "--for"))))
    if payload:
        chosen["payload"] = "true"
    tracing.run(rest(url, token), chosen, count, as_json=as_json)
