"""A real Fleetwire with the farm, in a process of its own."""

from pathlib import Path

from tests.house import House


def farm_house(folder: Path) -> House:
    """Return a house that is not started yet."""
    return House(folder, apps=("farm",), environment={"FLEETWIRE_APP_PORTS": "farm.coap=0"})


def url_of(house: House) -> str:
    """The root of the app's listener."""
    return f"http://127.0.0.1:{house.app_ports['farm']}"
