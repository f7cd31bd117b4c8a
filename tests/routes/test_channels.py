"""The medical app's live channel: a refusal closes it with 4000 + the status, as browsers can read.

The platform's channels are proved beside them, in `tests/web/realtime`.
"""

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.routes.conftest import Served
from tests.routes.table import PREFIXES
from tests.routes.things import OURS, THEIRS, bearer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("prefix", PREFIXES["medical"]),
]


async def close_code(served: Served, prefix: str, headers: dict[str, str], query: str = "") -> int:
    """Return how the server closes the channel."""
    url = f"ws://127.0.0.1:{served.house.ports['medical']}{prefix}/ws/mqtt{query}"
    async with connect(url, additional_headers=headers) as channel:
        with pytest.raises(ConnectionClosed) as closed:
            await channel.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_without_credentials_it_is_4401(served: Served, prefix: str) -> None:
    assert await close_code(served, prefix, {}) == 4401


async def test_without_its_permission_it_is_4403(served: Served, prefix: str) -> None:
    assert await close_code(served, prefix, bearer(OURS, without="telemetry.read")) == 4403


async def test_for_a_device_of_another_organisation_it_is_4404(served: Served, prefix: str) -> None:
    (device,) = await served.things.fill("{device}")
    query = f"?device_id={device}"
    assert await close_code(served, prefix, bearer(THEIRS), query) == 4404
