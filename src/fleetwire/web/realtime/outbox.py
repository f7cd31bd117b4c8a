"""Outbox: what waits for one client of an app's namespace, in bounded memory.

Up to the bound everything is sent in order. Past it the client is behind: of the events with a key
only the newest of each is kept, others are left out, oldest first, and he is told how many. He is
behind until he has taken everything. What must arrive is never left out; where it has no room the
client is too slow, and comes again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from fleetwire.web.realtime.channel import TooSlowError

MOST_EVENTS = 1_000
MOST_BYTES = 4 * 1024 * 1024
TURN_EVENTS = 64  # handed to the library before it is asked whether the client takes them
TAKE_TIMEOUT_S = 60.0


class Waiting(NamedTuple):
    """An event and its JSON."""

    event: str
    content: bytes
    key: str | None = None
    must_arrive: bool = False
    room: str | None = None


class Outbox:
    """`send` hands one event to the client's transport, `taken` waits until that is empty."""

    def __init__(
        self,
        send: Callable[[str, msgspec.Raw], Awaitable[None]],
        taken: Callable[[], Awaitable[None]],
        *,
        most_events: int = MOST_EVENTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._send = send
        self._taken = taken
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._waiting: dict[int, Waiting] = {}  # by number, in order
        self._newest: dict[str, int] = {}  # while behind: the number of each key's event
        self._last = 0
        self._bytes = 0
        self._is_behind = False
        self._missed = 0
        self._wake = asyncio.Event()
        self.idle = asyncio.Event()  # nothing waits, and the transport has taken everything
        self.idle.set()

    def put(self, waiting: Waiting) -> None:
        """Let an event wait for its turn. Raises TooSlowError if it must arrive and cannot."""
        self._wake.set()
        self.idle.clear()
        if not self._is_full(waiting) and not self._is_behind:
            self._append(waiting)
            return
        if not self._is_behind:
            self._fall_behind()
        if waiting.key is not None and waiting.key in self._newest:
            self._leave_out(self._newest[waiting.key])
        if self._is_full(waiting):
            self._make_room(waiting)
        if not self._is_full(waiting):
            self._append(waiting)
        elif waiting.must_arrive:
            raise TooSlowError("You did not take what was sent. Connect again.")
        else:
            self._missed += 1

    def _is_full(self, waiting: Waiting) -> bool:
        if not self._waiting:
            return False  # a single event has room, however large
        return (
            len(self._waiting) >= self._most_events
            or self._bytes + len(waiting.content) > self._most_bytes
        )

    def _append(self, waiting: Waiting) -> None:
        self._last += 1
        self._waiting[self._last] = waiting
        self._bytes += len(waiting.content)
        if self._is_behind and waiting.key is not None and not waiting.must_arrive:
            self._newest[waiting.key] = self._last

    def _leave_out(self, number: int) -> None:
        left_out = self._waiting.pop(number)
        self._bytes -= len(left_out.content)
        if left_out.key is not None and self._newest.get(left_out.key) == number:
            del self._newest[left_out.key]
        self._missed += 1

    def _fall_behind(self) -> None:
        self._is_behind = True
        for number, waiting in list(self._waiting.items()):
            if waiting.key is None or waiting.must_arrive:
                continue
            if waiting.key in self._newest:
                self._leave_out(self._newest[waiting.key])
            self._newest[waiting.key] = number

    def _make_room(self, for_this: Waiting) -> None:
        for number, waiting in list(self._waiting.items()):
            if not waiting.must_arrive:
                self._leave_out(number)
                if not self._is_full(for_this):
                    return

    def take_back(self, is_meant: Callable[[Waiting], bool]) -> None:
        """Forget what waits and is not for this client any more; it does not count as missed."""
        for number, waiting in list(self._waiting.items()):
            if is_meant(waiting):
                self._leave_out(number)
                self._missed -= 1

    async def run(self) -> None:
        """Send what comes, until cancelled. Raises TooSlowError, ConnectionError."""
        while True:
            await self._wake.wait()
            while self._waiting or self._missed:
                await self._send_some()
            self._wake.clear()
            self._is_behind = False
            self._newest.clear()
            self.idle.set()

    async def _send_some(self) -> None:
        if self._missed:
            missed, self._missed = self._missed, 0
            await self._send("lagged", msgspec.Raw(b'{"missed":%d}' % missed))
        for number in list(self._waiting)[:TURN_EVENTS]:
            waiting = self._waiting.pop(number, None)
            if waiting is None:
                continue  # left out meanwhile
            self._bytes -= len(waiting.content)
            if waiting.key is not None and self._newest.get(waiting.key) == number:
                del self._newest[waiting.key]
            await self._send(waiting.event, msgspec.Raw(waiting.content))
        try:
            async with asyncio.timeout(TAKE_TIMEOUT_S):
                await self._taken()
        except TimeoutError:
            raise TooSlowError(f"You took nothing for {TAKE_TIMEOUT_S:g} s.") from None
