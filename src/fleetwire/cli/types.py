"""`fleetwire types`: what kinds of devices there are."""

import json
import math
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from fleetwire.cli.groups import ListGroup
from fleetwire.cli.options import AsJson, Token, Url, rest
from fleetwire.errors import FleetwireError

TYPES = "/api/v1/device-types"
MAX_FILE_BYTES = 16 * 1024 * 1024
OUTSIDE = ("app", "created_at", "updated_at")  # what is known of a type and is no part of it

types_app = typer.Typer(
    cls=ListGroup,
    help="""Say what devices of one kind measure, report and can be asked.

    [dim]fleetwire types[/]

    [dim]fleetwire types create fridge --metric temperature:Cel:2:8 --state cooling --state idle[/]

    [dim]fleetwire types show fridge > fridge.json[/]""",
)

Name = Annotated[str, typer.Argument(help="Name of the type, as devices have it.")]


@types_app.command("list")
def list_types(as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List the types that apps declare and your organisation's own.

    [dim]fleetwire types list --json[/]
    """
    from fleetwire.cli.console import show

    cells = {
        "name": lambda each: each["name"],
        "declared by": lambda each: each["app"] or "you",
        "metrics": lambda each: ", ".join(_metric(metric) for metric in each["metrics"]),
        "states": lambda each: ", ".join(each["states"]),
        "commands": lambda each: ", ".join(command["name"] for command in each["commands"]),
    }
    found = list(rest(url, token).every(TYPES))
    show(found, cells, as_json=as_json, none="There is no type yet.")


@types_app.command("show")
def show_type(
    name: Name,
    family: Annotated[
        str | None, typer.Option("--app", help="As this app declares it, not as you do.")
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write a type as JSON that `fleetwire types import` takes.

    [dim]fleetwire types show pulse_oximeter > pulse_oximeter.json[/]
    """
    from fleetwire.cli.console import say

    asked = "" if family is None else f"?{urlencode({'app': family})}"
    found = rest(url, token).get(f"{_path(name)}{asked}")
    said = {key: value for key, value in found.items() if key not in OUTSIDE}
    say(json.dumps(said, indent=2))


@types_app.command("create")
def create(
    name: Name,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:UNIT:LOW:HIGH", help="The last parts may be left out."),
    ] = None,
    state: Annotated[list[str] | None, typer.Option(help="One that it can report.")] = None,
    command: Annotated[list[str] | None, typer.Option(help="One that it takes.")] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    url: Url = None,
    token: Token = None,
) -> None:
    """Make a type. What it says nothing of is not looked at. Files can say more: see import.

    [dim]fleetwire types create fridge --metric temperature:Cel:2:8 --metric door[/]

    [dim]fleetwire types create lamp --state on --state off --command toggle[/]
    """
    from fleetwire.cli.console import say

    body = {
        "name": name,
        "description": description,
        "metrics": [_metric_in(text) for text in metric or ()],
        "states": state or [],
        "commands": [{"name": each} for each in command or ()],
    }
    say(rest(url, token).post(TYPES, body)["name"])


@types_app.command("import")
def import_types(
    file: Annotated[Path, typer.Argument(help="JSON: a type, or a list of them.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Make the types of a file; those of your own that are there become as it says.

    [dim]fleetwire types import fridge.json[/]
    """
    from fleetwire.cli.console import printable, say

    types = _read(file)
    client = rest(url, token)
    own = {each["name"] for each in client.every(TYPES) if each["app"] is None}
    for each in types:
        body = {key: value for key, value in each.items() if key not in OUTSIDE}
        is_known = each["name"] in own
        if is_known:
            name = body.pop("name")
            # What the file does not say is not there from now on.
            empty = {"description": "", "metrics": [], "states": [], "commands": []}
            client.patch(_path(name), empty | {"publishes": [], "subscribes": []} | body)
        else:
            client.post(TYPES, body)
        own.add(each["name"])
        say(f"{printable(each['name'].encode())} {'changed' if is_known else 'created'}")


@types_app.command("delete")
def delete(name: Name, url: Url = None, token: Token = None) -> None:
    """Remove a type that no device is of.

    [dim]fleetwire types delete fridge[/]
    """
    rest(url, token).delete(_path(name))


def _path(name: str) -> str:
    return f"{TYPES}/{quote(name, safe='')}"


def _metric(metric: Any) -> str:
    low, high = metric["low"], metric["high"]
    bounds = "" if low is None and high is None else f" {_bound(low)}…{_bound(high)}"
    unit = f" {metric['unit']}" if metric["unit"] else ""
    return f"{metric['name']}{bounds}{unit}"


def _bound(bound: float | None) -> str:
    return "" if bound is None else f"{bound:g}"


def _metric_in(text: str) -> dict[str, Any]:
    parts = text.split(":")
    if len(parts) > 4 or not parts[0]:
        raise typer.BadParameter(f"--metric is NAME:UNIT:LOW:HIGH, not {text!r}")
    name, unit, low, high = [*parts, "", "", ""][:4]
    return {"name": name, "unit": unit, "low": _number(low, text), "high": _number(high, text)}


def _number(text: str, whole: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise typer.BadParameter(f"--metric {whole!r}: {text!r} is no number")
    return number


def _read(file: Path) -> list[dict[str, Any]]:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise FleetwireError(f"{file} is larger than {MAX_FILE_BYTES} bytes")
        found = json.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise FleetwireError(f"{file} cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise FleetwireError(f"{file} is no JSON: {error}") from None
    types = found if isinstance(found, list) else [found]
    for each in types:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise FleetwireError(f"{file} must be an object with a name, or a list of them")
    return types
