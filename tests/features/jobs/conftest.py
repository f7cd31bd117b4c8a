from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.features.rooms import Rooms, open_rooms


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    """The features over a new database."""
    async with open_rooms(tmp_path / "test.db") as rooms:
        yield rooms
