"""`fleetwire claims`: codes with which devices get their MQTT credential."""

from typing import Annotated, Any

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, Token, Url, rest
from fleetwire.errors import FleetwireError

claims_app = typer.Typer(
    cls=ListGroup, help="Make, list, use and revoke codes with which devices get in."
)

CLAIMS = "/api/v1/claims"


@claims_app.callback()
def _group() -> None:
    """Make, list, use and revoke codes with which devices get in."""


@claims_app.command("list")
def list_claims(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List claims, the newest first, without their codes.

    [dim]fleetwire claims list[/]
    """
    from fleetwire.cli.console import show

    show(
        list(rest(url, token).every(CLAIMS)),
        {
            "id": lambda claim: str(claim["id"]),
            "state": lambda claim: claim["state"],
            "app": lambda claim: claim["app"],
            "device": lambda claim: claim["device_id"] or "any",
            "type": lambda claim: claim["type"],
            "used": lambda claim: f"{claim['uses']} of {claim['max_uses']}",
            "until": lambda claim: claim["expires_at"],
        },
        as_json=as_json,
        none="There is no claim.",
    )


@claims_app.command("create")
def create_claim(
    type: Annotated[str, typer.Option("--type", "-t", help="Such as pulse_oximeter.")],
    device_id: Annotated[
        str | None, typer.Argument(help="The device's own name; none: whoever claims says it.")
    ] = None,
    family: Annotated[str, typer.Option("--app", help="The app it belongs to.")] = "medical",
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="May be repeated."),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    valid_for: Annotated[str, typer.Option(help="Such as 8h or 30d.")] = "24h",
    uses: Annotated[int, typer.Option(min=1, help="How many devices, if any may claim.")] = 1,
    qr: Annotated[bool, typer.Option("--qr", help="Draw it, too.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Make a code; with --qr it is drawn, to be scanned from the screen.

    [dim]fleetwire claims create bp-7 --type blood_pressure_monitor -a patient_id=P-17 --qr[/]

    [dim]fleetwire claims create --type ecg_monitor --uses 20 --valid-for 30d[/]
    """
    import json

    from fleetwire.cli.console import note, say

    body = {
        "app": family,
        "device_id": device_id,
        "type": type,
        "attributes": pairs_of(attribute),
        "tags": tag or [],
        "valid_for": valid_for,
        "uses": uses,
    }
    made = rest(url, token).post(CLAIMS, body)
    if as_json:
        say(json.dumps(made))
        return
    if qr:
        from fleetwire.features.provisioning.qr import terminal

        note(terminal(made["url"]))
    note(f"Claim {made['claim']['id']}, good until {made['claim']['expires_at']}: {made['url']}")
    say(made["code"])


@claims_app.command("use")
def use_claim(
    code: Annotated[str, typer.Argument(help="As it was typed.")],
    device_id: Annotated[
        str | None, typer.Argument(help="The device's own name, if the code is for any.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
) -> None:
    """Use a code in the place of a device; nobody needs to sign in for it.

    [dim]fleetwire claims use 7KQ4-M2ZD-9XRA[/]
    """
    import json

    from fleetwire.cli.console import note, say

    body = {"code": code, "device_id": device_id}
    told = rest(url, None).post("/api/v1/provision/claim", body)
    if as_json:
        say(json.dumps(told))
        return
    note("The password is shown this once.")
    say(f"username {told['username']}")
    say(f"password {told['password']}")


@claims_app.command("svg")
def draw_claim(
    claim_id: Annotated[int, typer.Argument(help="Number of the claim.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Write the QR code of an open claim as SVG, for a label.

    [dim]fleetwire claims svg 12 > label.svg[/]
    """
    from fleetwire.cli.console import say

    pieces = rest(url, token).stream(f"{CLAIMS}/{claim_id}/qr.svg")
    say(b"".join(pieces).decode())


@claims_app.command("revoke")
def revoke_claim(
    claim_id: Annotated[int, typer.Argument(help="Number of the claim.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Let nobody use a code any more; devices that came by it stay.

    [dim]fleetwire claims revoke 12[/]
    """
    rest(url, token).delete(f"{CLAIMS}/{claim_id}")


def pairs_of(attributes: list[str] | None) -> dict[str, Any]:
    """Return what was said as NAME=VALUE. Raises FleetwireError."""
    pairs = [attribute.partition("=") for attribute in attributes or ()]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise FleetwireError(f"--attribute must be NAME=VALUE, not {name!r}")
    return {name: value for name, _, value in pairs}
