"""What happens to those who follow when their rights change."""

import asyncio

import pytest

from fleetwire.errors import ForbiddenError, TooManyError, UnauthenticatedError
from fleetwire.kit import Caller
from fleetwire.web.realtime.hub import Bounds
from fleetwire.web.realtime.interest import wish_of
from tests.web.realtime.conftest import ALL, Client, Desk

REVOKED = UnauthenticatedError("The token was revoked.")


@pytest.fixture
def bounds() -> Bounds:
    return Bounds(connections_per_identity=2, subscriptions=2)


async def test_a_revoked_identity_is_ended_at_once_and_hears_no_more(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    connection = await desk.follow(client)
    told = await desk.say(device)
    await client.until_cursor(told)
    desk.gate.error = REVOKED
    desk.hub.recheck("account:1")
    async with asyncio.timeout(1):
        assert await connection.ended is REVOKED
    await desk.say(device)
    assert client.cursors == [told]


async def test_what_was_heard_but_not_taken_before_a_revocation_is_not_told(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    connection = await desk.follow(client)
    client.open.clear()
    await desk.say(device)
    desk.gate.error = REVOKED
    desk.hub.recheck("account:1")
    async with asyncio.timeout(1):
        await connection.ended
    client.open.set()
    await connection.close()
    assert client.cursors == []


async def test_others_stay(desk: Desk) -> None:
    mine, others = Client(), Client()
    desk.gate.caller_now = Caller("account:2", 1, ALL)
    connection = await desk.follow(others)
    desk.gate.caller_now = Caller("account:1", 1, ALL)
    ended = await desk.follow(mine)
    desk.gate.error = REVOKED
    desk.hub.recheck("account:1")
    async with asyncio.timeout(1):
        await ended.ended
    assert not connection.ended.done()


async def test_a_key_is_known_with_and_without_its_name(desk: Desk) -> None:
    desk.gate.caller_now = Caller("key:5", 1, ALL)
    connection = await desk.follow(Client())
    desk.gate.error = REVOKED
    desk.hub.recheck("key:5/gateway")
    async with asyncio.timeout(1):
        assert await connection.ended is REVOKED


async def test_with_fewer_rights_a_reader_hears_less_from_then_on(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    await desk.follow(client)
    first = await desk.measure(device)
    await client.until_cursor(first)
    desk.gate.caller_now = Caller("account:1", 1, frozenset({"device.read"}))
    desk.hub.recheck("account:1")
    await client.until("rights")
    await desk.measure(device)
    second = await desk.say(device)
    await client.until_cursor(second)
    assert client.cursors == [first, second]


async def test_readings_that_wait_are_forgotten_with_the_right_to_them(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    connection = await desk.follow(client)
    client.open.clear()
    await desk.say(device)  # this one is being sent
    await asyncio.sleep(0)
    await desk.measure(device)  # this one waits
    last = await desk.say(device)
    desk.gate.caller_now = Caller("account:1", 1, frozenset({"device.read"}))
    rechecking = asyncio.create_task(connection.recheck())
    await asyncio.sleep(0)
    client.open.set()
    await rechecking
    await client.until_cursor(last)
    assert {event.name for event in client.events} == {"status"}


async def test_with_more_rights_a_reader_hears_more(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    desk.gate.caller_now = Caller("account:1", 1, frozenset({"device.read"}))
    await desk.follow(client)
    await desk.measure(device)
    desk.gate.caller_now = Caller("account:1", 1, ALL)
    desk.hub.recheck("account:1")
    await client.until("rights")
    told = await desk.measure(device)
    await client.until_cursor(told)
    assert client.cursors == [told]


async def test_without_any_right_a_connection_ends(desk: Desk) -> None:
    connection = await desk.follow(Client())
    desk.gate.caller_now = Caller("account:1", 1, frozenset({"message.read"}))
    desk.hub.recheck("account:1")
    async with asyncio.timeout(1):
        assert isinstance(await connection.ended, ForbiddenError)
    with pytest.raises(ForbiddenError):
        await desk.connect(Client())


async def test_another_organisation_ends_a_connection(desk: Desk) -> None:
    connection = await desk.follow(Client())
    desk.gate.caller_now = Caller("account:1", 2, ALL)
    desk.hub.recheck_organization(1)
    async with asyncio.timeout(1):
        assert isinstance(await connection.ended, UnauthenticatedError)


async def test_a_revoked_reader_of_an_apps_own_channel_is_ended(desk: Desk) -> None:
    caller = Caller("account:1", 1, ALL)
    stream = desk.live.stream(caller, app="medical", matches=lambda event: True)
    assert await anext(stream) == []
    desk.hub.recheck("account:2")
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    desk.hub.recheck("account:1")
    with pytest.raises(UnauthenticatedError):
        async with asyncio.timeout(1):
            await waiting


async def test_when_the_server_stops_all_are_told(desk: Desk) -> None:
    connection = await desk.follow(Client())
    desk.hub.close()
    error = await connection.ended
    assert error is not None
    assert error.status == 503


async def test_connections_and_subscriptions_are_bounded(desk: Desk) -> None:
    connection = await desk.follow(Client())
    wish = wish_of({"snapshot": False})
    await connection.subscribe("two", wish)
    with pytest.raises(TooManyError):
        await connection.subscribe("three", wish)
    other = await desk.connect(Client())
    with pytest.raises(TooManyError):
        await desk.connect(Client())
    await other.close()
    await desk.connect(Client())
    assert desk.audit.actions == ["realtime.connected"] * 3
