"""For every live channel: 401 without credentials, 403 with too little, 404 for others' things.

A channel says it in its own way: a WebSocket closes with 4000 + the status, Server-Sent Events
answer with it, Socket.IO refuses the connection or the subscription.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.routes.conftest import Served
from tests.routes.table import CHANNELS, Channel
from tests.routes.things import OURS, THEIRS
from tests.web.realtime.talk import Refused, following, refusal_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

every_channel = pytest.mark.parametrize(
    "channel", [pytest.param(each, id=each.id) for each in CHANNELS]
)
# An app's own takes a device, or nothing.
OWN = ("medical", "tablets")
every_one_with_devices = pytest.mark.parametrize(
    "channel", [pytest.param(each, id=each.id) for each in CHANNELS if each.speaks != "tablets"]
)
every_one_with_groups = pytest.mark.parametrize(
    "channel", [pytest.param(each, id=each.id) for each in CHANNELS if each.speaks not in OWN]
)

Open = Callable[[str, str, dict[str, Any]], AbstractAsyncContextManager[None]]


def shared(speaks: str, path: str) -> Open:
    """Return how one of the three channels that all listeners have is followed."""

    @asynccontextmanager
    async def open(url: str, token: str, wish: dict[str, Any]) -> AsyncIterator[None]:
        async with following(speaks, url, token, **wish) as follower:
            await follower.until("live")
            yield

    return open


def medical(speaks: str, path: str) -> Open:
    """Return how an app's own channel is followed."""

    @asynccontextmanager
    async def open(url: str, token: str, wish: dict[str, Any]) -> AsyncIterator[None]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        devices = [("device_id", device) for device in wish.get("devices", ())]
        query = urlencode([*devices, ("since", 0)])
        where = f"{url.replace('http', 'ws', 1)}{path}?{query}"
        # Without a bound, or what is unread would keep the closing handshake waiting.
        async with connect(where, additional_headers=headers, proxy=None, max_queue=None) as socket:
            try:
                await socket.recv()
            except ConnectionClosed as closed:
                raise refusal_of(closed) from None
            yield

    return open


TALKS = {"sse": shared, "websocket": shared, "socket.io": shared}
TALKS |= dict.fromkeys(OWN, medical)


async def status_of(
    served: Served, channel: Channel, organization: int | None, without: str = "", **wish: Any
) -> int:
    """Return the status with which a channel refuses a subscription, 200 if it serves it."""
    url = f"http://127.0.0.1:{served.house.ports[channel.listener]}"
    token = "" if organization is None else f"{organization} {without}".rstrip()
    try:
        async with TALKS[channel.speaks](channel.speaks, channel.path)(url, token, wish):
            return 200
    except Refused as refused:
        return refused.status


@every_channel
async def test_without_credentials_it_is_401(served: Served, channel: Channel) -> None:
    assert await status_of(served, channel, None) == 401


@every_channel
async def test_without_any_of_its_permissions_it_is_403(served: Served, channel: Channel) -> None:
    assert await status_of(served, channel, OURS, without=" ".join(channel.needs)) == 403


@every_one_with_devices
async def test_for_a_device_of_another_organisation_it_is_404(
    served: Served, channel: Channel
) -> None:
    (device,) = await served.things.fill("{device}")
    assert await status_of(served, channel, THEIRS, devices=[device]) == 404


@every_channel
async def test_with_its_permissions_it_serves(served: Served, channel: Channel) -> None:
    topic, device = await served.things.fill("{topic}", "{device}")
    assert topic
    # It is a medical device, which only the platform and its own app know.
    is_known = channel.listener in ("platform", "medical") and channel.speaks not in OWN
    wish = {"devices": [device]} if is_known else {}
    assert await status_of(served, channel, OURS, **wish) == 200


@every_one_with_groups
async def test_for_a_group_of_another_organisation_it_is_404(
    served: Served, channel: Channel
) -> None:
    (group,) = await served.things.fill("{group}")
    assert await status_of(served, channel, OURS, groups=[group]) == 200
    assert await status_of(served, channel, THEIRS, groups=[group]) == 404
    assert await status_of(served, channel, THEIRS, organizations=[OURS]) == 404


@every_one_with_groups
async def test_whom_a_group_or_query_means_is_403_without_the_right_to_read_devices(
    served: Served, channel: Channel
) -> None:
    (group,) = await served.things.fill("{group}")
    for wish in ({"groups": [group]}, {"query": "tag:cold"}):
        assert await status_of(served, channel, OURS, without="device.read", **wish) == 403
