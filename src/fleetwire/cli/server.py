"""`fleetwire serve` and `doctor`: run the server, and say what is wrong with it."""

from typing import Annotated, Any

import typer

from fleetwire.cli.options import (
    AppPort,
    Apps,
    AsJson,
    Bind,
    DataDir,
    HttpPort,
    MqttPort,
    MqttWsPort,
    Password,
    settings,
)


def serve(
    data_dir: DataDir = None,
    bind: Bind = None,
    http_port: HttpPort = None,
    mqtt_port: MqttPort = None,
    mqtt_ws_port: MqttWsPort = None,
    apps: Apps = None,
    app_port: AppPort = None,
    demo: Annotated[bool | None, typer.Option("--demo", help="Add demonstration data.")] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error.", show_default="info")
    ] = None,
) -> None:
    """Run the server until Ctrl-C or SIGTERM.

    [dim]fleetwire serve[/]

    [dim]fleetwire serve --data-dir /var/lib/fleetwire --bind 0.0.0.0 --app-port medical=8104[/]
    """
    known = settings(
        data_dir=data_dir,
        bind=bind,
        http_port=http_port,
        mqtt_port=mqtt_port,
        mqtt_ws_port=mqtt_ws_port,
        apps=apps,
        app_port=app_port,
        demo=demo,
        log_level=log_level,
    )
    from fleetwire.runtime import lifecycle

    raise typer.Exit(lifecycle.serve(known))


def doctor(
    data_dir: DataDir = None,
    bind: Bind = None,
    http_port: HttpPort = None,
    mqtt_port: MqttPort = None,
    mqtt_ws_port: MqttWsPort = None,
    apps: Apps = None,
    app_port: AppPort = None,
    username: Annotated[
        str | None, typer.Option("--username", "-u", help="Try this MQTT credential, too.")
    ] = None,
    password: Password = None,
    as_json: AsJson = False,
) -> None:
    """Check everything and say in words what is wrong and what to do.

    Works whether the server runs or not. Exit status 0: all is well; 1: something is wrong.

    [dim]fleetwire doctor[/]

    [dim]fleetwire doctor -u bp-001 -P 1f0c…   (is this device's credential good?)[/]

    [dim]MQTT_BROKER_URL=mqtts://me:secret@broker.example.org fleetwire doctor[/]
    """
    from fleetwire.cli.doctor import run

    def known() -> Any:
        return settings(
            data_dir=data_dir,
            bind=bind,
            http_port=http_port,
            mqtt_port=mqtt_port,
            mqtt_ws_port=mqtt_ws_port,
            apps=apps,
            app_port=app_port,
        )

    raise typer.Exit(run(known, username, password, as_json=as_json))
