"""A house with the farm, without a socket, and what its users do there."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetwire.apps.farm import create
from fleetwire.apps.farm.terms import Terms
from fleetwire.testing import TestHub
from tests.apps.farm.barn import Barn


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[TestHub]:
    async with TestHub(create(Terms()), folder=tmp_path) as hub:
        yield hub


@pytest.fixture
async def barn(hub: TestHub) -> Barn:
    return Barn(hub)
