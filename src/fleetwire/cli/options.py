"""Options that several commands take, and what they come to."""

from typing import Annotated, Any

import typer

Url = Annotated[
    str | None, typer.Option(help="Root of the server.", show_default="http://127.0.0.1:8000")
]
Token = Annotated[str | None, typer.Option(help="Access token.", show_default="FLEETWIRE_TOKEN")]
AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]


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
