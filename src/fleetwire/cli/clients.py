"""`fleetwire clients`: who is connected to a running server, and what waits for whom."""

import json
from typing import Any
from urllib.parse import quote

from fleetwire.cli.console import columns, note, plain, say
from fleetwire.cli.rest import RestClient

PATH = "/api/v1/broker/clients"


def show_all(client: RestClient, search: str | None, connected: bool, *, as_json: bool) -> None:
    """Write a table of the clients. Raises RestError."""
    asked = {"search": search} if search else {}
    if connected:
        asked["connected"] = "true"
    found = list(client.every(PATH, **asked))
    if as_json:
        say(json.dumps(found))
        return
    if not found:
        note("No client fits." if asked else "Nobody is connected, and nothing waits for anybody.")
        return
    from rich.console import Console

    table = columns("client", "who", "from", "protocol", "since", "subscriptions", "waiting")
    for each in found:
        table.add_row(
            plain(each["client_id"]),
            plain(each["device"] or each["identity"]),
            _from(each),
            each["protocol"] or "",
            each["connected_since"] or each["disconnected_since"] or "",
            str(each["subscriptions"]),
            str(each["inflight"] + each["queue"]["messages"]),
        )
    Console().print(table)


def show(client: RestClient, client_id: str, *, as_json: bool) -> None:
    """Write all that is known of one client. Raises RestError."""
    shown = client.get(f"{PATH}/{quote(client_id, safe='')}")
    if as_json:
        say(json.dumps(shown))
        return
    from rich.console import Console

    table = columns("", "")
    table.show_header = False
    for name, value in _facts(shown):
        table.add_row(name, plain(value))
    console = Console()
    console.print(table)
    if not shown["subscriptions"]:
        note("It has no subscriptions.")
        return
    table = columns("subscription", "qos", "options")
    for each in shown["subscriptions"]:
        table.add_row(plain(each["topic_filter"]), str(each["qos"]), _options(each))
    console.print(table)


def kick(client: RestClient, client_id: str, *, end_session: bool) -> None:
    """Disconnect a client. Raises RestError."""
    ending = "?session=end" if end_session else ""
    client.delete(f"{PATH}/{quote(client_id, safe='')}{ending}")
    note("Its session has ended." if end_session else "Disconnected. It may come back.")


def _from(shown: dict[str, Any]) -> str:
    return f"{shown['remote']} ({shown['listener']})" if shown["connected"] else "away"


def _facts(shown: dict[str, Any]) -> list[tuple[str, str]]:
    about, traffic = shown["client"], shown["traffic"]
    facts = [
        ("client", about["client_id"]),
        ("identity", about["identity"]),
        ("device", about["device"] or "none"),
        ("from", _from(about)),
    ]
    if about["connected"]:
        facts += [
            ("protocol", about["protocol"]),
            ("connected since", about["connected_since"]),
            ("keep alive", f"{about['keep_alive_s']} s" if about["keep_alive_s"] else "none"),
            ("bytes", f"{traffic['bytes_received']} from it, {traffic['bytes_sent']} to it"),
        ]
    else:
        facts.append(("away since", about["disconnected_since"] or ""))
    return [
        *facts,
        ("session", _life(about["session_expiry_s"])),
        ("messages", f"{traffic['messages_received']} from it, {traffic['messages_sent']} to it"),
        ("in flight", f"{about['inflight']} of {shown['window']} at most"),
        ("queue", f"{about['queue']['messages']} messages, {about['queue']['bytes']} bytes"),
        ("will", shown["will_topic"] or "none"),
    ]


def _life(expiry_s: int) -> str:
    return f"kept for {expiry_s} s after its connection" if expiry_s else "ends with its connection"


def _options(shown: dict[str, Any]) -> str:
    options = []
    if shown["no_local"]:
        options.append("no local")
    if shown["retain_as_published"]:
        options.append("retain as published")
    if shown["retain_handling"]:
        options.append(f"retain handling {shown['retain_handling']}")
    if shown["identifier"]:
        options.append(f"identifier {shown['identifier']}")
    return ", ".join(options)
