"""`fleetwire devices credentials`, `rotate` and `revoke`: what devices sign in with."""

from typing import Annotated
from urllib.parse import quote

import typer

from fleetwire.cli.options import AsJson, Token, Url, rest

DeviceId = Annotated[str, typer.Argument(help="The device's own name.")]
Family = Annotated[str, typer.Option("--app", help="The app it belongs to.")]


def list_credentials(
    device_id: Annotated[str | None, typer.Argument(help="Of this device; or --expiring.")] = None,
    family: Family = "medical",
    expiring: Annotated[
        str | None, typer.Option(metavar="TIME", help="Of all devices, those that end within.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List a device's credentials, or those of all devices that end soon.

    [dim]fleetwire devices credentials bp-001[/]

    [dim]fleetwire devices credentials --expiring 30d[/]
    """
    from fleetwire.cli.console import show

    if (device_id is None) == (expiring is None):
        raise typer.BadParameter("say a device, or --expiring and a time")
    client = rest(url, token)
    if expiring is not None:
        show(
            list(client.every("/api/v1/credentials/expiring", within=expiring)),
            {
                "device": lambda each: f"{each['app']}/{each['device_id']}",
                "id": lambda each: str(each["id"]),
                "kind": lambda each: each["kind"],
                "ends": lambda each: each["expires_at"],
                "last used": lambda each: each["last_used_at"] or "never",
                "another": lambda each: "lives longer" if each["is_outlived"] else "none",
            },
            as_json=as_json,
            none=f"No credential ends within {expiring}.",
        )
        return
    show(
        client.get(_path(family, device_id or "")),
        {
            "id": lambda each: str(each["id"]),
            "kind": lambda each: each["kind"],
            "made": lambda each: each["created_at"],
            "last used": lambda each: each["last_used_at"] or "never",
            "ends": lambda each: each["expires_at"],
            "revoked": lambda each: each["revoked_at"],
        },
        as_json=as_json,
        none="The device has no credential.",
    )


def rotate(
    device_id: DeviceId,
    family: Family = "medical",
    overlap: Annotated[
        str, typer.Option(help="For so long the older tokens are good, too; 0s = not at all.")
    ] = "24h",
    expires_at: Annotated[str | None, typer.Option(help="ISO 8601 or epoch.")] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Give a device a new token; its older ones end after the overlap.

    [dim]fleetwire devices rotate bp-001 --overlap 24h[/]
    """
    from fleetwire.cli.console import note, say

    body = {"overlap": overlap, "expires_at": expires_at}
    given = rest(url, token).post(_path(family, device_id), body)
    note("The password is shown this once.")
    say(f"username {given['username']}")
    say(f"password {given['password']}")


def revoke(
    device_id: DeviceId,
    credential: Annotated[int, typer.Argument(help="Number of the credential.")],
    family: Family = "medical",
    url: Url = None,
    token: Token = None,
) -> None:
    """Revoke a credential; what is connected with it is closed at once.

    [dim]fleetwire devices revoke bp-001 17[/]
    """
    rest(url, token).delete(f"{_path(family, device_id)}/{credential}")


def _path(family: str, device_id: str) -> str:
    return f"/api/v1/devices/{quote(family, safe='')}/{quote(device_id, safe='')}/credentials"
