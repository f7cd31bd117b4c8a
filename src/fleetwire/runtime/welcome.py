"""What a person sees when the server is ready."""

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from fleetwire.runtime.house import House
from fleetwire.settings import Settings, is_loopback


def welcome(settings: Settings, house: House) -> None:
    """Print where everything is, and on the first start the administrator's login."""
    console = Console()
    table = Table.grid(padding=(0, 2))
    for name, url in house.urls():
        table.add_row(name, url)
    table.add_row("Data", str(settings.data_dir))
    console.print(Panel(table, title="Fleetwire is ready", title_align="left", expand=False))
    if house.administrator is not None:
        username, password = house.administrator
        console.print(
            Panel(
                f"user name  [bold]{username}[/bold]\npassword   [bold]{password}[/bold]",
                title="Your administrator's login, shown only this once",
                title_align="left",
                expand=False,
            )
        )
    if settings.external_broker is not None:
        console.print(
            "Devices connect to the external broker, which says who may do what. "
            "Without MQTT_BROKER_URL they connect to the broker in this process.",
            style="dim",
        )
    elif is_loopback(settings.bind):
        console.print(
            "Only this machine can connect; MQTT clients without a password are let in, and a "
            "device that sends something is registered. "
            "With --bind 0.0.0.0 credentials are demanded.",
            style="dim",
        )
