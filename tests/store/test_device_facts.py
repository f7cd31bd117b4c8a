"""Devices from before there were queries are found by them as those that came after."""

import importlib.util
import json
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from fleetwire.features.devices.facts import facts_of
from fleetwire.store.migrate import FOLDER, migrate

ATTRIBUTES = {
    "floor": 2,
    "weight": 2.5,
    "is_cold": True,
    "room": "12",
    "huge": "1e999",
    "name": "Änne",
    "long": "x" * 201,
    "line": "a\nb",
    "none": None,
    "list": [1],
}


def test_the_migration_tells_the_facts_that_the_room_tells(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    migrate(url)
    spec = importlib.util.spec_from_file_location("r", FOLDER / "versions" / "0020_groups.py")
    assert spec is not None
    assert spec.loader is not None
    revision = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(revision)
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in ("device_tags", "device_facts", "device_groups"):
            connection.execute(text(f"DROP TABLE {table}"))
        device = (
            "INSERT INTO devices (id, organization_id, app, device_id, type, attributes, status, "
            "reported, connected, created_at, updated_at) "
            "VALUES (:id, 1, 'demo', :id, 'meter', :attributes, '', '{}', 0, 1, 1)"
        )
        for id, attributes in ((1, ATTRIBUTES), (2, {})):
            connection.execute(text(device), {"id": id, "attributes": json.dumps(attributes)})
        with Operations.context(MigrationContext.configure(connection)):
            revision.upgrade()
        rows = connection.execute(text("SELECT device, name, text, number FROM device_facts"))
        found = {row[1]: (row[2], row[3]) for row in rows if row[0] == 1}
    engine.dispose()
    assert found == facts_of(ATTRIBUTES)
    assert set(found) == {"floor", "weight", "is_cold", "room", "huge", "name"}
