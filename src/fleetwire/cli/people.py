"""`fleetwire accounts` and `login`: people, their invitations, passwords and logins."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fleetwire.cli.options import AsJson, Token, Url, http_url, rest, settings

accounts_app = typer.Typer(help="List, invite and remove people; let them set a new password.")
sessions_app = typer.Typer(help="List and end your own logins.")
accounts_app.add_typer(sessions_app, name="sessions")

AccountId = Annotated[int, typer.Argument(help="Number of the account.")]
Role = Annotated[str, typer.Option(help="viewer, operator, administrator, owner.")]


def login(
    username: Annotated[str, typer.Argument(help="User name or e-mail.")] = "admin",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    url: Url = None,
) -> None:
    """Sign in and write an access token.

    [dim]export FLEETWIRE_TOKEN=$(fleetwire login admin)[/]
    """
    import sys
    from getpass import getpass

    from fleetwire.cli.console import say
    from fleetwire.cli.rest import RestClient

    client = RestClient(http_url(settings(), url))
    password = sys.stdin.readline().rstrip("\n") if password_stdin else getpass()
    say(client.login(username, password))


@accounts_app.command("list")
def list_accounts(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List your organisation's accounts.

    [dim]fleetwire accounts list --json[/]
    """
    show_lines(
        list(rest(url, token).every("/api/v1/accounts")), ("id", "username", "role"), as_json
    )


@accounts_app.command("invite")
def invite(
    email: Annotated[str, typer.Argument(help="E-mail address of whom you invite.")],
    role: Role = "viewer",
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
    """Print a token with which somebody sets a new password. It is good for a day.

    [dim]fleetwire accounts reset-password 17[/]
    """
    from fleetwire.cli.console import say

    path = f"/api/v1/accounts/{account_id}/password-reset"
    say(rest(url, token).post(path, {})["token"])


@accounts_app.command("remove")
def remove_member(account_id: AccountId, url: Url = None, token: Token = None) -> None:
    """End somebody's membership in your organisation; the account stays in others.

    [dim]fleetwire accounts remove 17[/]
    """
    rest(url, token).delete(f"/api/v1/accounts/{account_id}/membership")


@accounts_app.command("create")
def create_account(
    username: Annotated[str, typer.Argument(help="Letters, digits and . _ -")],
    email: Annotated[str | None, typer.Option(help="E-mail address.")] = None,
    full_name: Annotated[str, typer.Option(help="For people to read.")] = "",
    role: Role = "viewer",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Make an account and print its number. Asks for a password, at least 10 characters.

    [dim]fleetwire accounts create ann --email ann@example.org --role operator[/]
    """
    import sys
    from getpass import getpass

    from fleetwire.cli.console import say

    client = rest(url, token)
    password = sys.stdin.readline().rstrip("\n") if password_stdin else getpass()
    body: dict[str, Any] = {
        "username": username,
        "email": email,
        "full_name": full_name,
        "role": role,
        "password": password,
    }
    say(str(client.post("/api/v1/accounts", body)["id"]))


@accounts_app.command("change")
def change_account(
    account_id: AccountId,
    role: Annotated[str | None, typer.Option(help="viewer, operator, …")] = None,
    username: Annotated[str | None, typer.Option(help="The new one.")] = None,
    email: Annotated[str | None, typer.Option(help="The new one.")] = None,
    full_name: Annotated[str | None, typer.Option(help="The new one.")] = None,
    is_active: Annotated[
        bool | None, typer.Option("--open/--close", help="Let in again, or no more.")
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Change an account; what it may not do any more ends at once.

    [dim]fleetwire accounts change 17 --role viewer[/]

    [dim]fleetwire accounts change 17 --close[/]
    """
    wished = {
        "role": role,
        "username": username,
        "email": email,
        "full_name": full_name,
        "is_active": is_active,
    }
    body = {name: value for name, value in wished.items() if value is not None}
    rest(url, token).patch(f"/api/v1/accounts/{account_id}", body)


@accounts_app.command("sign-out")
def sign_out(account_id: AccountId, url: Url = None, token: Token = None) -> None:
    """End all of somebody's logins for your organisation, at once.

    [dim]fleetwire accounts sign-out 17[/]
    """
    rest(url, token).delete(f"/api/v1/accounts/{account_id}/sessions")


@accounts_app.command("erase")
def erase(account_id: AccountId, url: Url = None, token: Token = None) -> None:
    """Close an account for good and remove its names and address; the audit keeps its number.

    [dim]fleetwire accounts erase 17[/]
    """
    rest(url, token).delete(f"/api/v1/accounts/{account_id}?erase=true")


@accounts_app.command("reset-owner")
def reset_owner(
    username: Annotated[
        str | None, typer.Argument(help="Who; needed if there is more than one owner.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept.", show_default="./data")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Give an owner who cannot sign in any more a password that is good for one login.

    Works on the data folder while no server runs on it. Prints user name and password.

    [dim]fleetwire accounts reset-owner --data-dir /var/lib/fleetwire[/]
    """
    from fleetwire.cli import owner_reset

    owner_reset.run(settings(data_dir=data_dir), username, is_sure=yes)


@sessions_app.command("list")
def list_sessions(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List your logins that go on.

    [dim]fleetwire accounts sessions list[/]
    """
    found = rest(url, token).get("/api/v1/me/sessions")["items"]
    shown = ("id", "organization_id", "remote", "created_at", "used_at", "is_current")
    show_lines(found, shown, as_json)


@sessions_app.command("end")
def end_session(
    session_id: Annotated[str, typer.Argument(help="As `list` shows it.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """End a login of yours, at once.

    [dim]fleetwire accounts sessions end 0b5c…[/]
    """
    rest(url, token).delete(f"/api/v1/me/sessions/{session_id}")


def show_lines(found: list[Any], shown: tuple[str, ...], as_json: bool) -> None:
    """Write these fields of each thing as a line, or all of them as JSON."""
    from fleetwire.cli.console import printable, say

    if as_json:
        say(json.dumps(found))
        return
    for each in found:
        text = "  ".join("-" if each[name] is None else str(each[name]) for name in shown)
        say(printable(text.encode()))
