"""The app's tables are those that its migration makes, and go again with it."""

import importlib.resources
import importlib.util
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect

from fleetwire.apps.tablets.tables import metadata


def test_the_migration_makes_what_the_app_reads(migrated: Path) -> None:
    engine = create_engine(f"sqlite:///{migrated}")
    found = inspect(engine)
    for table in metadata.sorted_tables:
        columns = {each["name"]: each for each in found.get_columns(table.name)}
        assert columns.keys() == {column.name for column in table.c}, table.name
        for column in table.c:
            assert columns[column.name]["nullable"] == column.nullable, column
        indexes = {(each["name"], *each["column_names"]) for each in found.get_indexes(table.name)}
        told = {(index.name, *(column.name for column in index.columns)) for index in table.indexes}
        assert indexes == told, table.name
    engine.dispose()


def test_the_way_back_leaves_nothing(workshop_path: Path) -> None:
    folder = importlib.resources.files("fleetwire.apps.tablets") / "migrations" / "versions"
    path = str(folder / "tablets_0001_first.py")
    spec = importlib.util.spec_from_file_location("tablets_0001", path)
    assert spec is not None
    assert spec.loader is not None
    revision = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(revision)
    engine = create_engine(f"sqlite:///{workshop_path}")
    with (
        engine.begin() as connection,
        Operations.context(MigrationContext.configure(connection)),
    ):
        revision.downgrade()
    assert not metadata.tables.keys() & set(inspect(engine).get_table_names())
    engine.dispose()
