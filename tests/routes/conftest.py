"""A house in this process, on loopback, with two organisations."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import insert

from fleetwire.features.organizations.tables import organizations
from fleetwire.runtime.house import House
from fleetwire.settings.loading import load
from tests.routes.things import THEIRS, TableGate, Things

APPS = ("medical", "messaging", "tablets", "vending")


class Served:
    """The house, its applications by listener, and a client for each of them."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.apps: dict[str, FastAPI] = house.listeners.applications
        self.http = {
            name: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
            for name, app in self.apps.items()
        }
        self.things = Things(
            house,
            self.http["platform"],
            self.http["tablets"],
            self.http["vending"],
            self.http["messaging"],
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A house whose gate believes what a test says of its caller."""
    folder = tmp_path_factory.mktemp("routes")
    house = House(load(_settings(folder), {}, folder))
    house.listeners.gate = TableGate()
    try:
        await house.start()
        theirs = {"id": THEIRS, "name": "Theirs", "created_at": 1}
        await house.database.write(lambda tx: tx.execute(insert(organizations).values(theirs)))
        served = Served(house)
        yield served
        await served.things.close()
        for client in served.http.values():
            await client.aclose()
    finally:
        await house.stop()


def _settings(folder: Path) -> dict[str, object]:
    data_dir = folder / "data"
    data_dir.mkdir()
    ports: dict[str, object] = {"http_port": 0, "mqtt_port": 0, "mqtt_ws_port": 0}
    ports |= {"apps": APPS, "app_ports": dict.fromkeys(APPS, 0)}
    # In development a channel may serve who comes from this machine without credentials.
    return ports | {"data_dir": data_dir, "bind": "127.0.0.1", "mode": "production"}
