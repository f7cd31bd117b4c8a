"""A client of a real server that stops reading its socket, and others who do not notice."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import House
from tests.web.realtime.load import run_load
from tests.web.realtime.talk import CHANNELS, Follower, following

BUFFER_EVENTS = 200  # so far a reader may be behind: most of a second
PER_S = 250
EVENTS = 3 * PER_S  # published in three seconds, in which the slow one reads nothing
PAD_CHARS = 30_000  # together twice what the sockets of both sides hold
SOON_S = 1.0


@pytest.fixture(scope="module")
def house_with_small_buffers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server that keeps little for a reader who does not read."""
    environment = {"FLEETWIRE_REALTIME_BUFFER_EVENTS": str(BUFFER_EVENTS)}
    house = House(tmp_path_factory.mktemp("house"), environment=environment)
    try:
        house.start()
        yield house
    finally:
        house.close()


async def read_all(follower: Follower) -> tuple[list[int], list[int], int]:
    """Read up to the last event; return values, cursors and how many were said to be missing."""
    values: list[int] = []
    cursors: list[int] = []
    missed = 0
    async with asyncio.timeout(20):
        while not values or values[-1] != EVENTS - 1:
            told = await follower.next()
            if told["type"] == "lagged":
                missed += told["lagged"]
                assert told["since"] >= (cursors[-1] if cursors else 0)
            for event in told.get("events", []):
                values.append(event["data"]["value"])
                cursors.append(event["cursor"])
    return values, cursors, missed


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
async def test_who_stops_reading_for_three_seconds_is_told_what_he_missed_and_stalls_nobody(
    house_with_small_buffers: House, channel: str
) -> None:
    house = house_with_small_buffers
    device_id = f"loud-{channel.replace('.', '-')}"
    login = house.register_device(device_id)
    token = house.login()
    wish: dict[str, Any] = {"devices": [device_id], "events": ["device.data.received"]}
    async with (
        following(channel, house.url, token, **wish) as slow,
        following(channel, house.url, token, **wish) as one,
        following(channel, house.url, token, **wish) as two,
    ):
        for follower in (slow, one, two):
            await follower.until("live")
        others = asyncio.gather(read_all(one), read_all(two))
        count, took = await run_load(house, login, EVENTS, PER_S, pad_chars=PAD_CHARS)
        async with asyncio.timeout(SOON_S):  # the slow one still reads nothing
            heard = await others
        assert count == EVENTS
        assert took < EVENTS / PER_S + SOON_S
        for values, _, missed in heard:
            assert values == list(range(EVENTS))
            assert missed == 0
        values, cursors, missed = await read_all(slow)
    assert cursors == sorted(set(cursors))
    assert missed > 0
    assert len(values) + missed == EVENTS
