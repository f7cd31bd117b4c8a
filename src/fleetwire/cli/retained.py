"""`fleetwire retained`: the retained messages of a running server."""

import base64
import json
from typing import Any
from urllib.parse import quote

from fleetwire.cli.console import columns, note, plain, printable, say
from fleetwire.cli.rest import RestClient

PATH = "/api/v1/broker/retained"
SHOWN_CHARS = 60


def show_all(client: RestClient, topic_filter: str | None, *, as_json: bool) -> None:
    """Write a table of the retained messages. Raises RestError."""
    asked = {"filter": topic_filter} if topic_filter else {}
    found = list(client.every(PATH, **asked))
    if as_json:
        say(json.dumps(found))
        return
    if not found:
        note("No retained message fits." if topic_filter else "There are no retained messages.")
        return
    from rich.console import Console

    table = columns("topic", "qos", "bytes", "payload")
    for each in found:
        table.add_row(
            plain(each["topic"]), str(each["qos"]), str(each["payload_bytes"]), _begin(each)
        )
    Console().print(table)


def delete(client: RestClient, topic: str) -> None:
    """Remove one retained message. Raises RestError."""
    client.delete(f"{PATH}/{quote(topic, safe='')}")
    note("Removed.")


def _begin(shown: dict[str, Any]) -> str:
    if shown["encoding"] == "base64":
        return plain(printable(base64.b64decode(shown["payload"])))
    text = printable(shown["payload"].encode())
    is_cut = shown["is_cut"] or len(text) > SHOWN_CHARS
    return plain(text[:SHOWN_CHARS] + " …" if is_cut else text)
