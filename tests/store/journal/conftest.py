"""A database as the platform makes it, without making it anew for each test."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetwire.store.migrate import migrate
from tests.store.journal.making import Disk


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has every table and no row. Copy it; do not open it."""
    path = tmp_path_factory.mktemp("migrated") / "migrated.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
async def disk(migrated: Path, tmp_path: Path) -> AsyncIterator[Disk]:
    path = tmp_path / "test.db"
    shutil.copy(migrated, path)
    disk = Disk(f"sqlite:///{path}")
    disk.open()
    yield disk
    disk.release.set()
    await disk.close()
