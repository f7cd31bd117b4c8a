"""`fleetwire trace`: packets while they pass through a running server."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fleetwire.cli.console import note, printable, say
from fleetwire.cli.rest import RestClient

PATH = "/api/v1/broker/trace"
# Shown in words of their own, or at the beginning of the line.
_APART = ("at", "client_id", "remote", "direction", "packet", "payload", "encoding")


def run(client: RestClient, chosen: Mapping[str, str], count: int | None, *, as_json: bool) -> None:
    """Write a line for each packet until the trace ends, or `count` came. Raises RestError."""
    seen = 0
    note("Tracing. Ctrl-C ends.")
    for name, content in client.events(f"{PATH}?{urlencode(chosen)}"):
        if name == "left_out":
            note(f"{content['packets']} packets passed too fast to be looked at.")
        elif name == "packet":
            say(json.dumps(content) if as_json else line(content))
            seen += 1
            if seen == count:
                return
    note("The trace has ended.")


def line(packet: dict[str, Any]) -> str:
    """Return a packet in one line that cannot give orders to a terminal."""
    arrow = "->" if packet["direction"] == "in" else "<-"
    clock = packet["at"][11:23]
    words = [clock, packet["client_id"] or packet["remote"], arrow, packet["packet"]]
    for name, value in packet.items():
        if name not in _APART and value not in (None, False, 0, []):
            words.append(name if value is True else f"{name}={_word(value)}")
    if "payload" in packet:
        words.append(_payload(packet))
    return printable(" ".join(words).encode())


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _payload(packet: dict[str, Any]) -> str:
    if packet["encoding"] == "base64":
        return printable(base64.b64decode(packet["payload"]))
    return str(packet["payload"])
