"""`fleetwire follow`: events as they happen, without a gap when the connection is lost."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from fleetwire.cli.console import note, printable, say
from fleetwire.cli.options import AsJson, Token, Url, rest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.cli.rest import RestClient

PATH = "/api/v1/realtime/events"
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
UNAVAILABLE = 503

Names = list[str] | None


def follow(
    device: Annotated[
        Names, typer.Option("--device", help="APP/DEVICE, or its own name; may be repeated.")
    ] = None,
    group: Annotated[Names, typer.Option("--group", help="Whoever is in it at the time.")] = None,
    query: Annotated[
        str | None, typer.Option(help="Whoever is meant, such as 'tag:cold and attr.floor=2'.")
    ] = None,
    family: Annotated[Names, typer.Option("--app", help="Devices of this app.")] = None,
    event: Annotated[
        Names, typer.Option("--event", help="Events of this name, such as 'command.*'.")
    ] = None,
    topic: Annotated[Names, typer.Option("--topic", help="Topic filter they came by.")] = None,
    since: Annotated[
        int | None, typer.Option(min=0, help="Stored events after this cursor first.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", "-C", min=1, help="End after.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write a line for each event as it happens; without options of all devices that you may see.

    When the connection is lost it is opened again, and what was missed comes first.

    [dim]fleetwire follow --device medical/bp-001[/]

    [dim]fleetwire follow --group cold-floor-2 --event 'command.*' --json[/]
    """
    wish = {
        "device": device,
        "group": group,
        "query": query,
        "app": family,
        "event": event,
        "topic": topic,
    }
    wish = {name: value for name, value in wish.items() if value is not None}
    note("Following. Ctrl-C ends.")
    for number, told in enumerate(_events(rest(url, token), wish, since), 1):
        say(json.dumps(told) if as_json else line(told))
        if number == count:
            return


def line(event: Mapping[str, Any]) -> str:
    """Return an event in one line that cannot give orders to a terminal."""
    words = (
        event["received_at"],
        f"{event['app']}/{event['device_id']}",
        event["event"],
        json.dumps(event["data"], ensure_ascii=False),
    )
    return printable(" ".join(words).encode())


def _events(
    client: "RestClient", wish: Mapping[str, Any], cursor: int | None
) -> Iterator[dict[str, Any]]:
    """Yield events for ever. Raises RestError if the server refuses, or was never there."""
    from fleetwire.cli.rest import RestError

    pause_s = FIRST_PAUSE_S
    was_there = False
    while True:
        asked: dict[str, str | Sequence[str]] = {**wish, "snapshot": "false", "slow": "every"}
        if cursor is not None:
            asked["since"] = str(cursor)
        try:
            for name, content in client.events(f"{PATH}?{urlencode(asked, doseq=True)}"):
                was_there, pause_s = True, FIRST_PAUSE_S
                if name == "refused":
                    raise RestError(str(content["detail"]), int(content["status"]))
                if name == "members":
                    _tell(content)
                # The newest event at the beginning was not told to who asked for older ones.
                if name != "subscribed" or cursor is None:
                    cursor = content.get("cursor", cursor)
                if not name:
                    yield content
        except RestError as error:
            if not was_there or error.status not in (0, UNAVAILABLE):
                raise
            note(f"{error} Again in {pause_s:g} s.")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _tell(members: Mapping[str, Any]) -> None:
    for what in ("joined", "left"):
        for device in members[what]:
            note(printable(f"{device['app']}/{device['device_id']} {what}".encode()))
