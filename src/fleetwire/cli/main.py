"""The `fleetwire` command: what there is, with examples; what it does is imported on demand."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fleetwire.cli import (
    acl,
    areas,
    audit,
    claims,
    commands,
    credentials,
    device_groups,
    enrolments,
    follow,
    jobs,
    keys,
    operating,
    people,
    quarantine,
    types,
)
from fleetwire.cli.options import AsJson, Token, Url, http_url as _http_url, settings as _settings
from fleetwire.errors import FleetwireError, SettingsError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="fleetwire",
    help="""The device backend in one process: MQTT broker, device registry, durable telemetry,
    commands, REST and live events.

    Settings come from fleetwire.toml, .env, the environment (FLEETWIRE_*) and these options; what
    comes later wins. Try [bold]fleetwire serve[/], then [bold]fleetwire doctor[/].""",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
devices_app = typer.Typer(
    help="List and register devices on a running server.", no_args_is_help=True
)
app.add_typer(devices_app, name="devices")
devices_app.command("credentials")(credentials.list_credentials)
devices_app.command("rotate")(credentials.rotate)
devices_app.command("revoke")(credentials.revoke)
app.add_typer(claims.claims_app, name="claims")
app.add_typer(enrolments.fleet_keys_app, name="fleet-keys")
app.add_typer(enrolments.enrolments_app, name="enrolments")
app.add_typer(operating.clients_app, name="clients")
app.add_typer(operating.retained_app, name="retained")
app.add_typer(device_groups.groups_app, name="groups")
app.add_typer(areas.areas_app, name="areas")
app.add_typer(types.types_app, name="types")
app.add_typer(commands.commands_app, name="commands")
app.add_typer(quarantine.quarantine_app, name="quarantine")
app.add_typer(jobs.jobs_app, name="jobs")
app.add_typer(audit.audit_app, name="audit")
app.add_typer(acl.acl_app, name="acl")
app.add_typer(people.accounts_app, name="accounts")
app.add_typer(keys.keys_app, name="keys")

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


@app.command()
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
    settings = _settings(
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
    from fleetwire.runtime.lifecycle import serve

    raise typer.Exit(serve(settings))


@app.command()
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

    def settings() -> Any:
        return _settings(
            data_dir=data_dir,
            bind=bind,
            http_port=http_port,
            mqtt_port=mqtt_port,
            mqtt_ws_port=mqtt_ws_port,
            apps=apps,
            app_port=app_port,
        )

    raise typer.Exit(run(settings, username, password, as_json=as_json))


@app.command()
def publish(
    topic: Annotated[str, typer.Argument(help="Topic name.")],
    payload: Annotated[str, typer.Argument(help="Text, @file, or - for standard input.")],
    qos: Qos = 1,
    retain: Annotated[bool, typer.Option("--retain", "-r", help="Keep for subscribers.")] = False,
    username: Username = None,
    password: Password = None,
    host: Host = None,
    port: Port = None,
    client_id: ClientId = "",
) -> None:
    """Publish one message and wait for its acknowledgement.

    [dim]fleetwire publish devices/bp-001/data '{"metric_type":"heart_rate","value":72}'[/]

    [dim]fleetwire publish devices/bp-001/data @reading.json -u bp-001 -P 1f0c…[/]
    """
    from fleetwire.cli import messages

    target = messages.Target.of(_settings(), host, port, username, password, client_id)
    content = messages.read_payload(payload)
    raise typer.Exit(messages.publish(target, topic, content, qos, retain))


@app.command()
def subscribe(
    topic_filters: Annotated[list[str], typer.Argument(help="Topic filters.")],
    qos: Qos = 1,
    count: Annotated[int | None, typer.Option("--count", "-C", min=1, help="End after.")] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", "-W", help="End after so long: 10s, 5m.")
    ] = None,
    username: Username = None,
    password: Password = None,
    host: Host = None,
    port: Port = None,
    client_id: ClientId = "",
) -> None:
    """Write a line with topic and payload for each message.

    [dim]fleetwire subscribe 'devices/#'[/]

    [dim]fleetwire subscribe devices/bp-001/commands -u bp-001 -P 1f0c… --count 1 --timeout 1m[/]
    """
    from fleetwire.cli import messages
    from fleetwire.kit.durations import parse_duration

    timeout_s = None if timeout is None else parse_duration(timeout, "--timeout")
    target = messages.Target.of(_settings(), host, port, username, password, client_id)
    raise typer.Exit(messages.subscribe(target, topic_filters, qos, count, timeout_s))


@app.command()
def simulate(
    family: Annotated[str, typer.Argument(help="Whose devices: medical, tablets, …")],
    devices: Annotated[
        int, typer.Option("--devices", "--machines", min=1, max=10_000, help="How many.")
    ] = 10,
    rate: Annotated[
        float, typer.Option(min=0.01, max=1000, help="Messages a second, per device.")
    ] = 1.0,
    duration: Annotated[str, typer.Option(help="How long: 30s, 5m, 1h.")] = "30s",
    seed: Annotated[int, typer.Option(help="The same seed sends the same values.")] = 1,
    fault_rate: Annotated[
        float, typer.Option(min=0, max=1, help="How much goes wrong, if they can fail.")
    ] = 0.0,
    url: Annotated[
        str | None,
        typer.Option(help="The app's listener.", show_default="http://127.0.0.1:8004"),
    ] = None,
    platform_url: Annotated[
        str | None,
        typer.Option(help="The platform's listener.", show_default="http://127.0.0.1:8000"),
    ] = None,
    token: Token = None,
    username: Annotated[str | None, typer.Option(help="Sign in as.")] = None,
    password: Annotated[str | None, typer.Option(help="With this password.")] = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Drive virtual devices: register them, connect each, send plausible readings.

    Each device has at most one message under way, so acknowledgement times are the server's own.
    Devices are called sim-0001 and so on; those of an earlier run are used again.

    Those of other apps need no account where the server lets anybody in: then they connect without
    credentials. Tablets sleep, die and walk about; what they did is told at the end.

    [dim]fleetwire simulate medical --devices 50 --rate 2 --duration 1m --username admin[/]
    [dim]fleetwire simulate tablets --devices 200 --seed 7[/]
    [dim]fleetwire simulate vending --machines 50 --fault-rate 0.05[/]
    """
    from fleetwire.cli import simulate as simulation, simulate_app
    from fleetwire.kit.durations import parse_duration
    from fleetwire.kit.simulation import SimulationSettings
    from fleetwire.settings import reachable_at

    settings = _settings()
    if family != "medical":
        app_plan = simulate_app.AppPlan(
            family,
            SimulationSettings(devices, seed, 1 / rate, fault_rate),
            parse_duration(duration, "--duration"),
            _http_url(settings, platform_url),
            host or reachable_at(settings.bind),
            port or settings.mqtt_port,
        )
        who = simulation.SignIn(token or settings.client.token, username, password)
        raise typer.Exit(simulate_app.run(app_plan, who))
    plan = simulation.Plan(
        devices=devices,
        rate=rate,
        duration_s=parse_duration(duration, "--duration"),
        seed=seed,
        url=url or simulation.app_url(settings),
        platform_url=_http_url(settings, platform_url),
        host=host,
        port=port or settings.mqtt_port,
        topics=settings.environment,
    )
    sign_in = simulation.SignIn(token or settings.client.token, username, password)
    raise typer.Exit(simulation.run(plan, sign_in))


@app.command()
def login(
    username: Annotated[str, typer.Argument(help="User name or e-mail.")] = "admin",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    url: Url = None,
) -> None:
    """Sign in and write an access token.

    [dim]export FLEETWIRE_TOKEN=$(fleetwire login admin)[/]
    """
    from getpass import getpass

    from fleetwire.cli.console import say
    from fleetwire.cli.rest import RestClient

    client = RestClient(_http_url(_settings(), url))
    password = sys.stdin.readline().rstrip("\n") if password_stdin else getpass()
    say(client.login(username, password))


@devices_app.command("list")
def list_devices(
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="Such as 'area:Clinic and tag:cold'.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List the devices with their presence.

    [dim]fleetwire devices list[/]

    [dim]fleetwire devices list --query 'type:ecg_monitor and not connected:true'[/]
    """
    from fleetwire.cli import devices
    from fleetwire.cli.rest import RestClient

    settings = _settings()
    client = RestClient(_http_url(settings, url), token or settings.client.token)
    devices.show(client, query, as_json=as_json)


@devices_app.command("import")
def import_devices(
    file: Annotated[
        Path, typer.Argument(help="CSV with a first line of names, JSON (a list) or NDJSON.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do.")] = False,
    credentials: Annotated[
        Path | None,
        typer.Option(help="New file for the MQTT passwords of new devices: told this once."),
    ] = None,
    family: Annotated[str, typer.Option("--app", help="Where no line says.")] = "medical",
    url: Url = None,
    token: Token = None,
) -> None:
    """Register or change many devices. Exit status 1 if a line was refused.

    CSV columns: device_id, type, name, app, tags (with spaces between them), area (a path),
    attr.NAME (a text), attributes (JSON). What an empty field stands for stays as it is.

    [dim]fleetwire devices import fleet.csv --dry-run[/]

    [dim]fleetwire devices import fleet.csv --credentials passwords.csv[/]
    """
    from fleetwire.cli import device_import
    from fleetwire.cli.rest import RestClient

    settings = _settings()
    client = RestClient(_http_url(settings, url), token or settings.client.token)
    if not device_import.run(client, file, family, credentials, dry_run=dry_run):
        raise typer.Exit(EXIT_FAILED)


@devices_app.command("export")
def export_devices(
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")],
    format: Annotated[
        str | None,
        typer.Option("--format", "-f", help="csv, json or ndjson.", show_default="by its name"),
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="Such as 'area:Clinic and tag:cold'.")
    ] = None,
    family: Annotated[str | None, typer.Option("--app", help="Of this app.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also over a file that is there.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Write devices to a file that `fleetwire devices import` takes back.

    [dim]fleetwire devices export fleet.csv[/]

    [dim]fleetwire devices export cold.ndjson --query 'tag:cold and not connected:true'[/]
    """
    from fleetwire.cli import device_export
    from fleetwire.cli.rest import RestClient

    settings = _settings()
    client = RestClient(_http_url(settings, url), token or settings.client.token)
    device_export.run(client, file, format, query=query, app=family, force=force)


@devices_app.command("register")
def register_device(
    device_id: Annotated[str, typer.Argument(help="The device's own name.")],
    type: Annotated[str, typer.Option("--type", "-t", help="Such as pulse_oximeter.")],
    family: Annotated[str, typer.Option("--app", help="The app it belongs to.")] = "medical",
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="May be repeated."),
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Register a device and show its MQTT credential, this once.

    [dim]fleetwire devices register bp-001 --type blood_pressure_monitor -a patient_id=P-1001[/]
    """
    from fleetwire.cli import devices
    from fleetwire.cli.rest import RestClient

    settings = _settings()
    client = RestClient(_http_url(settings, url), token or settings.client.token)
    devices.register(client, family, device_id, type, attribute or [])


app.command()(operating.trace)
app.command()(follow.follow)


@app.command()
def migrate(
    data_dir: DataDir = None,
    apps: Apps = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what would be done and whether it can be.")
    ] = False,
) -> None:
    """Bring the database to this version's form; `serve` does so by itself.

    [dim]fleetwire migrate --data-dir /var/lib/fleetwire[/]

    [dim]fleetwire migrate --check   (changes nothing; exit status 1: there is no room)[/]
    """
    from fleetwire.cli import migrate as migrating

    settings = _settings(data_dir=data_dir, apps=apps)
    if check:
        raise typer.Exit(migrating.check(settings))
    migrating.run(settings)


@app.command()
def backup(
    archive: Annotated[Path, typer.Argument(help="The file to write; never overwritten.")],
    data_dir: DataDir = None,
) -> None:
    """Write the database and its secrets into one file, while the server runs or not.

    [dim]fleetwire backup fleetwire-monday.zip --data-dir /var/lib/fleetwire[/]
    """
    from fleetwire.cli.backup import run

    run(_settings(data_dir=data_dir), archive)


@app.command()
def restore(
    archive: Annotated[Path, typer.Argument(help="A file that `fleetwire backup` wrote.")],
    data_dir: DataDir = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Without --data-dir: check the file, restore nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also into a folder that is not empty.")
    ] = False,
    apps: Apps = None,
) -> None:
    """Check a backup and put it into a data folder; no server may run there.

    Checksums, integrity, rows and schema are checked each time, before anything is put in place.

    [dim]fleetwire restore fleetwire-monday.zip --verify[/]

    [dim]fleetwire restore fleetwire-monday.zip --data-dir /var/lib/fleetwire[/]
    """
    from fleetwire.cli import backup as backing_up

    settings = _settings(data_dir=data_dir, apps=apps)
    if data_dir is not None:
        backing_up.put_back(settings, archive, force=force)
    elif verify:
        backing_up.verify(settings, archive)
    else:
        raise typer.BadParameter("name a --data-dir, or --verify to check the file only")


@app.command()
def version() -> None:
    """Write the version."""
    import importlib.metadata

    from fleetwire.cli.console import say

    say(importlib.metadata.version("fleetwire"))


def main() -> None:
    """Run the command line. A failure is one line on standard error and an exit status."""
    try:
        app()
    except SettingsError as error:
        status = _fail(error, EXIT_USAGE)
    except FleetwireError as error:
        status = _fail(error, EXIT_FAILED)
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        status = EXIT_FAILED
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    else:
        status = 0
    sys.exit(status)


def _fail(error: FleetwireError, status: int) -> int:
    sys.stderr.write(f"fleetwire: {error}\n")
    return status


if __name__ == "__main__":
    main()
