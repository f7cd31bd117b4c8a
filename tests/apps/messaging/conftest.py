"""One house for all tests of a file."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.apps.messaging.serving import Served, serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(tmp_path_factory.mktemp("messaging")) as served:
        yield served
