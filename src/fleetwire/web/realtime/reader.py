"""Reader: what one subscription was told and has not taken yet, in bounded memory.

A reader catches up from the store first and is then live. While it catches up, a buffer that runs
over is emptied, and `overflowed_after` says from where the store must be read again. A live reader
that wants every event does the same. One that wants the latest is coalesced instead: of each
device and kind the newest event is kept, the others are counted, and when it takes again it is
told how many are missing and the cursor after which they can be read.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from fleetwire.errors import DomainError
from fleetwire.kit.services import LiveEvent
from fleetwire.web.realtime.chunk import CHUNK_CHARS, CHUNK_EVENTS, Chunk, chunks_of

BUFFER_EVENTS = 10_000
BUFFER_CHARS = 8 * 1024 * 1024  # of encoded events, which are shared with other readers


class Taken:
    """What a reader takes at once. `missed` > 0: so many after the cursor `since` are not in it."""

    __slots__ = ("chunks", "missed", "since")

    def __init__(self, chunks: list[Chunk], missed: int = 0, since: int = 0) -> None:
        self.chunks = chunks
        self.missed = missed
        self.since = since


class Reader:
    """The buffer of one subscription."""

    def __init__(
        self,
        *,
        keeps_latest: bool = False,
        buffer_events: int = BUFFER_EVENTS,
        buffer_chars: int = BUFFER_CHARS,
    ) -> None:
        self.overflowed_after: int | None = None
        self._keeps_latest = keeps_latest
        self._most_events = buffer_events
        self._most_chars = buffer_chars
        self._is_live = False
        self._served = 0  # everything up to this cursor came from the store
        self._chunks: deque[Chunk] = deque()
        self._events = 0
        self._chars = 0
        self._latest: dict[object, tuple[LiveEvent, str]] | None = None  # None = it keeps up
        self._heard = 0  # since it does not
        self._since = 0
        self._end: DomainError | None = None
        self._wake = asyncio.Event()

    def hear(self, chunk: Chunk) -> None:
        """Keep newly committed events, within the bounds."""
        if self.overflowed_after is not None or self._end is not None:
            return
        # A commit may be read from the store before it is told.
        chunk = chunk.after(self._served)
        if not chunk.events:
            return
        self._wake.set()
        if self._latest is not None:
            self._coalesce(chunk)
            return
        self._chunks.append(chunk)
        self._events += len(chunk)
        self._chars += chunk.chars
        if self._events <= self._most_events and self._chars <= self._most_chars:
            return
        since = self._chunks[0].events[0].cursor - 1
        if self._is_live and self._keeps_latest:
            self._begin_to_coalesce(since)
        else:
            self.overflowed_after = max(since, self._served)
            self._forget()

    def start_over(self) -> None:
        """Forget what was heard: the store is read from here on."""
        self.overflowed_after = None
        self._is_live = False
        self._forget()
        if self._end is None:
            self._wake.clear()

    def go_live(self, served: int) -> None:
        """Go on with what was heard after this cursor; all up to it came from the store."""
        self._served = served
        self._is_live = True
        self._refill([chunk.after(served) for chunk in self._chunks])
        if not self._chunks and self._end is None and self.overflowed_after is None:
            self._wake.clear()

    def keep(self, matches: Callable[[LiveEvent], bool]) -> None:
        """Forget what was heard and may not be told any more."""
        self._refill([chunk.only(matches) for chunk in self._chunks])
        if self._latest is not None:
            kept = {key: of for key, of in self._latest.items() if matches(of[0])}
            self._latest = kept
            self._chars = sum(len(text) for _, text in kept.values())

    def end(self, error: DomainError) -> None:
        """Let the next taking raise this."""
        self._end = error
        self._wake.set()

    def check(self) -> None:
        """Raise what the reader was ended with, if it was."""
        if self._end is not None:
            raise self._end

    async def next(self) -> Taken:
        """Wait for events and return some, in order; none if the buffer ran over.

        Raises what the reader was ended with.
        """
        await self._wake.wait()
        self.check()
        if self._latest is not None:
            return self._take_latest()
        chunks: list[Chunk] = []
        events = chars = 0
        while self._chunks:
            chunk = self._chunks[0]
            events += len(chunk)
            chars += chunk.chars
            if chunks and (events > CHUNK_EVENTS or chars > CHUNK_CHARS):
                break
            chunks.append(self._chunks.popleft())
            self._events -= len(chunk)
            self._chars -= chunk.chars
        if not self._chunks and self.overflowed_after is None:
            self._wake.clear()
        return Taken(chunks)

    def _refill(self, chunks: list[Chunk]) -> None:
        self._chunks = deque(chunk for chunk in chunks if chunk.events)
        self._events = sum(len(chunk) for chunk in self._chunks)
        self._chars = sum(chunk.chars for chunk in self._chunks)

    def _begin_to_coalesce(self, since: int) -> None:
        self._latest = {}
        self._heard = 0
        self._since = since
        heard, self._chunks = self._chunks, deque()
        self._events = self._chars = 0
        for chunk in heard:
            self._coalesce(chunk)

    def _coalesce(self, chunk: Chunk) -> None:
        latest = self._latest
        assert latest is not None
        self._heard += len(chunk)
        for event, text in zip(chunk.events, chunk.texts, strict=True):
            key = kind_of(event)
            before = latest.pop(key, None)  # and to the end: this is the order of cursors
            if before is not None:
                self._chars -= len(before[1])
            latest[key] = (event, text)
            self._chars += len(text)
        while len(latest) > self._most_events or (
            self._chars > self._most_chars and len(latest) > 1
        ):
            self._chars -= len(latest.pop(next(iter(latest)))[1])

    def _take_latest(self) -> Taken:
        assert self._latest is not None
        kept = list(self._latest.values())
        missed, since = self._heard - len(kept), self._since
        self._forget()
        self._wake.clear()
        texts = {event.cursor: text for event, text in kept}
        chunks = chunks_of([event for event, _ in kept], lambda event: texts[event.cursor])
        return Taken(chunks, missed, since)

    def _forget(self) -> None:
        self._chunks.clear()
        self._events = self._chars = 0
        self._latest = None


def kind_of(event: LiveEvent) -> object:
    """Return what newer events replace older ones of: a device's metric, a command's state."""
    body = event.body
    metric = body.get("metric_type", body.get("metric"))
    command = body.get("command_id")
    return event.device.id, event.name, event.topic, str(metric), str(command)
