"""Waiting: those who wait for what becomes of a command. Nobody polls."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fleetwire.errors import TooManyError

MAX_WAITING = 2000  # requests that hang at once


class Waiting:
    """Who waits for which command."""

    def __init__(self) -> None:
        self._by_command: dict[str, set[asyncio.Event]] = {}
        self._count = 0

    @contextmanager
    def on(self, command_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the command changes. Raises TooManyError."""
        if self._count >= MAX_WAITING:
            raise TooManyError(f"{MAX_WAITING} requests wait for commands, which is the most.")
        changed = asyncio.Event()
        self._count += 1
        self._by_command.setdefault(command_id, set()).add(changed)
        try:
            yield changed
        finally:
            self._count -= 1
            self._by_command[command_id].discard(changed)
            if not self._by_command[command_id]:
                del self._by_command[command_id]

    def tell(self, command_ids: Iterable[str]) -> None:
        """These commands have changed, and that is committed."""
        for command_id in command_ids:
            for changed in self._by_command.get(command_id, ()):
                changed.set()
