"""`fleetwire groups`: devices by query."""

import json
from typing import Annotated
from urllib.parse import quote

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, Token, Url, rest

groups_app = typer.Typer(cls=ListGroup, help="Name queries, and list the devices they mean.")

GROUPS = "/api/v1/groups"


@groups_app.callback()
def _group() -> None:
    """Name queries, and list the devices they mean."""


@groups_app.command("list")
def list_groups(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List groups: name, query.

    [dim]fleetwire groups list[/]
    """
    from fleetwire.cli.console import say

    found = list(rest(url, token).every(GROUPS))
    if as_json:
        say(json.dumps(found))
        return
    for group in found:
        say(f"{group['name']}\t{group['query']}")


@groups_app.command("create")
def create_group(
    name: str,
    query: Annotated[str, typer.Argument(help="Such as 'tag:cold and attr.floor=2'.")],
    description: Annotated[str, typer.Option(help="For people.")] = "",
    url: Url = None,
    token: Token = None,
) -> None:
    """Name a query.

    [dim]fleetwire groups create cold 'tag:cold and not connected:true'[/]
    """
    from fleetwire.cli.console import say

    body = {"name": name, "query": query, "description": description}
    say(rest(url, token).post(GROUPS, body)["name"])


@groups_app.command("devices")
def list_group_devices(
    name: str, as_json: AsJson = False, url: Url = None, token: Token = None
) -> None:
    """List the devices that a group means now: app, device.

    [dim]fleetwire groups devices cold[/]
    """
    from fleetwire.cli.console import say

    found = list(rest(url, token).every(f"{GROUPS}/{quote(name, safe='')}/devices"))
    if as_json:
        say(json.dumps(found))
        return
    for device in found:
        say(f"{device['app']}\t{device['device_id']}")


@groups_app.command("delete")
def delete_group(name: str, url: Url = None, token: Token = None) -> None:
    """Remove a group; its devices stay.

    [dim]fleetwire groups delete cold[/]
    """
    rest(url, token).delete(f"{GROUPS}/{quote(name, safe='')}")
