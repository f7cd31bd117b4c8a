"""`fleetwire areas`: where devices stand."""

import json
from collections import Counter
from typing import Annotated, Any
from urllib.parse import quote

import typer

from fleetwire.cli.options import AsJson, Token, Url, rest
from fleetwire.errors import FleetwireError

AREAS = "/api/v1/areas"
DEVICES = "/api/v1/devices"
NOWHERE = "-"

areas_app = typer.Typer(
    help="""Build the tree of areas and put devices into it.

    [dim]fleetwire areas create 'Clinic/Floor 2/Ward 3'[/]

    [dim]fleetwire areas assign 'Clinic/Floor 2/Ward 3' bp-001 bp-002[/]

    [dim]fleetwire areas tree[/]""",
    no_args_is_help=True,
)

Path = Annotated[str, typer.Argument(help="Names from the top down, with / between them.")]


@areas_app.command("tree")
def show_tree(
    path: Annotated[str | None, typer.Argument(help="This area and all below.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show areas, each with how many devices stand in it and below.

    [dim]fleetwire areas tree[/]

    [dim]fleetwire areas tree 'Clinic/Floor 2' --json[/]
    """
    from fleetwire.cli.console import note, printable, say

    asked = {} if path is None else {"under": path}
    found = sorted(rest(url, token).every(AREAS, **asked), key=_names)
    if as_json:
        say(json.dumps(found))
        return
    if not found:
        note("There is no area yet." if path is None else f"There is no area {path!r}.")
        return
    top = len(_names(found[0])) if path is not None else 1
    counts: Counter[str] = Counter()
    for area in found:
        names = _names(area)
        for depth in range(1, len(names) + 1):
            counts["/".join(names[:depth])] += area["device_count"]
    for area in found:
        names, count = _names(area), counts[area["path"]]
        devices = f"{count} device{'' if count == 1 else 's'}"
        indent = "  " * (len(names) - top)
        say(f"{indent}{printable(area['name'].encode())}  ({devices})")


@areas_app.command("create")
def create(path: Path, url: Url = None, token: Token = None) -> None:
    """Add an area, and what is missing above it.

    [dim]fleetwire areas create 'Clinic/Floor 2/Ward 3'[/]
    """
    from fleetwire.cli.console import say

    client = rest(url, token)
    names = path.split("/")
    known = {area["path"]: area for area in client.every(AREAS, under=names[0])}
    if path in known:
        raise FleetwireError(f"There is an area {path!r} already.")
    parent: int | None = None
    for depth in range(1, len(names) + 1):
        area = known.get("/".join(names[:depth]))
        if area is None:
            area = client.post(AREAS, {"name": names[depth - 1], "parent_id": parent})
        parent = area["id"]
    say(path)


@areas_app.command("move")
def move(
    path: Path,
    new_path: Annotated[str, typer.Argument(help="What it is from now on; its parent is there.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Move or rename an area; what is below comes along.

    [dim]fleetwire areas move 'Clinic/Ward 3' 'Annex/Ward 3'[/]

    [dim]fleetwire areas move 'Annex/Ward 3' 'Annex/Ward 3 East'[/]
    """
    from fleetwire.cli.console import say

    client = rest(url, token)
    area = _area(client, path)
    above, slash, name = new_path.rpartition("/")
    parent = _area(client, above)["id"] if slash else None
    changed = client.patch(f"{AREAS}/{area['id']}", {"name": name, "parent_id": parent})
    say(changed["path"])


@areas_app.command("delete")
def delete(path: Path, url: Url = None, token: Token = None) -> None:
    """Remove an area that holds no devices and no areas.

    [dim]fleetwire areas delete 'Annex/Ward 3 East'[/]
    """
    client = rest(url, token)
    client.delete(f"{AREAS}/{_area(client, path)['id']}")


@areas_app.command("assign")
def assign(
    path: Annotated[str, typer.Argument(help="An area that is there; - takes out of any.")],
    devices: Annotated[list[str] | None, typer.Argument(help="Ids of devices.")] = None,
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="All that it means, such as tag:cold.")
    ] = None,
    family: Annotated[str, typer.Option("--app", help="App of the named devices.")] = "medical",
    url: Url = None,
    token: Token = None,
) -> None:
    """Put devices into an area.

    [dim]fleetwire areas assign 'Clinic/Floor 2' bp-001 bp-002[/]

    [dim]fleetwire areas assign 'Clinic/Floor 2' --query 'tag:floor-2'[/]
    """
    from fleetwire.cli.console import say

    if bool(devices) == bool(query):
        raise typer.BadParameter("name devices, or say --query")
    client = rest(url, token)
    area = None if path == NOWHERE else _area(client, path)["id"]
    names = [(family, device_id) for device_id in devices or ()]
    if query:
        found = client.every(DEVICES, query=query)
        names = [(device["app"], device["device_id"]) for device in found]
    for app, device_id in names:
        where = f"{DEVICES}/{quote(app, safe='')}/{quote(device_id, safe='')}"
        client.patch(where, {"area_id": area})
    where = "in no area" if area is None else f"in {path}"
    say(f"{len(names)} {'device is' if len(names) == 1 else 'devices are'} {where}")


def _names(area: Any) -> list[str]:
    names: list[str] = area["path"].split("/")
    return names


def _area(client: Any, path: str) -> Any:
    for area in client.every(AREAS, under=path):
        if area["path"] == path:
            return area
    raise FleetwireError(f"There is no area {path!r}. fleetwire areas tree shows those there are.")
