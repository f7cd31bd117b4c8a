"""Options that several commands take, and what they come to."""

import functools
import inspect
import keyword
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Url = Annotated[
    str | None, typer.Option(help="Root of the server.", show_default="http://127.0.0.1:8000")
]
Token = Annotated[str | None, typer.Option(help="Access token.", show_default="FLEETWIRE_TOKEN")]
From = Annotated[str | None, typer.Option("--from", help="Then or later: ISO 8601 or epoch.")]
To = Annotated[str | None, typer.Option("--to", help="Before: ISO 8601 or epoch.")]
AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]

DataDir = Annotated[
    Path | None, typer.Option(help="Where everything is kept.", show_default="./data")
]
Bind = Annotated[
    str | None,
    typer.Option(
        help="Address to listen on. On loopback clients may connect without a password; on any "
        "other, never.",
        show_default="127.0.0.1",
    ),
]
HttpPort = Annotated[int | None, typer.Option(help="REST; 0 = any free.", show_default="8000")]
MqttPort = Annotated[int | None, typer.Option(help="MQTT; 0 = any free.", show_default="1883")]
MqttWsPort = Annotated[
    int | None, typer.Option(help="MQTT over WebSocket; 0 = any free.", show_default="9001")
]
Apps = Annotated[
    str | None,
    typer.Option(help="Apps to run, with commas between them.", show_default="all installed"),
]
AppPort = Annotated[
    list[str] | None,
    typer.Option(metavar="APP=PORT", help="Port of an app's listener; may be repeated."),
]
Username = Annotated[str | None, typer.Option("--username", "-u", help="MQTT user name.")]
Password = Annotated[str | None, typer.Option("--password", "-P", help="MQTT password.")]
Host = Annotated[str | None, typer.Option("--host", "-h", help="Broker; as the settings say.")]
Port = Annotated[int | None, typer.Option("--port", "-p", help="Its port.")]
ClientId = Annotated[str, typer.Option("--client-id", "-i", help="Empty: the broker names us.")]
Qos = Annotated[int, typer.Option("--qos", "-q", min=0, max=2, help="0, 1 or 2.")]


def narrowing(options: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options; those that were said come to it as `where`, by their names.

    @narrowing({"app": Annotated[str | None, typer.Option(help="Of this app.")]})
    def list_things(where: dict[str, str], url: Url = None) -> None: ...
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command)
        parameters = [each for each in own.parameters.values() if each.name != "where"]
        by_parameter = {f"{name}_" if keyword.iskeyword(name) else name: name for name in options}

        @functools.wraps(command)
        def run(**given: Any) -> None:
            said = {name: given.pop(parameter) for parameter, name in by_parameter.items()}
            where = {name: value for name, value in said.items() if value is not None}
            command(where=where, **given)

        keyword_only = inspect.Parameter.KEYWORD_ONLY
        added = [
            inspect.Parameter(parameter, keyword_only, default=None, annotation=options[name])
            for parameter, name in by_parameter.items()
        ]
        parameters = added + [each.replace(kind=keyword_only) for each in parameters]
        # What typer reads.
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # typeshed has no name for it
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def settings(**overrides: Any) -> Any:
    """Return the settings; what is None does not count. Raises SettingsError."""
    from fleetwire.settings import load

    app_port = overrides.pop("app_port", None)
    if app_port:
        overrides["app_ports"] = ",".join(app_port)
    return load({name: value for name, value in overrides.items() if value is not None})


def http_url(settings: Any, url: str | None) -> str:
    """Return the root of the server: as asked for, or where the settings say it is."""
    from fleetwire.settings import reachable_at

    if url is not None:
        return url
    host = reachable_at(settings.bind)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http_port}"


def rest(url: str | None, token: str | None) -> Any:
    """Return a client of the server. Raises RestError."""
    from fleetwire.cli.rest import RestClient

    known = settings()
    return RestClient(http_url(known, url), token or known.client.token)
