"""`fleetwire keys`: what programs sign in with, services and your own."""

from typing import Annotated, Any

import typer

from fleetwire.cli.options import AsJson, Token, Url, rest
from fleetwire.cli.people import show_lines

keys_app = typer.Typer(help="Make, list and revoke keys: of services, and (--mine) your own.")

Mine = Annotated[bool, typer.Option("--mine", help="Your own, which may what you may.")]


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Letters, digits and . _ -")],
    publish: Annotated[list[str] | None, typer.Option(help="Topic filter; repeat it.")] = None,
    subscribe: Annotated[list[str] | None, typer.Option(help="Topic filter; repeat it.")] = None,
    permission: Annotated[
        list[str] | None, typer.Option(help="Over HTTP, such as device.read; repeat it.")
    ] = None,
    expires_at: Annotated[str | None, typer.Option(help="ISO 8601 or epoch.")] = None,
    mine: Mine = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the token of a new key. It is not shown again.

    [dim]fleetwire keys create exporter --subscribe 'devices/+/data' --permission device.read[/]

    [dim]fleetwire keys create laptop --mine --permission device.read --permission message.read[/]
    """
    from fleetwire.cli.console import say

    body: dict[str, Any] = {
        "name": name,
        "permissions": permission or [],
        "expires_at": expires_at,
    }
    if not mine:
        body |= {"publish": publish or [], "subscribe": subscribe or []}
    elif publish or subscribe:
        raise typer.BadParameter("over MQTT your own key may what you may: leave out topics")
    say(rest(url, token).post(_keys(mine), body)["token"])


@keys_app.command("list")
def list_keys(
    mine: Mine = False, as_json: AsJson = False, url: Url = None, token: Token = None
) -> None:
    """List your organisation's keys, without their tokens.

    [dim]fleetwire keys list --mine[/]
    """
    found = list(rest(url, token).every(_keys(mine)))
    show_lines(found, ("id", "name", "kind", "expires_at", "revoked_at", "last_used_at"), as_json)


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[int, typer.Argument(help="Number of the key.")],
    mine: Mine = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Revoke a key; what is connected with it is closed at once.

    [dim]fleetwire keys revoke 3[/]
    """
    rest(url, token).delete(f"{_keys(mine)}/{key_id}")


def _keys(mine: bool) -> str:
    return "/api/v1/me/keys" if mine else "/api/v1/api-keys"
