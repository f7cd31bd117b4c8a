"""Chunk: events that go out together, encoded once however many read them."""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import msgspec

from fleetwire.kit.instants import iso
from fleetwire.kit.services import LiveEvent

CHUNK_EVENTS = 500  # in one frame; others get their turn in between
CHUNK_CHARS = 256 * 1024  # well below the 1 MiB that many clients take as the most


class Encoder:
    """Encodes events as the platform's channels send them. `encoded` counts, for those who ask."""

    def __init__(self) -> None:
        self.encoded = 0
        self._encoder = msgspec.json.Encoder()

    def frame(self, event: LiveEvent) -> str:
        """Return an event as JSON text, made once."""
        if event.frame is None:
            self.encoded += 1
            event.frame = self._encoder.encode(
                {
                    "cursor": event.cursor,
                    "event": event.name,
                    "app": event.app,
                    "device_id": event.device.device_id,
                    "topic": event.topic,
                    "received_at": iso(event.received_at),
                    "data": event.body,
                }
            ).decode()
        return event.frame


class Chunk:
    """Some events in commit order with their texts."""

    def __init__(self, events: list[LiveEvent], texts: list[str]) -> None:
        self.events = events
        self.texts = texts
        self.chars = sum(map(len, texts))

    def __len__(self) -> int:
        return len(self.events)

    def after(self, cursor: int) -> "Chunk":
        """Return this chunk without what is not after a cursor."""
        if self.events[0].cursor > cursor:
            return self
        kept = [index for index, event in enumerate(self.events) if event.cursor > cursor]
        return Chunk([self.events[index] for index in kept], [self.texts[index] for index in kept])

    def only(self, matches: Callable[[LiveEvent], bool]) -> "Chunk":
        """Return this chunk without what does not match."""
        pairs = zip(self.events, self.texts, strict=True)
        kept = [(event, text) for event, text in pairs if matches(event)]
        return Chunk([event for event, _ in kept], [text for _, text in kept])

    @cached_property
    def json(self) -> str:
        """The events as members of a JSON list."""
        return ",".join(self.texts)

    @cached_property
    def sse(self) -> str:
        """The events as Server-Sent Events whose ids are the cursors."""
        return "".join(
            f"id: {event.cursor}\ndata: {text}\n\n"
            for event, text in zip(self.events, self.texts, strict=True)
        )


class Part(NamedTuple):
    """One thing that a subscription is told: its name, its JSON members, the events in it.

    `cursor` is the one to resume from after it, where that is so.
    """

    name: str
    members: str
    cursor: int | None = None
    chunks: tuple[Chunk, ...] = ()


def events_part(chunks: list[Chunk]) -> Part:
    """Return the part that tells these events."""
    text = chunks[0].json if len(chunks) == 1 else ",".join(chunk.json for chunk in chunks)
    return Part("events", f'"events":[{text}]', chunks[-1].events[-1].cursor, tuple(chunks))


def part(name: str, resume: int | None = None, /, **members: object) -> Part:
    """Return a part with these members; `resume` is its cursor."""
    return Part(name, msgspec.json.encode(members).decode()[1:-1], resume)


def chunks_of(events: list[LiveEvent], encode: Callable[[LiveEvent], str]) -> list[Chunk]:
    """Return events in chunks that are neither long nor large."""
    chunks: list[Chunk] = []
    texts: list[str] = []
    start = chars = 0
    for index, event in enumerate(events):
        text = encode(event)
        if texts and (len(texts) == CHUNK_EVENTS or chars + len(text) > CHUNK_CHARS):
            chunks.append(Chunk(events[start:index], texts))
            start, texts, chars = index, [], 0
        texts.append(text)
        chars += len(text)
    if texts:
        chunks.append(Chunk(events[start:], texts))
    return chunks
