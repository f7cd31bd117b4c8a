"""A reader that loses its connection again and again, and resumes by cursor."""

import asyncio
import random

import pytest

from tests.house import House
from tests.web.realtime.load import run_load
from tests.web.realtime.talk import CHANNELS, following

DISCONNECTS = 50
EVENTS_PER_S = 2_000  # stored, on the average of the whole time
PACE = 2_200  # at which they are due: what a pause of the machine costs is made up for
EVENTS = 20_000  # at least; the load goes on until the last disconnection
MOST_AT_ONCE = 300  # events between two disconnections
WISH = {"devices": ["medical/load"], "events": ["device.data.received"], "snapshot": "false"}


class Reader:
    """Follows on one channel after the other, and keeps what it sees."""

    def __init__(self, house: House, token: str) -> None:
        self._house = house
        self._token = token
        self._connections = 0
        self.seen: list[int] = []
        self.cursors: list[int] = []

    async def read_to(self, count: int) -> None:
        """Connect, read until there are so many, and go away in the middle of what comes."""
        channel = CHANNELS[self._connections % len(CHANNELS)]
        self._connections += 1
        wish = dict(WISH, since=self.cursors[-1] if self.cursors else 0)
        if channel != "sse":
            wish["snapshot"] = False
        async with following(channel, self._house.url, self._token, **wish) as follower:
            while len(self.seen) < count:
                told = await follower.next()
                assert told["type"] in ("subscribed", "live", "events"), told
                for event in told.get("events", [])[: count - len(self.seen)]:
                    self.seen.append(event["data"]["value"])
                    self.cursors.append(event["cursor"])


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_a_reader_that_disconnects_fifty_times_sees_every_event_once_in_order(
    house: House,
) -> None:
    reader = Reader(house, house.login())
    login = house.register_device("load")
    turns = random.Random(4)  # the same every time
    enough = asyncio.Event()
    running = asyncio.create_task(run_load(house, login, EVENTS, PACE, enough=enough))
    for _ in range(DISCONNECTS):
        await reader.read_to(len(reader.seen) + turns.randint(1, MOST_AT_ONCE))
    is_under_load = not running.done()
    enough.set()
    count, took = await running
    await reader.read_to(count)
    assert count >= EVENTS
    assert reader.seen == list(range(count))
    assert reader.cursors == sorted(set(reader.cursors))
    assert count / took >= EVENTS_PER_S, "the load was not there"
    assert is_under_load, "some of the disconnections came after the load"
