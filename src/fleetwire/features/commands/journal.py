"""Journal: changes of state, stored in the order in which they happened.

One worker takes what has gathered and stores it in one transaction, each change with its event.
So «sent» is in the database before «delivered», however quickly the device was; a storm of PUBACKs
costs few transactions; and while the database is away the changes wait here, in order. A change
that the row's state does not allow (an answer was quicker) does not take place.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from fleetwire.errors import StoreUnavailableError
from fleetwire.features.commands import repository
from fleetwire.features.commands.board import Command
from fleetwire.features.commands.events import event_of
from fleetwire.features.commands.repository import Step
from fleetwire.features.commands.states import CANCELLED, DELIVERED, EXPIRED
from fleetwire.features.devices.registry import Registry
from fleetwire.ingest.events import EventLog
from fleetwire.kit.effects import Event
from fleetwire.store.database import Database, Transaction

log = structlog.get_logger("fleetwire.commands")

GROUP_LIMIT = 500
RETRY_S = 1.0
FULL = 10_000  # past this nothing more is published: the database does not keep up


class Journal:
    """Steps waiting to be stored. `told` is called with the ids of commands after their commit."""

    def __init__(
        self,
        db: Database,
        registry: Registry,
        log_of_events: EventLog,
        told: Callable[[list[str]], None],
    ) -> None:
        self._db = db
        self._registry = registry
        self._events = log_of_events
        self._told = told
        self._steps: deque[tuple[Command, Step]] = deque()
        self._wake = asyncio.Event()
        self._storing = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Say whether too much waits to be stored."""
        return len(self._steps) >= FULL

    def add(self, command: Command, step: Step) -> None:
        """Note a change that has happened."""
        self._steps.append((command, step))
        self._wake.set()

    async def run(self) -> None:
        """Store what is noted, until cancelled. Call `flush()` afterwards."""
        while True:
            await self._wake.wait()
            try:
                await self.flush()
            except StoreUnavailableError as error:
                log.warning("states of commands are not stored yet", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Store all that is noted. Raises StoreUnavailableError; it is kept for the next time."""
        async with self._storing:
            while self._steps:
                count = min(GROUP_LIMIT, len(self._steps))
                steps = [self._steps.popleft() for _ in range(count)]
                try:
                    await self._db.write(lambda tx, steps=steps: self._write(tx, steps))  # type: ignore[misc]  # mypy cannot infer a lambda's default
                except StoreUnavailableError:
                    self._steps.extendleft(reversed(steps))
                    raise
            self._wake.clear()

    def _write(self, tx: Transaction, steps: list[tuple[Command, Step]]) -> None:
        """Store these steps, on the writer's thread."""
        events: list[Event] = []
        changed: list[str] = []
        for command, step in steps:
            if not repository.apply(tx, step):
                if step.state == DELIVERED:
                    _note_late_delivery(tx, step)
                continue
            changed.append(step.command_id)
            device = self._registry.by_id(command.device)
            if device is not None:
                events.append(
                    event_of(device, step.command_id, command.name, step.state, step.reason)
                )
        self._events.record(tx, events, received_at=steps[-1][1].at)
        tx.after_commit(lambda: self._told(changed))


def _note_late_delivery(tx: Transaction, step: Step) -> None:
    """The device got a command that had been given up: its state stays, but it must be known."""
    owner = repository.find_owner(tx.connection, step.command_id)
    if owner is not None and owner.state in (EXPIRED, CANCELLED):
        repository.add_line(tx, step.command_id, owner.state, "delivered all the same", step.at)
