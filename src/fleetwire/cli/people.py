"""`fleetwire accounts` and `fleetwire keys`: people, invitations, and the keys of services."""

import json
from typing import Annotated, Any

import typer

from fleetwire.cli.options import AsJson, Token, Url, rest

accounts_app = typer.Typer(help="List, invite and remove people; let them set a new password.")
keys_app = typer.Typer(help="Make, list and revoke the keys of services.")

AccountId = Annotated[int, typer.Argument(help="Number of the account.")]


@accounts_app.command("list")
def list_accounts(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List your organisation's accounts."""
    _show(list(rest(url, token).every("/api/v1/accounts")), ("id", "username", "role"), as_json)


@accounts_app.command("invite")
def invite(
    email: Annotated[str, typer.Argument(help="E-mail address of whom you invite.")],
    role: Annotated[str, typer.Option(help="viewer, operator, administrator, owner.")] = "viewer",
    url: Url = None,
    token: Token = None,
) -> None:
    """Print a token with which somebody joins your organisation. It is good for a week.

    [dim]fleetwire accounts invite ann@example.org --role operator[/]
    """
    from fleetwire.cli.console import say

    say(rest(url, token).post("/api/v1/invitations", {"email": email, "role": role})["token"])


@accounts_app.command("reset-password")
def reset_password(account_id: AccountId, url: Url = None, token: Token = None) -> None:
    """Print a token with which somebody sets a new password. It is good for a day."""
    from fleetwire.cli.console import say

    path = f"/api/v1/accounts/{account_id}/password-reset"
    say(rest(url, token).post(path, {})["token"])


@accounts_app.command("remove")
def remove_member(account_id: AccountId, url: Url = None, token: Token = None) -> None:
    """End somebody's membership in your organisation; the account stays in others."""
    rest(url, token).delete(f"/api/v1/accounts/{account_id}/membership")


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Letters, digits and . _ -")],
    publish: Annotated[list[str] | None, typer.Option(help="Topic filter; repeat it.")] = None,
    subscribe: Annotated[list[str] | None, typer.Option(help="Topic filter; repeat it.")] = None,
    permission: Annotated[
        list[str] | None, typer.Option(help="Over HTTP, such as device.read; repeat it.")
    ] = None,
    expires_at: Annotated[str | None, typer.Option(help="ISO 8601 or epoch.")] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the token of a new key. It is not shown again.

    [dim]fleetwire keys create exporter --subscribe 'devices/+/data' --permission device.read[/]
    """
    from fleetwire.cli.console import say

    body: dict[str, Any] = {
        "name": name,
        "publish": publish or [],
        "subscribe": subscribe or [],
        "permissions": permission or [],
        "expires_at": expires_at,
    }
    say(rest(url, token).post("/api/v1/api-keys", body)["token"])


@keys_app.command("list")
def list_keys(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List your organisation's keys, without their tokens."""
    found = list(rest(url, token).every("/api/v1/api-keys"))
    _show(found, ("id", "name", "expires_at", "revoked_at"), as_json)


@keys_app.command("revoke")
def revoke_key(
    key_id: Annotated[int, typer.Argument(help="Number of the key.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Revoke a key; what is connected with it is closed at once."""
    rest(url, token).delete(f"/api/v1/api-keys/{key_id}")


def _show(found: list[Any], shown: tuple[str, ...], as_json: bool) -> None:
    from fleetwire.cli.console import printable, say

    if as_json:
        say(json.dumps(found))
        return
    for each in found:
        text = "  ".join("-" if each[name] is None else str(each[name]) for name in shown)
        say(printable(text.encode()))
