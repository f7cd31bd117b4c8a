"""The Socket.IO namespaces of apps end whoever shows what was taken away, in under a second.

Vending's, which asks for no credential, has a file of its own.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from fleetwire.runtime.loader import load_apps
from tests.house import House
from tests.web.realtime.socket_client import entered
from tests.web.realtime.talk import Refused
from tests.web.revocation import accesses
from tests.web.revocation.accesses import Access
from tests.web.revocation.channels import SOON_S

pytestmark = pytest.mark.slow


class Space(NamedTuple):
    """A namespace, what it answers to whoever is in, and what it takes of this role only."""

    app: str
    namespace: str
    asks: tuple[str, Any]
    sends: tuple[str, Any]
    role: str


SENSOR = "sensor"
SPACES = (
    Space(
        "farm",
        "/",
        ("leave", "some-room"),
        ("datastream", {"deviceUuid": SENSOR, "value": 1, "variableName": "n"}),
        "operator",
    ),
    Space(
        "messaging",
        "/mqtt",
        ("mqtt:status", None),
        ("mqtt:publish", {"topic": "broadcast/all", "payload": {"text": "hello"}}),
        "administrator",
    ),
)
OPEN = {("vending", "/")}


@pytest.fixture(scope="module")
def talking_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(
        tmp_path_factory.mktemp("talking"),
        apps=[space.app for space in SPACES],
        environment={"FLEETWIRE_APP_PORTS": "farm.coap=0"},
    )
    try:
        house.start()
        sensor = {"app": "farm", "device_id": SENSOR, "type": "sensor"}
        accesses.owner(house, "POST", "/api/v1/devices", sensor)
        yield house
    finally:
        house.close()


def test_every_namespace_of_an_app_is_here() -> None:
    found = {
        (app.name, space.namespace) for app in load_apps(None, {}) for space in app.socket_spaces
    }
    assert found == {(space.app, space.namespace) for space in SPACES} | OPEN


every_space = pytest.mark.parametrize("space", [pytest.param(each, id=each.app) for each in SPACES])


def is_taken(answer: dict[str, Any]) -> bool:
    """Say whether a namespace did what it was asked; each refuses in its app's form."""
    return "detail" not in answer and "error" not in answer


@every_space
@pytest.mark.parametrize("make", [pytest.param(each, id=each.__name__) for each in accesses.ALL])
async def test_who_shows_what_is_taken_away_is_put_out_in_under_a_second(
    talking_house: House, make: Callable[[House], Access], space: Space
) -> None:
    access = await asyncio.to_thread(make, talking_house)
    port = talking_house.app_ports[space.app]
    auth = {"token": access.token}
    async with entered(port, space.namespace, auth) as client:
        assert is_taken(await client.ask(*space.asks))
        await asyncio.to_thread(access.revoke)
        began = time.monotonic()
        async with asyncio.timeout(3 * SOON_S):
            assert (await client.next("refused"))["status"] == 401
            await client.closed()
        assert time.monotonic() - began < SOON_S
    with pytest.raises(Refused) as refused:
        async with entered(port, space.namespace, auth):
            pass
    assert refused.value.status == 401


@every_space
async def test_who_is_a_viewer_now_stays_and_sends_no_more_within_a_second(
    talking_house: House, space: Space
) -> None:
    access = await asyncio.to_thread(accesses.lowered_role, talking_house, space.role)
    port = talking_house.app_ports[space.app]
    async with entered(port, space.namespace, {"token": access.token}) as client:
        assert is_taken(await client.ask(*space.sends))
        await asyncio.to_thread(access.revoke)
        async with asyncio.timeout(SOON_S):
            while is_taken(answer := await client.ask(*space.sends)):
                pass
        assert "permission" in str(answer) or "may not" in str(answer)
        assert is_taken(await client.ask(*space.asks))
