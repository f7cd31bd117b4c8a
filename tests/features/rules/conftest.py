"""A whole house with an app of sensors and fans."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.features.rules.house import RuleHub, open_hub


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RuleHub]:
    """A house with devices `s-1`, `s-2` and `fan-1`."""
    async with open_hub(tmp_path) as hub:
        yield hub
