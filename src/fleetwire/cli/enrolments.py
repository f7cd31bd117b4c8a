"""`fleetwire fleet-keys` and `fleetwire enrolments`: devices ask to be let in, people decide."""

from typing import Annotated, Any

import typer

from fleetwire.cli.claims import pairs_of
from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, Token, Url, rest

fleet_keys_app = typer.Typer(
    cls=ListGroup, help="Make, list and revoke keys with which devices ask to be let in."
)
enrolments_app = typer.Typer(cls=ListGroup, help="List who asks to be let in; approve or refuse.")

FLEET_KEYS = "/api/v1/fleet-keys"
ENROLMENTS = "/api/v1/enrolments"

Number = Annotated[int, typer.Argument(help="Number, as in the list.")]


@fleet_keys_app.callback()
def _keys() -> None:
    """Make, list and revoke keys with which devices ask to be let in."""


@enrolments_app.callback()
def _enrolments() -> None:
    """List who asks to be let in; approve or refuse."""


@fleet_keys_app.command("list")
def list_keys(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List fleet keys, without their text.

    [dim]fleetwire fleet-keys list[/]
    """
    from fleetwire.cli.console import show

    show(
        list(rest(url, token).every(FLEET_KEYS)),
        {
            "id": lambda key: str(key["id"]),
            "name": lambda key: key["name"],
            "app": lambda key: key["app"],
            "type": lambda key: key["type"],
            "approves": lambda key: "at once" if key["auto_approve"] else "a person",
            "let in": lambda key: f"{key['enrolled']} of {key['max_devices'] or 'any number'}",
            "until": lambda key: key["revoked_at"] or key["expires_at"],
        },
        as_json=as_json,
        none="There is no fleet key.",
    )


@fleet_keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="For people, such as 'line 2'.")],
    type: Annotated[str, typer.Option("--type", "-t", help="Of devices that say no other.")],
    family: Annotated[str, typer.Option("--app", help="The app they belong to.")] = "medical",
    tag: Annotated[list[str] | None, typer.Option(help="They get it; may be repeated.")] = None,
    auto_approve: Annotated[
        bool, typer.Option("--auto-approve", help="Nobody needs to say yes.")
    ] = False,
    max_devices: Annotated[int | None, typer.Option(min=1, help="No more than these.")] = None,
    valid_for: Annotated[str | None, typer.Option(help="Such as 30d.")] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print a new fleet key. It is not shown again.

    [dim]fleetwire fleet-keys create 'line 2' -t ecg_monitor --max-devices 500 --valid-for 30d[/]
    """
    from fleetwire.cli.console import say

    body = {
        "name": name,
        "app": family,
        "type": type,
        "tags": tag or [],
        "auto_approve": auto_approve,
        "max_devices": max_devices,
        "valid_for": valid_for,
    }
    say(rest(url, token).post(FLEET_KEYS, body)["fleet_key"])


@fleet_keys_app.command("revoke")
def revoke_key(number: Number, url: Url = None, token: Token = None) -> None:
    """Let nobody ask with a fleet key any more; devices that are in stay.

    [dim]fleetwire fleet-keys revoke 3[/]
    """
    rest(url, token).delete(f"{FLEET_KEYS}/{number}")


@enrolments_app.command("list")
def list_enrolments(
    state: Annotated[
        str | None, typer.Option(help="pending, approved, refused or enrolled.")
    ] = None,
    family: Annotated[str | None, typer.Option("--app", help="Of this app.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List devices that asked to be let in, or came in by themselves.

    [dim]fleetwire enrolments list --state pending[/]
    """
    from fleetwire.cli.console import show

    asked = {name: said for name, said in (("state", state), ("app", family)) if said is not None}
    show(
        list(rest(url, token).every(ENROLMENTS, **asked)),
        {
            "id": lambda each: str(each["id"]),
            "state": lambda each: each["state"],
            "app": lambda each: each["app"],
            "device": lambda each: each["device_id"],
            "type": lambda each: each["type"],
            "says": lambda each: ", ".join(f"{k}={v}" for k, v in each["facts"].items()),
            "from": lambda each: each["remote"],
            "asked": lambda each: each["asked_at"],
        },
        as_json=as_json,
        none="Nobody asks.",
    )


@enrolments_app.command("approve")
def approve(
    numbers: Annotated[list[int], typer.Argument(help="Numbers, as in the list.")],
    type: Annotated[str | None, typer.Option("--type", "-t", help="Another than it says.")] = None,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="May be repeated."),
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Let devices in: each gets its credential when it asks the next time.

    [dim]fleetwire enrolments approve 12 13 14[/]

    [dim]fleetwire enrolments approve 12 --name 'Ward 3, bed 4' -a patient_id=P-17[/]
    """
    body: dict[str, Any] = {"type": type, "name": name}
    if attribute:
        body["attributes"] = pairs_of(attribute)
    client = rest(url, token)
    for number in numbers:
        client.post(f"{ENROLMENTS}/{number}/approve", body)


@enrolments_app.command("refuse")
def refuse(
    numbers: Annotated[list[int], typer.Argument(help="Numbers, as in the list.")],
    reason: Annotated[str, typer.Option(help="The device is told.")] = "",
    url: Url = None,
    token: Token = None,
) -> None:
    """Keep devices out.

    [dim]fleetwire enrolments refuse 15 --reason 'not one of ours'[/]
    """
    client = rest(url, token)
    for number in numbers:
        client.post(f"{ENROLMENTS}/{number}/refuse", {"reason": reason})
