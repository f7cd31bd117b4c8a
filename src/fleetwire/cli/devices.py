"""`fleetwire devices`: the registry of a running server."""

import json
from collections.abc import Sequence
from typing import Any

from fleetwire.cli.console import note, say
from fleetwire.cli.rest import RestClient
from fleetwire.errors import FleetwireError


def show(client: RestClient, query: str | None, *, as_json: bool) -> None:
    """Write a table of the devices that are meant, None = all. Raises RestError."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    found = client.every("/api/v1/devices", **({} if query is None else {"query": query}))
    if as_json:
        say(json.dumps(list(found)))
        return
    table = Table("app", "device", "type", "there", "status", "last message", "area", box=None)
    for device in found:
        table.add_row(
            device["app"],
            escape(device["device_id"]),
            escape(device["type"]),
            "yes" if device["presence"]["connected"] else "no",
            escape(device["status"]),
            device["presence"]["last_seen"] or "never",
            escape(device["area"] or ""),
        )
    Console().print(table)


def register(
    client: RestClient, app: str, device_id: str, type: str, attributes: Sequence[str]
) -> None:
    """Register a device and write its MQTT credential. Raises RestError."""
    pairs = [attribute.partition("=") for attribute in attributes]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise FleetwireError(f"--attribute must be NAME=VALUE, not {name!r}")
    body = {
        "app": app,
        "device_id": device_id,
        "type": type,
        "attributes": {name: value for name, _, value in pairs},
    }
    answer = client.post("/api/v1/devices", body)
    credential = credential_in(answer)
    note("The password is shown this once.")
    say(f"username {credential[0]}")
    say(f"password {credential[1]}")


def credential_in(answer: dict[str, Any]) -> tuple[str, str]:
    """Return (user name, password) from an answer that gives a credential out."""
    given = answer.get("mqtt") or answer.get("credential") or answer
    return str(given["username"]), str(given["password"])
