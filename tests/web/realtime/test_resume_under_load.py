"""A reader that loses its connection again and again, and resumes by cursor."""

import asyncio
import random

import pytest

from tests.house import House
from tests.web.realtime.load import run_load
from tests.web.realtime.talk import CHANNELS, following

DISCONNECTS = 50
EVENTS_PER_S = 2_000
EVENTS = 20_000
WISH = {"devices": ["medical/load"], "events": ["device.data.received"], "snapshot": "false"}


@pytest.mark.slow
async def test_a_reader_that_disconnects_fifty_times_sees_every_event_once_in_order(
    house: House,
) -> None:
    login = house.register_device("load")
    token = house.login()
    turns = random.Random(4)  # the same every time
    publishing = asyncio.create_task(run_load(house, login, EVENTS, EVENTS_PER_S))
    seen: list[int] = []
    cursors: list[int] = []
    connections = disconnected_under_load = 0
    async with asyncio.timeout(40):
        while len(seen) < EVENTS:
            channel = CHANNELS[connections % len(CHANNELS)]
            connections += 1
            disconnected_under_load += not publishing.done()
            wanted = turns.randint(1, 2 * EVENTS // DISCONNECTS - 100)
            until = len(seen) + wanted if connections <= DISCONNECTS else EVENTS
            wish = dict(WISH, since=cursors[-1] if cursors else 0)
            if channel != "sse":
                wish["snapshot"] = False
            async with following(channel, house.url, token, **wish) as follower:
                while len(seen) < until:
                    told = await follower.next()
                    assert told["type"] in ("subscribed", "live", "events"), told
                    for event in told.get("events", [])[: until - len(seen)]:
                        seen.append(event["data"]["value"])
                        cursors.append(event["cursor"])
    took = await publishing
    # The first connection is no disconnection, and the last one lasts to the end.
    assert disconnected_under_load > DISCONNECTS
    assert seen == list(range(EVENTS))
    assert cursors == sorted(set(cursors))
    assert EVENTS / took > 0.98 * EVENTS_PER_S, "the load was not there"
