"""`fleetwire simulate`: virtual devices of an app."""

from typing import Annotated

import typer

from fleetwire.cli.options import Host, Port, Token, http_url, settings


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
    credentials. Tablets sleep, die and walk about; what they did is told at the end, and is the
    same for the same seed, however quick the server is.

    [dim]fleetwire simulate medical --devices 50 --rate 2 --duration 1m --username admin[/]
    [dim]fleetwire simulate tablets --devices 200 --seed 7[/]
    [dim]fleetwire simulate vending --machines 50 --fault-rate 0.05[/]
    """
    from fleetwire.cli import simulate as simulation, simulate_app
    from fleetwire.kit.durations import parse_duration
    from fleetwire.kit.simulation import SimulationSettings
    from fleetwire.settings import reachable_at

    known = settings()
    duration_s = parse_duration(duration, "--duration")
    if family != "medical":
        app_plan = simulate_app.AppPlan(
            family,
            SimulationSettings(
                devices, seed, 1 / rate, fault_rate, steps=max(1, round(duration_s * rate))
            ),
            duration_s,
            http_url(known, platform_url),
            host or reachable_at(known.bind),
            port or known.mqtt_port,
        )
        who = simulation.SignIn(token or known.client.token, username, password)
        raise typer.Exit(simulate_app.run(app_plan, who))
    plan = simulation.Plan(
        devices=devices,
        rate=rate,
        duration_s=duration_s,
        seed=seed,
        url=url or simulation.app_url(known),
        platform_url=http_url(known, platform_url),
        host=host,
        port=port or known.mqtt_port,
        topics=known.environment,
    )
    sign_in = simulation.SignIn(token or known.client.token, username, password)
    raise typer.Exit(simulation.run(plan, sign_in))
