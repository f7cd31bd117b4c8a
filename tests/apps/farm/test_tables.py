"""The tables are what the migration makes, and nothing of them is for one database only."""

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from fleetwire.apps.farm import app
from fleetwire.apps.farm.tables import metadata
from fleetwire.runtime.loader import migrations_of
from fleetwire.store.migrate import migrate


def test_the_migration_makes_the_tables_and_takes_them_away(tmp_path: Path) -> None:
    folder = migrations_of(app)
    assert folder is not None
    url = f"sqlite:///{tmp_path / 'farm.db'}"
    migrate(url, [(app.name, folder)])
    engine = create_engine(url)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        names = set(metadata.tables)
        differences = [
            each
            for each in compare_metadata(context, metadata)
            if isinstance(each, list) or each[0] not in ("remove_table", "remove_index")
        ]
        assert differences == []
        found = inspect(connection)
        for name, table in metadata.tables.items():
            wanted = {index.name for index in table.indexes}
            assert wanted <= {index["name"] for index in found.get_indexes(name)}
        revision: dict[str, object] = {}
        source = (folder / "farm_0001_tables.py").read_text()
        exec(compile(source, "farm_0001_tables.py", "exec"), revision)
        with Operations.context(context):
            downgrade = revision["downgrade"]
            assert callable(downgrade)
            downgrade()
        assert not names & set(inspect(connection).get_table_names())
    engine.dispose()


def test_every_table_can_be_made_by_postgresql() -> None:
    dialect = postgresql.dialect()
    for name, table in metadata.tables.items():
        assert name in str(CreateTable(table).compile(dialect=dialect))
