"""Commands: the ledger of what devices were told to do, and what became of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from fleetwire.kit.caller import Caller
from fleetwire.kit.devices import DeviceRecord
from fleetwire.kit.paging import Page


class CommandEvent(msgspec.Struct):
    """One line of a command's timeline."""

    state: str
    reason: str | None
    at: int


class CommandRecord(msgspec.Struct):
    """A command and what became of it."""

    id: str
    device_id: str
    name: str
    parameters: dict[str, Any]
    # queued | sent | delivered | accepted | in_progress | succeeded | failed | rejected | expired |
    # cancelled | superseded
    state: str
    reason: str | None
    result: Any
    attempts: int
    created_at: int
    expires_at: int
    updated_at: int
    timeline: list[CommandEvent]


class Commands(ABC):
    """The ledger of commands."""

    @abstractmethod
    async def send(
        self,
        caller: Caller,
        device: DeviceRecord,
        name: str,
        parameters: dict[str, Any],
        *,
        payload: bytes | None = None,
        expires_in_s: float = 60.0,
        idempotency_key: str | None = None,
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandRecord:
        """Store a command as queued; it is published when the device is there.

        `payload` are the bytes the device reads; None = as the app's `command_payload` makes them.
        A repeated `idempotency_key` returns the first command and sends nothing; for another
        command it is a ConflictError. Of a device's `lane` one command is under way at a time, and
        `supersede` gives up those that still wait in it. `retry`: send it again where it is unknown
        whether the device has it; None = unless it has an idempotency key.
        """

    @abstractmethod
    async def wait(self, command_id: str, timeout_s: float) -> CommandRecord:
        """Return the command once nothing more is known to come of it, or when time is up."""

    @abstractmethod
    async def get(self, caller: Caller, command_id: str) -> CommandRecord: ...

    @abstractmethod
    async def list(
        self, caller: Caller, device: DeviceRecord, *, limit: int = 50, cursor: str | None = None
    ) -> Page[CommandRecord]: ...

    @abstractmethod
    async def cancel(self, caller: Caller, command_id: str) -> CommandRecord: ...


class CommandBatch(msgspec.Struct):
    """One command to many devices. `waiting` are devices that do not have theirs yet."""

    id: str
    app: str
    name: str
    parameters: dict[str, Any]
    total: int
    states: dict[str, int]  # how many commands stand in which state
    waiting: int
    refused_count: int
    refused: list[tuple[str, str]]  # device_id and why, the first of them
    created_at: int
    spread_at: int | None
    group: str | None = None  # whose devices it was sent to, as they were then
    query: str | None = None
    open_count: int = 0  # devices of which an outcome is still to come, those that wait included


class CommandBatches(ABC):
    """One command to many devices."""

    @abstractmethod
    async def send(
        self,
        caller: Caller,
        app: str,
        device_ids: Sequence[str],
        name: str,
        parameters: dict[str, Any],
        *,
        expires_in_s: float = 60.0,
        idempotency_key: str | None = None,
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandBatch:
        """Store a batch; each device is given a command of its own within moments."""

    @abstractmethod
    async def send_to(
        self,
        caller: Caller,
        name: str,
        parameters: dict[str, Any],
        *,
        group: str | None = None,
        query: str | None = None,
        app: str | None = None,
        expires_in_s: float = 60.0,
        idempotency_key: str | None = None,
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandBatch:
        """Store a batch for the devices that a group, or else a query, means at this moment.

        `app` narrows them to one app's. Raises InvalidValueError if they are of several apps, or
        if there are none.
        """

    @abstractmethod
    async def get(self, caller: Caller, batch_id: str) -> CommandBatch:
        """Return how far a batch has come."""
