"""The `fleetwire` command: what there is; what it does is imported on demand."""

import sys

import typer

from fleetwire.cli import (
    acl,
    areas,
    audit,
    claims,
    commands,
    data_folder,
    device_groups,
    enrolments,
    fleet,
    follow,
    jobs,
    keys,
    mqtt,
    operating,
    people,
    quarantine,
    rules,
    server,
    simulation,
    types,
)
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
app.add_typer(fleet.devices_app, name="devices")
app.add_typer(claims.claims_app, name="claims")
app.add_typer(enrolments.fleet_keys_app, name="fleet-keys")
app.add_typer(enrolments.enrolments_app, name="enrolments")
app.add_typer(operating.clients_app, name="clients")
app.add_typer(operating.retained_app, name="retained")
app.add_typer(device_groups.groups_app, name="groups")
app.add_typer(areas.areas_app, name="areas")
app.add_typer(types.types_app, name="types")
app.add_typer(commands.commands_app, name="commands")
app.add_typer(rules.rules_app, name="rules")
app.add_typer(quarantine.quarantine_app, name="quarantine")
app.add_typer(jobs.jobs_app, name="jobs")
app.add_typer(audit.audit_app, name="audit")
app.add_typer(acl.acl_app, name="acl")
app.add_typer(people.accounts_app, name="accounts")
app.add_typer(keys.keys_app, name="keys")

app.command()(server.serve)
app.command()(server.doctor)
app.command()(mqtt.publish)
app.command()(mqtt.subscribe)
app.command()(simulation.simulate)
app.command()(people.login)
app.command()(operating.trace)
app.command()(follow.follow)
app.command()(data_folder.migrate)
app.command()(data_folder.backup)
app.command()(data_folder.restore)


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
