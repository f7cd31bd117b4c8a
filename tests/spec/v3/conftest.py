"""A house for clients below MQTT 5; on real sockets too for tests marked `over_the_wire`."""

from collections.abc import Awaitable, Callable

import pytest

from tests.spec.v3.rig import Door, Keeper, Rig
from tests.spec.wire import House


@pytest.fixture
def make_rig(make_house: Callable[..., Awaitable[House]]) -> Callable[..., Awaitable[Rig]]:
    """Make a house with bounds of its own; arguments as for House."""

    async def make(**options: object) -> Rig:
        refusals = Keeper()
        return Rig(await make_house(authenticator=Door(), refusals=refusals, **options), refusals)

    return make


@pytest.fixture
async def rig(make_rig: Callable[..., Awaitable[Rig]]) -> Rig:
    return await make_rig()
