"""Realtime: committed events, live and by cursor."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import Any

from fleetwire.kit.caller import Caller
from fleetwire.kit.device import Device


class LiveEvent:
    """A committed event: `cursor` orders all of them.

    `text` and `frame` are its two encodings, as an app's own channels and as the platform's send
    it; each is made once for every reader.
    """

    __slots__ = (
        "app",
        "body",
        "cursor",
        "device",
        "frame",
        "name",
        "received_at",
        "text",
        "topic",
    )

    def __init__(
        self,
        cursor: int,
        app: str,
        device: Device,
        name: str,
        topic: str,
        body: dict[str, Any],
        received_at: int,
    ) -> None:
        self.cursor = cursor
        self.app = app
        self.device = device
        self.name = name
        self.topic = topic
        self.body = body
        self.received_at = received_at
        self.text: str | None = None
        self.frame: str | None = None


class Realtime(ABC):
    """Committed events, live and by cursor."""

    @abstractmethod
    def stream(
        self,
        caller: Caller,
        *,
        app: str,
        matches: Callable[[LiveEvent], bool],
        since: int | None = None,
    ) -> AsyncGenerator[list[LiveEvent], None]:
        """Yield committed events of the caller's organisation in commit order, without a gap.

        The first list is empty and comes at once: from then on nothing is missed. With `since`,
        stored events after that cursor come next. A reader that falls behind is served from the
        store until it has caught up; it never stalls others. Each event's `text` is encoded.
        Raises UnauthenticatedError within a second of a change of what the caller may do: he signs
        in again and goes on with `since`. Close the generator (`contextlib.aclosing`) when done.
        """
