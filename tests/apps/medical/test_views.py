"""The tables under the names of the field, read with plain SQL."""

import importlib.resources
import importlib.util
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, create_engine, insert, text

from fleetwire.apps.medical import app
from fleetwire.features.devices.tables import devices
from fleetwire.features.organizations.tables import organizations
from fleetwire.features.telemetry.tables import metrics, readings
from fleetwire.store.metadata import metadata

AT = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z


def load_revision() -> ModuleType:
    """Return the app's first revision, found where the app says."""
    assert app.migrations is not None
    package, _, folder = app.migrations.partition(":")
    path = importlib.resources.files(package) / folder / "medical_0001_views.py"
    spec = importlib.util.spec_from_file_location("medical_0001", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """A database with one medical device, one of another app, and the views."""
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    tables = [organizations, devices, metrics, readings]
    metadata.create_all(engine, tables=tables)
    with engine.connect() as connection:
        connection.execute(insert(organizations).values(id=1, name="Clinic", created_at=AT))
        for id, name, device_id in ((1, "medical", "bp-1"), (2, "tablets", "t-1")):
            connection.execute(
                insert(devices).values(
                    id=id,
                    organization_id=1,
                    app=name,
                    device_id=device_id,
                    type="x",
                    attributes={"patient_id": "P-1", "model": "M7"},
                    status="online",
                    reported={},
                    connected=False,
                    last_seen_at=None if id == 2 else AT + 250_001,
                    created_at=AT,
                    updated_at=AT,
                )
            )
        connection.execute(insert(metrics).values(id=1, name="glucose", unit="mg/dL"))
        with Operations.context(MigrationContext.configure(connection)):
            load_revision().upgrade()
        connection.commit()
        yield connection
    engine.dispose()


def rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(query)).mappings()]


def test_the_revision_is_a_branch_of_its_own() -> None:
    revision = load_revision()
    assert revision.revision == "medical_0001"
    assert revision.down_revision is None
    assert revision.branch_labels == ("medical",)
    assert revision.depends_on == "0001_first"


def test_medical_devices_shows_this_apps_devices(connection: Connection) -> None:
    assert rows(connection, "SELECT * FROM medical_devices") == [
        {
            "id": 1,
            "device_id": "bp-1",
            "patient_id": "P-1",
            "type": "x",
            "model": "M7",
            "serial_number": None,
            "status": "online",
            "last_seen": "2026-01-31T12:00:00.250001Z",
            "created_at": "2026-01-31T12:00:00.000000Z",
        }
    ]


def test_a_device_never_seen_has_no_last_seen(connection: Connection) -> None:
    connection.execute(text("UPDATE devices SET last_seen_at = NULL"))
    assert rows(connection, "SELECT last_seen FROM medical_devices") == [{"last_seen": None}]


@pytest.mark.parametrize(
    ("kind", "number", "stored", "value"),
    [
        (0, 95.5, None, 95.5),
        (0, 0.0, None, 0.0),
        (1, 1.0, None, "true"),
        (1, 0.0, None, "false"),
        (2, 0.0, "HI", "HI"),
        (2, 0.0, "", ""),
        (3, 0.0, "[1,2]", "[1,2]"),
    ],
)
def test_device_readings_shows_values_of_every_kind(
    connection: Connection, kind: int, number: float, stored: str | None, value: Any
) -> None:
    source = json.dumps({"metric_type": "glucose"})
    for id, device in ((10, 1), (11, 2)):
        connection.execute(
            insert(readings).values(
                id=id,
                device=device,
                metric=1,
                at=AT + 250_000,
                received_at=AT,
                kind=kind,
                number=number,
                digest=0,
                text=stored,
                flags=0,
                source=source,
            )
        )
    assert rows(connection, "SELECT * FROM device_readings") == [
        {
            "id": 10,
            "device_id": "bp-1",
            "metric_type": "glucose",
            "value": value,
            "unit": "mg/dL",
            "timestamp": "2026-01-31T12:00:00.250000Z",
            "metadata": source,
        }
    ]


def test_the_views_go_as_they_came(connection: Connection) -> None:
    with Operations.context(MigrationContext.configure(connection)):
        load_revision().downgrade()
    assert rows(connection, "SELECT name FROM sqlite_master WHERE type = 'view'") == []


@pytest.mark.parametrize(
    ("dialect", "patient", "instant", "number"),
    [
        ("postgresql", "->> 'patient_id'", "HH24:MI:SS.US", "r.number::text"),
        ("mysql", "JSON_UNQUOTE(", "TIMESTAMPADD(MICROSECOND, r.at", "CAST(r.number AS CHAR)"),
    ],
)
def test_other_databases_get_their_own_words(
    dialect: str, patient: str, instant: str, number: str
) -> None:
    script = io.StringIO()
    context = MigrationContext.configure(
        dialect_name=dialect, opts={"as_sql": True, "output_buffer": script}
    )
    with Operations.context(context):
        load_revision().upgrade()
    for expected in (patient, instant, number):
        assert expected in script.getvalue()
