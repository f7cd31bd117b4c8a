"""`fleetwire devices`: the fleet, one by one and by the file."""

from pathlib import Path
from typing import Annotated

import typer

from fleetwire.cli import credentials
from fleetwire.cli.options import AsJson, Token, Url, rest

EXIT_REFUSED = 1  # a line of the file

devices_app = typer.Typer(
    help="List and register devices on a running server.", no_args_is_help=True
)
devices_app.command("credentials")(credentials.list_credentials)
devices_app.command("rotate")(credentials.rotate)
devices_app.command("revoke")(credentials.revoke)


@devices_app.command("list")
def list_devices(
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="Such as 'area:Clinic and tag:cold'.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the devices with their presence.

    [dim]fleetwire devices list[/]

    [dim]fleetwire devices list --query 'type:ecg_monitor and not connected:true'[/]
    """
    from fleetwire.cli import devices

    client = rest(url, token)
    devices.show(client, query, as_json=as_json)


@devices_app.command("import")
def import_devices(
    file: Annotated[
        Path, typer.Argument(help="CSV with a first line of names, JSON (a list) or NDJSON.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
    credentials: Annotated[
        Path | None,
        typer.Option(help="New file for the MQTT passwords of new devices: told this once."),
    ] = None,
    family: Annotated[str, typer.Option("--app", help="Where no line says.")] = "medical",
    url: Url = None,
    token: Token = None,
) -> None:
    """Register or change many devices. Exit status 1 if a line was refused.

    CSV columns: device_id, type, name, app, tags (with spaces between them), area (a path),
    attr.NAME (a text), attributes (JSON). What an empty field stands for stays as it is.

    [dim]fleetwire devices import fleet.csv --dry-run[/]

    [dim]fleetwire devices import fleet.csv --credentials passwords.csv[/]
    """
    from fleetwire.cli import device_import

    client = rest(url, token)
    if not device_import.run(client, file, family, credentials, dry_run=dry_run):
        raise typer.Exit(EXIT_REFUSED)


@devices_app.command("export")
def export_devices(
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")],
    format: Annotated[
        str | None,
        typer.Option("--format", "-f", help="csv, json or ndjson.", show_default="by its name"),
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="Such as 'area:Clinic and tag:cold'.")
    ] = None,
    family: Annotated[str | None, typer.Option("--app", help="Of this app.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also over a file that is there.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write devices to a file that `fleetwire devices import` takes back.

    [dim]fleetwire devices export fleet.csv[/]

    [dim]fleetwire devices export cold.ndjson --query 'tag:cold and not connected:true'[/]
    """
    from fleetwire.cli import device_export

    client = rest(url, token)
    device_export.run(client, file, format, query=query, app=family, force=force)


@devices_app.command("register")
def register_device(
    device_id: Annotated[str, typer.Argument(help="The device's own name.")],
    type: Annotated[str, typer.Option("--type", "-t", help="Such as pulse_oximeter.")],
    family: Annotated[str, typer.Option("--app", help="The app it belongs to.")] = "medical",
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="May be repeated."),
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Register a device and show its MQTT credential, this once.

    [dim]fleetwire devices register bp-001 --type blood_pressure_monitor -a patient_id=P-1001[/]
    """
    from fleetwire.cli import devices

    client = rest(url, token)
    devices.register(client, family, device_id, type, attribute or [])
