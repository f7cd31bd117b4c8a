"""Many readers: what they share, and what one of them cannot do to the others."""

import asyncio

import msgspec
import pytest

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError
from fleetwire.kit import Caller
from fleetwire.web.realtime.hub import Bounds
from fleetwire.web.realtime.interest import wish_of
from tests.web.realtime.conftest import ALL, Client, Desk


@pytest.fixture
def bounds() -> Bounds:
    return Bounds(buffer_events=10, connections_per_identity=200)


async def test_a_hundred_readers_share_one_encoding(desk: Desk) -> None:
    device = desk.device(1)
    clients = [Client() for _ in range(100)]
    for number, client in enumerate(clients):
        # Three different interests, so three rooms.
        wish = [{}, {"apps": ["medical"]}, {"devices": ["d-1"]}][number % 3]
        await desk.follow(client, **wish)
    assert len(desk.live.rooms) == 3
    last = await desk.say(device, ["status"] * 8)
    for client in clients:
        await client.until_cursor(last)
    assert desk.live.rooms.encoder.encoded == 8
    texts = {id(text) for client in clients for text in client.named("events")[0].chunks[0].texts}
    assert len(texts) == 8


async def test_events_of_one_commit_go_out_in_one_part(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    await desk.follow(client)
    last = await desk.say(device, ["status"] * 8)
    await client.until_cursor(last)
    assert len(client.named("events")) == 1


async def test_a_slow_reader_gets_the_latest_and_is_told_what_it_missed(desk: Desk) -> None:
    device, other, slow, quick = desk.device(1), desk.device(2), Client(), Client()
    await desk.follow(slow)
    await desk.follow(quick)
    slow.open.clear()
    first = await desk.say(device)
    await quick.until_cursor(first)  # and the slow one's task is stuck with it
    for _ in range(30):
        last = await desk.say(device)
    other_last = await desk.say(other)
    await quick.until_cursor(other_last)  # which nobody held up
    slow.open.set()
    await slow.until_cursor(other_last)
    (lagged,) = slow.named("lagged")
    told = msgspec.json.decode(f"{{{lagged.members}}}")
    assert told == {"lagged": 29, "since": first}
    assert slow.cursors == [first, last, other_last]
    assert len(quick.cursors) == 32

    again = Client()
    await desk.follow(again, since=told["since"])
    await again.until_cursor(other_last)
    assert again.cursors == quick.cursors[1:]


async def test_a_slow_reader_that_wants_every_event_gets_it_later(desk: Desk) -> None:
    device, slow = desk.device(1), Client()
    await desk.follow(slow, slow="every")
    slow.open.clear()
    stored = [await desk.say(device) for _ in range(40)]
    slow.open.set()
    await slow.until_cursor(stored[-1])
    assert slow.cursors == stored
    assert not slow.named("lagged")


async def test_what_is_kept_for_a_slow_reader_is_bounded(desk: Desk) -> None:
    slow = Client()
    await desk.follow(slow)
    slow.open.clear()
    for number in range(40):
        last = await desk.say(desk.device(number + 1))
    slow.open.set()
    await slow.until_cursor(last)
    told = msgspec.json.decode(f"{{{slow.named('lagged')[0].members}}}")
    assert len(slow.events) + told["lagged"] == 40
    assert len(slow.events) <= 11  # ten, and the one that was being sent


async def test_another_organisation_hears_nothing(desk: Desk) -> None:
    foreign, own, client = desk.device(1, organization_id=2), desk.device(2), Client()
    await desk.follow(client, since=0)
    await desk.say(foreign)
    await desk.measure(foreign)
    last = await desk.say(own)
    await client.until_cursor(last)
    assert client.cursors == [last]
    again = Client()
    await desk.follow(again, since=0)
    await again.until_cursor(last)
    assert again.cursors == [last]
    with pytest.raises(NotFoundError):
        await desk.follow(Client(), devices=["d-1"])


@pytest.mark.parametrize(
    ("wish", "heard"),
    [
        ({"apps": ["farm"]}, [3]),
        ({"devices": ["d-2"]}, [2, 5]),
        ({"devices": ["medical/d-1", "d-3"]}, [1, 3, 4]),
        ({"groups": ["even"]}, [2, 5]),
        ({"query": "type:half"}, [1, 2, 4, 5]),
        ({"query": "type:half", "groups": ["even"]}, [2, 5]),
        ({"query": "type:half", "devices": ["d-1", "d-3"]}, [1, 4]),
        ({"organizations": [1], "apps": ["farm"]}, [3]),
        ({"events": ["data"]}, [4]),
        ({"events": ["sta*"]}, [1, 2, 3]),
        ({"events": ["*"], "apps": ["medical"]}, [1, 2, 4, 5]),
        ({"topics": ["devices/+/data"]}, [4]),
        ({"topics": ["devices/#"], "devices": ["d-1"]}, [1, 4]),
    ],
)
async def test_an_interest_is_any_of_each_kind_and_all_kinds(
    desk: Desk, wish: dict[str, object], heard: list[int]
) -> None:
    desk.device(3, app="farm")
    live, past = Client(), Client()
    one, two, three = desk.device(1), desk.device(2), desk.devices[3]
    await desk.follow(live, **wish)
    await desk.follow(everything := Client())
    for device in (one, two, three):
        await desk.say(device)
    await desk.measure(one)
    last = await desk.say(two, ["command.delivered"])
    await everything.until_cursor(last)
    await live.until_cursor(heard[-1])
    await desk.follow(past, since=0, **wish)
    await past.until_cursor(heard[-1])
    assert live.cursors == past.cursors == heard


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"device": ["x"]}, None),
        ({"events": ["a*b"]}, "events"),
        ({"topics": ["$share/g/a"]}, "topics"),
        ({"topics": ["a/#/b"]}, "topics"),
        ({"devices": [""]}, "devices"),
        ({"devices": ["x"] * 101}, "devices"),
        ({"devices": [1]}, "devices"),
        ({"since": -1}, "since"),
        ({"since": "1"}, "since"),
        ({"since": 2**63}, "since"),
        ({"slow": "never"}, "slow"),
        ({"query": "tag:"}, "query"),
        ({"query": ""}, "query"),
        ({"organizations": ["1"]}, "organizations"),
        ({"organizations": [1] * 101}, "organizations"),
    ],
)
def test_a_bad_wish_names_its_field(wish: dict[str, object], field: str | None) -> None:
    with pytest.raises(InvalidValueError) as refused:
        wish_of(wish)
    assert refused.value.field == field


async def test_what_is_not_there_for_the_caller_is_not_found(desk: Desk) -> None:
    connection = await desk.connect(Client())
    for wish in ({"groups": ["odd"]}, {"apps": ["nothing"]}, {"organizations": [1, 2]}):
        with pytest.raises(NotFoundError):
            await connection.subscribe("one", wish_of(wish))


async def test_a_name_is_free_again_after_unsubscribing(desk: Desk) -> None:
    connection = await desk.follow(Client())
    wish = wish_of({"snapshot": False})
    with pytest.raises(ConflictError):
        await connection.subscribe("one", wish)
    await connection.unsubscribe("one")
    await connection.subscribe("one", wish)


async def test_a_cursor_from_the_future_hides_nothing(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    await desk.follow(client, since=1000)
    told = await desk.say(device)
    await client.until_cursor(told)


async def test_a_reader_without_a_right_to_readings_hears_the_rest(desk: Desk) -> None:
    device, client = desk.device(1), Client()
    desk.gate.caller_now = Caller("account:1", 1, ALL - {"telemetry.read"})
    await desk.follow(client)
    await desk.measure(device)
    told = await desk.say(device)
    await client.until_cursor(told)
    assert client.cursors == [told]


async def test_a_subscription_that_ends_as_it_begins_leaves_its_room(desk: Desk) -> None:
    connection = await desk.connect(Client())
    await connection.subscribe("one", wish_of({"snapshot": False}))
    connection.end()
    await asyncio.sleep(0)
    await connection.close()
    assert len(desk.live.rooms) == 0
