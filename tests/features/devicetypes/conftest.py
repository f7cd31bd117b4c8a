from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetwire.features.devicetypes.book import TypeBook
from fleetwire.features.devicetypes.service import DeviceTypeService
from tests.features.rooms import Rooms, open_rooms


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    """The features over a new database."""
    async with open_rooms(tmp_path / "test.db") as rooms:
        yield rooms


@pytest.fixture
def book() -> TypeBook:
    """The types, of which no app declares any."""
    return TypeBook([])


@pytest.fixture
def types(rooms: Rooms, book: TypeBook) -> DeviceTypeService:
    return DeviceTypeService(rooms.db, book, rooms.audit, rooms.clock)
