"""What is taken away stops working in under a second, on every channel where it can be used.

For each pair of an access and a channel on a real server: a live connection delivers; the access is
taken away; from the server's answer to that on it takes less than a second until the connection is
ended; and no new one can be opened.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fleetwire.net.client import MessageRefusedError
from fleetwire.net.dialing import ClientError
from tests.house import House
from tests.routes.table import LISTENERS
from tests.web.realtime.talk import Refused
from tests.web.revocation import accesses
from tests.web.revocation.accesses import Access
from tests.web.revocation.channels import (
    APPS,
    AT_OTHER_APPS,
    CHANNELS,
    LIVE,
    OWN,
    SILENT,
    SOON_S,
    app_of,
    connected,
    opened,
)
from tests.web.revocation.senders import Sender

pytestmark = pytest.mark.slow

# What is taken from a viewer who was an operator; the rest he may still follow.
FOR_OPERATORS = ("http", "trace")
LOWERED = (accesses.lowered_role, accesses.key_of_a_lowered_role)
FOR_DEVICES = (accesses.revoked_credential, accesses.deleted_device)

TABLE = [
    *(
        (make, channel)
        for make in accesses.ALL
        for channel in CHANNELS
        if channel not in AT_OTHER_APPS or make in accesses.SOME
    ),
    *((make, channel) for make in LOWERED for channel in FOR_OPERATORS),
    *((make, "mqtt") for make in FOR_DEVICES),
]


def test_every_listener_is_here() -> None:
    assert set(LISTENERS) <= {"platform", *APPS, *SILENT}


@pytest.fixture(scope="module")
def senders(own_house: House) -> Iterator[dict[str, Sender]]:
    """A device of each app that publishes."""
    senders = {app: Sender(own_house, app, f"{app}-sender") for app in APPS}
    yield senders
    for sender in senders.values():
        sender.close()


@pytest.mark.parametrize(
    ("make", "channel"), [pytest.param(*row, id=f"{row[0].__name__}-{row[1]}") for row in TABLE]
)
async def test_what_is_taken_away_stops_working_in_under_a_second(
    own_house: House,
    senders: dict[str, Sender],
    make: Callable[[House], Access],
    channel: str,
) -> None:
    sender = senders[app_of(channel)]
    access = await asyncio.to_thread(make, own_house)
    async with opened(channel, own_house, access, sender) as live:
        if access.token:
            async with asyncio.timeout(10):
                await asyncio.to_thread(sender.measure)
                await live.hear()
        await asyncio.to_thread(access.revoke)
        began = time.monotonic()
        async with asyncio.timeout(3 * SOON_S):
            status = await live.until_ended()
        assert time.monotonic() - began < SOON_S
        if channel not in ("mqtt", "trace"):
            assert status == access.left
    with pytest.raises(Refused) as refused:
        async with opened(channel, own_house, access, sender):
            pass
    if channel != "mqtt":
        assert refused.value.status == access.left


@pytest.mark.parametrize("channel", LIVE)
async def test_another_login_of_the_same_person_goes_on(
    own_house: House, senders: dict[str, Sender], channel: str
) -> None:
    sender = senders[app_of(channel)]
    person = await asyncio.to_thread(accesses.Person, own_house)
    other = await asyncio.to_thread(person.again)
    access = other.access(other.sign_out)
    async with (
        opened(channel, own_house, person.access(person.sign_out), sender) as stays,
        opened(channel, own_house, access, sender) as goes,
    ):
        await asyncio.to_thread(access.revoke)
        async with asyncio.timeout(3 * SOON_S):
            assert await goes.until_ended() == 401
            await asyncio.to_thread(sender.measure)
            await stays.hear()


@pytest.mark.parametrize("channel", LIVE)
async def test_who_is_a_viewer_now_goes_on_following(
    own_house: House, senders: dict[str, Sender], channel: str
) -> None:
    """Every role may read: what a lower one may not is neither told nor done on these channels."""
    access = await asyncio.to_thread(accesses.lowered_role, own_house)
    sender = senders[app_of(channel)]
    async with opened(channel, own_house, access, sender) as live:
        await asyncio.to_thread(access.revoke)
        async with asyncio.timeout(10):
            for _ in range(2):
                await asyncio.to_thread(sender.measure)
                await live.hear()


@pytest.mark.parametrize("channel", OWN)
async def test_who_is_a_viewer_now_is_asked_again_by_an_apps_own_channel(
    own_house: House, senders: dict[str, Sender], channel: str
) -> None:
    access = await asyncio.to_thread(accesses.lowered_role, own_house)
    sender = senders[app_of(channel)]
    async with opened(channel, own_house, access, sender) as live:
        await asyncio.to_thread(access.revoke)
        async with asyncio.timeout(SOON_S):
            assert await live.until_ended() == 401
    async with opened(channel, own_house, access, sender) as live:
        async with asyncio.timeout(10):
            await asyncio.to_thread(sender.measure)
            await live.hear()


async def test_who_is_an_operator_no_more_sends_no_more_over_mqtt(
    own_house: House, senders: dict[str, Sender]
) -> None:
    access = await asyncio.to_thread(accesses.lowered_role, own_house)
    topic = f"devices/{senders['medical'].device_id}/commands"
    async with connected(own_house, access) as client:
        await client.publish(topic, b"{}", 1)
        messages = client.messages()
        await asyncio.to_thread(access.revoke)
        with pytest.raises(ClientError):
            async with asyncio.timeout(SOON_S):
                await anext(messages)
    async with connected(own_house, access) as client:
        with pytest.raises(MessageRefusedError):
            await client.publish(topic, b"{}", 1)


@pytest.fixture
def selling(tmp_path: Path) -> Iterator[House]:
    """A house with the vending app, whose devices sign in over HTTP, too."""
    house = House(tmp_path, apps=("medical", "vending"))
    try:
        house.start()
        yield house
    finally:
        house.close()


def test_a_device_whose_credential_is_revoked_is_signed_out_over_http(selling: House) -> None:
    machine = {"app": "vending", "device_id": "VM1", "type": "vending_machine"}
    credential = accesses.owner(selling, "POST", "/api/v1/devices", machine)["credential"]
    login = {"machine_id": "VM1", "token": credential["password"]}
    with httpx.Client(base_url=f"http://127.0.0.1:{selling.app_ports['vending']}") as http:
        signed_in = http.post("/api/auth/machine", json=login)
        assert signed_in.status_code == 200, signed_in.text
        headers = {"Authorization": f"Bearer {signed_in.json()['token']}"}
        assert http.get("/api/auth/me", headers=headers).status_code == 200
        path = f"/api/v1/devices/vending/VM1/credentials/{credential['id']}"
        accesses.owner(selling, "DELETE", path)
        began = time.monotonic()
        assert http.get("/api/auth/me", headers=headers).status_code == 401
        assert http.post("/api/auth/machine", json=login).status_code == 401
        assert time.monotonic() - began < SOON_S
