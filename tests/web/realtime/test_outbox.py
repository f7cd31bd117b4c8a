"""What waits for a client of an app's namespace: in order, bounded, and told if it was left out."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from fleetwire.web.realtime.channel import TooSlowError
from fleetwire.web.realtime.outbox import Outbox, Waiting


class Transport:
    """Keeps what is sent; while `open` is clear it takes nothing more."""

    def __init__(self, *, most: int = 10, most_bytes: int = 1_000) -> None:
        self.sent: list[tuple[str, Any]] = []
        self.open = asyncio.Event()
        self.outbox = Outbox(self._send, self._taken, most_events=most, most_bytes=most_bytes)

    async def _send(self, event: str, content: msgspec.Raw) -> None:
        self.sent.append((event, json.loads(bytes(content))))

    async def _taken(self) -> None:
        await self.open.wait()

    def put(self, number: int, **how: Any) -> None:
        self.outbox.put(Waiting("n", msgspec.json.encode(number), **how))

    async def drained(self) -> list[tuple[str, Any]]:
        self.open.set()
        running = asyncio.create_task(self.outbox.run())
        async with asyncio.timeout(5):
            await self.outbox.idle.wait()
        running.cancel()
        return self.sent


@pytest.fixture
async def transport() -> Transport:
    return Transport()


async def test_what_fits_is_sent_in_order(transport: Transport) -> None:
    for number in range(10):
        transport.put(number, key="one")
    assert await transport.drained() == [("n", number) for number in range(10)]


async def test_past_the_bound_the_oldest_are_left_out_and_counted(transport: Transport) -> None:
    for number in range(13):
        transport.put(number)
    sent = await transport.drained()
    assert sent == [("lagged", {"missed": 3}), *[("n", number) for number in range(3, 13)]]


async def test_past_the_bound_only_the_newest_of_a_key_is_kept(transport: Transport) -> None:
    for number in range(40):
        transport.put(number, key=f"k{number % 2}")
    assert await transport.drained() == [("lagged", {"missed": 38}), ("n", 38), ("n", 39)]


async def test_one_key_leaves_others_alone(transport: Transport) -> None:
    transport.put(100)
    for number in range(40):
        transport.put(number, key="k")
    assert await transport.drained() == [("lagged", {"missed": 39}), ("n", 100), ("n", 39)]


async def test_what_must_arrive_is_never_left_out(transport: Transport) -> None:
    for number in range(9):
        transport.put(number, must_arrive=True)
    transport.put(100)
    transport.put(9, must_arrive=True, key="k")
    with pytest.raises(TooSlowError):
        transport.put(10, must_arrive=True)
    sent = await transport.drained()
    assert sent == [("lagged", {"missed": 1}), *[("n", number) for number in range(10)]]


async def test_a_newer_one_of_its_key_does_not_replace_what_must_arrive() -> None:
    transport = Transport(most=3)
    transport.put(1, key="k", must_arrive=True)
    for number in (2, 3, 4, 5):
        transport.put(number, key="k")
    transport.put(6, key="k", must_arrive=True)
    transport.put(7, key="k")
    sent = await transport.drained()
    assert sent == [("lagged", {"missed": 4}), ("n", 1), ("n", 6), ("n", 7)]


async def test_bytes_are_bounded_too_and_a_single_event_has_room() -> None:
    transport = Transport(most_bytes=5)
    transport.put(123_456_789)
    transport.put(12)
    assert await transport.drained() == [("lagged", {"missed": 1}), ("n", 12)]


async def test_what_is_taken_back_is_neither_sent_nor_counted(transport: Transport) -> None:
    transport.put(1, room="a")
    transport.put(2, room="b")
    transport.outbox.take_back(lambda waiting: waiting.room == "a")
    assert await transport.drained() == [("n", 2)]


async def test_after_it_has_caught_up_nothing_is_left_out_again() -> None:
    transport = Transport(most=3)
    for number in range(9):
        transport.put(number, key="k")
    await transport.drained()
    transport.sent.clear()
    for number in range(3):
        transport.put(number, key="k")
    assert await transport.drained() == [("n", 0), ("n", 1), ("n", 2)]
