"""The app's tables are those that its migration makes, and go again with it."""

import asyncio
import importlib.resources
import importlib.util
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect

from fleetwire.apps.messaging import configure
from fleetwire.apps.messaging.tables import metadata
from fleetwire.testing import TestHub


@pytest.fixture
async def migrated(tmp_path: Path) -> Path:
    async with TestHub(configure({}), folder=tmp_path):
        await asyncio.sleep(0)
    return tmp_path / "data" / "fleetwire.db"


async def test_the_migration_makes_what_the_app_reads_and_removes_it(migrated: Path) -> None:
    engine = create_engine(f"sqlite:///{migrated}")
    names = metadata.tables.keys()
    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or name in names},
        )
        assert compare_metadata(context, metadata) == []
        folder = importlib.resources.files("fleetwire.apps.messaging") / "migrations/versions"
        path = str(folder / "messaging_0001_first.py")
        spec = importlib.util.spec_from_file_location("first", path)
        assert spec is not None
        assert spec.loader is not None
        revision = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(revision)
        with Operations.context(context):
            revision.downgrade()
        assert not names & set(inspect(connection).get_table_names())
    engine.dispose()
