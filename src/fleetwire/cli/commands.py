"""`fleetwire commands`: send commands to devices, and see what becomes of them."""

import json
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from fleetwire.cli.batch_progress import NOT_DONE, follow
from fleetwire.cli.console import columns, note, plain, say
from fleetwire.cli.options import AsJson, Token, Url, rest
from fleetwire.errors import FleetwireError

MAX_WAIT_S = 25.0  # below the time after which an answer is given up

commands_app = typer.Typer(
    no_args_is_help=True,
    help="""Send commands to devices, and see what becomes of them.

    [dim]fleetwire commands send bp-001 start_monitoring -p interval=30 --wait 10s[/]

    [dim]fleetwire commands list bp-001[/]""",
)

DeviceId = Annotated[str, typer.Argument(help="The device's own name.")]
CommandId = Annotated[str, typer.Argument(help="The command's id.")]
Family = Annotated[str, typer.Option("--app", help="The app the devices belong to.")]
Name = Annotated[str, typer.Argument(help="Such as start_monitoring.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="JSON or text; may be repeated."),
]
ExpiresIn = Annotated[str, typer.Option(help="Not delivered after that: 1s to 30d.")]
Key = Annotated[
    str | None, typer.Option("--key", help="Sent once, however often this is repeated.")
]
Lane = Annotated[str | None, typer.Option(help="Of a lane, one is under way at a time.")]
Supersede = Annotated[
    bool, typer.Option("--supersede", help="Give up those that still wait in the lane.")
]


@commands_app.command("send")
def send(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[DEVICE] NAME",
            help="The device's own name, unless --group or --query says whom; and the command.",
        ),
    ],
    parameter: Parameters = None,
    family: Annotated[
        str | None,
        typer.Option("--app", help="The app the devices belong to; a device's is medical if not."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="To each device that is in this group now.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="To each device such as 'tag:cold and attr.floor=2'.")
    ] = None,
    expires_in: ExpiresIn = "60s",
    key: Key = None,
    lane: Lane = None,
    supersede: Supersede = False,
    wait: Annotated[
        str | None,
        typer.Option(help="For the outcome, at most so long; 25s is the most for a single device."),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Send a command. Exit status 1 if it is known that a device did not do it.

    [dim]fleetwire commands send bp-001 start_monitoring -p interval=30 --wait 10s[/]

    [dim]fleetwire commands send --group cold-floor-2 restart --wait 2m[/]
    """
    if group is not None and query is not None:
        raise FleetwireError("--group and --query are two ways to say whom; take one")
    is_many = group is not None or query is not None
    if len(words) != (1 if is_many else 2):
        form = "NAME, as --group or --query says whom" if is_many else "DEVICE NAME"
        raise FleetwireError(f"say {form}; there are {len(words)} words")
    body = _body(words[-1], parameter, expires_in, lane, supersede)
    client = rest(url, token)
    if is_many:
        named = {"app": family, "group": group, "query": query}
        body |= {name: value for name, value in named.items() if value is not None}
        sent = client.post("/api/v1/command-batches", body, key=key)
        follow(client, sent, 0.0 if wait is None else _seconds(wait), as_json=as_json)
        return
    app = quote(family or "medical", safe="")
    path = f"/api/v1/devices/{app}/{quote(words[0], safe='')}/commands"
    if wait is not None:
        path += f"?wait={min(_seconds(wait), MAX_WAIT_S):g}s"
    command = client.post(path, body, key=key)
    _show(command, as_json=as_json)
    if command["state"] in NOT_DONE:
        raise typer.Exit(1)


@commands_app.command("list")
def list_commands(
    device_id: DeviceId,
    family: Family = "medical",
    state: Annotated[
        list[str] | None, typer.Option("--state", "-s", help="Only these; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List a device's commands, newest first.

    [dim]fleetwire commands list bp-001 --state queued[/]
    """
    asked = urlencode([("limit", limit), *[("state", each) for each in state or ()]])
    path = f"/api/v1/devices/{quote(family, safe='')}/{quote(device_id, safe='')}/commands"
    found = rest(url, token).get(f"{path}?{asked}")["items"]
    if as_json:
        say(json.dumps(found))
        return
    if not found:
        note("There is no such command.")
        return
    from rich.console import Console

    table = columns("command", "name", "state", "reason", "attempts", "created")
    table.columns[0].no_wrap = table.columns[2].no_wrap = True  # to be copied
    for each in found:
        table.add_row(
            each["id"],
            plain(each["name"]),
            each["state"],
            plain(each["reason"] or ""),
            str(each["attempts"]),
            each["created_at"],
        )
    Console().print(table)


@commands_app.command("show")
def show(
    command_id: CommandId, as_json: AsJson = False, url: Url = None, token: Token = None
) -> None:
    """Show a command with its timeline.

    [dim]fleetwire commands show 9f86d081884c7d659a2feaa0c55ad015[/]
    """
    _show(rest(url, token).get(f"/api/v1/commands/{quote(command_id, safe='')}"), as_json=as_json)


@commands_app.command("cancel")
def cancel(
    command_id: CommandId, as_json: AsJson = False, url: Url = None, token: Token = None
) -> None:
    """Give up a command that was not delivered yet.

    [dim]fleetwire commands cancel 9f86d081884c7d659a2feaa0c55ad015[/]
    """
    path = f"/api/v1/commands/{quote(command_id, safe='')}/cancel"
    _show(rest(url, token).post(path, {}), as_json=as_json)


@commands_app.command("batch")
def batch(
    name: Name,
    device_ids: Annotated[list[str], typer.Argument(help="The devices' own names.")],
    parameter: Parameters = None,
    family: Family = "medical",
    expires_in: ExpiresIn = "60s",
    key: Key = None,
    lane: Lane = None,
    supersede: Supersede = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Send a command to many devices, and write how far it has come as JSON.

    [dim]fleetwire commands batch restart bp-001 bp-002 --expires-in 1h[/]
    """
    body = _body(name, parameter, expires_in, lane, supersede)
    body |= {"app": family, "devices": device_ids}
    say(json.dumps(rest(url, token).post("/api/v1/command-batches", body, key=key)))


@commands_app.command("progress")
def progress(
    batch_id: Annotated[str, typer.Argument(help="The batch's id.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Write how far a batch has come as JSON.

    [dim]fleetwire commands progress 9f86d081884c7d659a2feaa0c55ad015[/]
    """
    path = f"/api/v1/command-batches/{quote(batch_id, safe='')}"
    say(json.dumps(rest(url, token).get(path)))


def _body(
    name: str, parameters: list[str] | None, expires_in: str, lane: str | None, supersede: bool
) -> dict[str, Any]:
    body = {"name": name, "parameters": _parameters(parameters), "expires_in": expires_in}
    return body | {"lane": lane, "supersede": supersede}


def _parameters(given: list[str] | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise FleetwireError(f"--parameter must be NAME=VALUE, not {each!r}")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


def _seconds(wait: str) -> float:
    from fleetwire.kit.durations import parse_duration

    return parse_duration(wait, "--wait")


def _show(command: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(json.dumps(command))
        return
    say(f"{command['id']} {command['state']}")
    for line in command["timeline"]:
        reason = f"  ({plain(line['reason'])})" if line["reason"] else ""
        say(f"  {line['at']}  {line['state']}{reason}")
