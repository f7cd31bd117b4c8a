"""What a reader of groups and queries hears while devices join and leave them."""

import asyncio
import json

import pytest

from fleetwire.errors import ConflictError, ForbiddenError
from fleetwire.kit import Caller
from fleetwire.web.realtime.chunk import Part
from fleetwire.web.realtime.interest import Interest, wish_of
from fleetwire.web.realtime.selection import Selection
from tests.web.realtime.conftest import Client, Desk


def members_of(part: Part) -> tuple[list[str], list[str]]:
    """Return the names of who joined and who left."""
    said = json.loads(f"{{{part.members}}}")
    joined, left = ([each["device_id"] for each in said[key]] for key in ("joined", "left"))
    return joined, left


async def test_events_begin_when_a_device_joins_and_stop_when_it_leaves(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    await desk.follow(client, groups=["even"])
    await desk.say(device)
    desk.memberships.move("even", device)
    heard = await desk.say(device)
    await client.until_cursor(heard)
    desk.memberships.move("even", device)
    await desk.say(device)
    desk.memberships.move("even", device)
    last = await desk.say(device)
    await client.until_cursor(last)
    assert client.cursors == [heard, last]


async def test_who_joins_is_told_with_its_state_and_who_leaves_by_name(desk: Desk) -> None:
    one, two, client = desk.device(1), desk.device(2), Client()
    await desk.follow(client, groups=["even"])
    desk.memberships.move("even", one)
    desk.memberships.move("even", two)
    await client.until("members", 2)
    told = [members_of(part) for part in client.named("members")]
    assert told == [(["d-1"], []), ([], ["d-2"])]
    assert json.loads(f"{{{client.named('members')[0].members}}}")["joined"][0]["type"] == "x"


async def test_what_a_new_member_said_before_can_be_read_with_since(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    await desk.follow(Client(), groups=["even"])
    before = await desk.say(device)
    desk.memberships.move("even", device)
    await desk.follow(client, groups=["even"], since=0)
    await client.until_cursor(before)


async def test_a_snapshot_shows_the_members_of_now(desk: Desk) -> None:
    desk.device(1), desk.device(2), desk.device(4, app="farm")
    client = Client()
    connection = await desk.connect(client)
    await connection.subscribe("one", wish_of({"groups": ["even"]}))
    await client.until("live")
    (shown,) = client.named("snapshot")
    devices = json.loads(f"{{{shown.members}}}")["devices"]
    assert [device["device_id"] for device in devices] == ["d-2", "d-4"]


async def test_groups_and_queries_need_the_right_to_read_devices(desk: Desk) -> None:
    desk.gate.caller_now = Caller("account:1", 1, frozenset({"telemetry.read"}))
    connection = await desk.connect(Client())
    for wish in ({"groups": ["even"]}, {"query": "type:half"}):
        with pytest.raises(ForbiddenError):
            await connection.subscribe("one", wish_of(wish))


async def test_a_reader_of_a_group_who_loses_that_right_is_ended(desk: Desk) -> None:
    connection = await desk.follow(Client(), groups=["even"])
    desk.gate.caller_now = Caller("account:1", 1, frozenset({"telemetry.read"}))
    desk.hub.recheck("account:1")
    async with asyncio.timeout(1):
        assert isinstance(await connection.ended, ForbiddenError)


async def test_a_name_is_taken_while_its_group_is_looked_up(desk: Desk) -> None:
    connection = await desk.connect(Client())
    wish = wish_of({"groups": ["even"], "snapshot": False})
    first = asyncio.create_task(connection.subscribe("one", wish))
    await asyncio.sleep(0)
    with pytest.raises(ConflictError):
        await connection.subscribe("one", wish)
    await first


async def test_what_is_ended_while_its_group_is_looked_up_does_not_begin(desk: Desk) -> None:
    device, client = desk.device(2), Client()
    connection = await desk.connect(client)
    wish = {"groups": ["even"], "snapshot": False}
    first = asyncio.create_task(connection.subscribe("one", wish_of(wish)))
    await asyncio.sleep(0)
    await connection.unsubscribe("one")
    second = asyncio.create_task(connection.subscribe("one", wish_of(wish)))
    await asyncio.gather(first, second)
    await client.until("live")
    last = await desk.say(device)
    await client.until_cursor(last)
    assert client.cursors == [last]
    assert len(client.named("subscribed")) == 1


async def test_a_connection_that_ends_while_a_group_is_looked_up_keeps_nothing(
    desk: Desk,
) -> None:
    connection = await desk.connect(Client())
    wish = wish_of({"groups": ["even"], "snapshot": False})
    opening = asyncio.create_task(connection.subscribe("one", wish))
    await asyncio.sleep(0)
    connection.end()
    await opening
    assert not desk.memberships.sets


async def test_who_changes_one_of_two_groups_changes_nothing_if_in_the_other(desk: Desk) -> None:
    device = desk.device(2)
    both = Selection(desk.memberships, Interest(groups=("even",), query="type:half"))
    await both.open(1)
    desk.memberships.move("even", device)
    assert await both.changes() == ([], [device])
    desk.memberships.move("type:half", device)
    desk.memberships.move("even", device)
    desk.memberships.move("type:half", device)
    assert await both.changes() == ([device], [])
    both.close()


async def test_on_an_apps_listener_there_is_nothing_else(desk: Desk) -> None:
    ours, farm, client = desk.device(1), desk.device(2, app="farm"), Client()
    connection = await desk.connect(client, only_app="medical")
    await connection.subscribe("one", wish_of({"since": 0}))
    await client.until("live")
    await desk.say(farm)
    last = await desk.say(ours)
    await client.until_cursor(last)
    assert client.cursors == [last]
