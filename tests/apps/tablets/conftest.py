"""Tablets over a real database made by the app's own migrations, and a house without sockets."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from shutil import copyfile

import httpx
import pytest
import pytest_asyncio

from fleetwire.apps.tablets import app, configure
from fleetwire.kit import Health
from fleetwire.runtime.loader import migrations_of
from fleetwire.store.migrate import migrate
from fleetwire.testing import TestHub
from tests.apps.tablets.field import Field, Reachable
from tests.apps.tablets.house import tablets_house, url_of
from tests.apps.tablets.workshop import Workshop
from tests.house import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A real server with the app."""
    with tablets_house(tmp_path_factory.mktemp("tablets")) as house:
        yield house


@pytest.fixture
def api(house: House) -> httpx.Client:
    """A client of the app's listener, signed in as the owner."""
    return house.http(url_of(house))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def field() -> AsyncIterator[Field]:
    """A hub with the demonstration's people; a command waits for a minute."""
    async with TestHub(configure({"TABLETS_COMMAND_EXPIRES_IN": "60s"}), demo=True) as hub:
        health = Reachable()
        hub.house.services[Health] = health
        yield Field(hub, health)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with every table and nothing in it."""
    path = tmp_path_factory.mktemp("tablets") / "empty.db"
    folder = migrations_of(app)
    assert folder is not None
    migrate(f"sqlite:///{path}", [(app.name, folder)])
    return path


@pytest.fixture
def workshop_path(migrated: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    path = tmp_path / "test.db"
    copyfile(migrated, path)
    return path


@pytest.fixture
def workshop(workshop_path: Path) -> Iterator[Workshop]:
    """Three tablets, tab-1 to tab-3, of the organisation 1, and one of another, far-1."""
    workshop = Workshop(workshop_path)
    for code, organization_id in (("tab-1", 1), ("tab-2", 1), ("tab-3", 1), ("far-1", 2)):
        workshop.register(code, organization_id)
    yield workshop
    workshop.close()
