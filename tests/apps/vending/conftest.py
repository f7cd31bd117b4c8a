"""The vending app with its demonstration data, in a house without sockets."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetwire.store.migrate import migrate
from fleetwire.testing import TestHub
from tests.apps.vending.field import Field

REVISIONS = Path(__file__).parents[3] / "src/fleetwire/apps/vending/migrations/versions"


@pytest.fixture(scope="session")
def prepared_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database in its present form: making one takes longer than copying it."""
    path = tmp_path_factory.mktemp("vending") / "fleetwire.db"
    migrate(f"sqlite:///{path}", [("vending", REVISIONS)])
    return path


@pytest.fixture
def hub_folder(tmp_path: Path, prepared_database: Path) -> Path:
    (tmp_path / "data").mkdir()
    shutil.copy(prepared_database, tmp_path / "data")
    return tmp_path


@pytest.fixture
async def field(hub_folder: Path) -> AsyncIterator[Field]:
    """VM01 is connected."""
    field = Field()
    hub = TestHub(field.app, folder=hub_folder, demo=True)
    try:
        await field.open(hub)
        yield field
    finally:
        await hub.__aexit__(None, None, None)


@pytest.fixture
async def lonely_field(hub_folder: Path) -> AsyncIterator[Field]:
    """VM01 is away."""
    field = Field()
    hub = TestHub(field.app, folder=hub_folder, demo=True)
    try:
        await field.open(hub, is_connected=False)
        yield field
    finally:
        await hub.__aexit__(None, None, None)
