"""The vending app with its demonstration data, in a house without sockets."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_field(
    tmp_path_factory: pytest.TempPathFactory, prepared_database: Path
) -> AsyncIterator[Field]:
    """One house for the tests of a file: starting one takes longer than most of them."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "data").mkdir()
    shutil.copy(prepared_database, folder / "data")
    field = Field()
    hub = TestHub(field.app, folder=folder, demo=True)
    try:
        await field.open(hub)
        yield field
    finally:
        await hub.__aexit__(None, None, None)


@pytest_asyncio.fixture(loop_scope="module")
async def field(shared_field: Field) -> Field:
    """VM01 is connected."""
    await shared_field.begin(is_connected=True)
    return shared_field


@pytest_asyncio.fixture(loop_scope="module")
async def lonely_field(shared_field: Field) -> Field:
    """VM01 is away."""
    await shared_field.begin(is_connected=False)
    return shared_field
