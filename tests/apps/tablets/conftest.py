"""Tablets over a real database that the app's own migrations have made."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest

from fleetwire.apps.tablets import app
from fleetwire.runtime.loader import migrations_of
from fleetwire.store.migrate import migrate
from tests.apps.tablets.workshop import Workshop


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
