"""CommandService: the ledger of commands."""

import asyncio
import math
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from fleetwire.errors import ConflictError, InvalidValueError, NotFoundError, TooManyError
from fleetwire.features.commands import repository
from fleetwire.features.commands.board import Board, Command
from fleetwire.features.commands.dispatcher import Dispatcher
from fleetwire.features.commands.events import event_of
from fleetwire.features.commands.journal import Journal
from fleetwire.features.commands.repository import Owner, Step
from fleetwire.features.commands.states import CANCELLED, QUEUED, SENT, is_outcome
from fleetwire.features.devices.registry import Registry
from fleetwire.features.devices.rules import check_text
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor
from fleetwire.ingest.events import EventLog
from fleetwire.kit import instants
from fleetwire.kit.app import App
from fleetwire.kit.device import Device
from fleetwire.kit.services import Caller, CommandRecord, Commands, DeviceRecord, Page
from fleetwire.net.clients import Client, ClientObserver, Downlink
from fleetwire.store.database import Database, Transaction

READ = "device.read"
SEND = "command.send"

MAX_OPEN = 1000  # of one device
MAX_PAYLOAD_BYTES = 64 * 1024
MAX_NAME_CHARS = 128
MAX_KEY_CHARS = 128
MAX_ACTOR_CHARS = 128
MIN_EXPIRES_IN_S = 1.0
MAX_EXPIRES_IN_S = 30 * 86_400.0

_STORING = "storing"  # on the board, for its place and the bound; not yet committed


class CommandService(Commands, ClientObserver):
    """Takes commands, and knows what becomes of them.

    `answering_apps` are those whose devices answer commands; elsewhere delivery is the outcome.
    """

    def __init__(
        self,
        db: Database,
        registry: Registry,
        downlink: Downlink,
        log_of_events: EventLog,
        apps: Mapping[str, App],
        *,
        answering_apps: frozenset[str] = frozenset(),
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._registry = registry
        self._events = log_of_events
        self._apps = apps
        self._answering_apps = answering_apps
        self._clock = clock
        self._last_created_at = 0
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._board = Board()
        self._journal = Journal(db, registry, log_of_events, self._told)
        self._dispatcher = Dispatcher(db, downlink, self._board, self._journal, clock)

    # --- the service's life ---

    async def load(self) -> None:
        """Take up what the process before this one left; before any device connects.

        What it had sent is queued again, since its outcome is unknown.
        """
        rows = await self._db.read(
            lambda connection: repository.unfinished(connection, self._answering_apps)
        )
        now = self._clock()
        for row in rows:
            device = self._registry.by_id(row.device)
            topic = "" if device is None else self._topic(row.app, device.device_id)
            command = Command(
                row.id, row.app, row.device, row.name, topic, row.expires_at, row.state,
                row.attempts, row.app in self._answering_apps,
            )  # fmt: skip
            self._last_created_at = max(self._last_created_at, row.created_at)
            self._dispatcher.track(command)
            if command.expires_at <= now:
                self._dispatcher.expire(command)
            elif command.state == SENT:
                command.state = QUEUED
                self._journal.add(command, Step(command.id, QUEUED, "restart", now))
        await self._journal.flush()

    async def run(self) -> None:
        """Publish, expire and store, until cancelled. Call `flush()` afterwards."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._journal.run())
            tasks.create_task(self._dispatcher.run())

    async def flush(self) -> None:
        """Store the states that are known. Raises StoreUnavailableError."""
        await self._journal.flush()

    def listening(self, client: Client, topic_filter: str) -> None:
        """A device that subscribes gets what is queued for it."""
        if client.grant.device:
            self._dispatcher.listening(client.grant.device)
        elif client.grant.anonymous:
            # Without credentials a client is the device whose command topic it names exactly.
            for app in self._apps.values():
                device_id = _device_id_in(app.command_topic, topic_filter)
                device = self._registry.find(app.name, device_id)
                if device is not None:
                    self._dispatcher.listening(device.id)

    def closed(self, command_ids: list[str]) -> None:
        """These commands were answered, and that is committed."""
        for command_id in command_ids:
            command = self._board.get(command_id)
            if command is not None:
                self._board.remove(command_id)
                self._dispatcher.look_at(command.device)
        self._told(command_ids)

    def _told(self, command_ids: list[str]) -> None:
        for command_id in command_ids:
            for waiting in self._waiting.get(command_id, ()):
                waiting.set()

    # --- Commands ---

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
    ) -> CommandRecord:
        """Store a command as queued; it is published when the device is there.

        A repeated `idempotency_key` returns the device's first command and sends nothing. Raises
        TooManyError if the device has MAX_OPEN open commands.
        """
        caller.require(SEND)
        known = self._own(caller, device)
        topic = self._topic(device.app, device.device_id)
        if not topic:
            raise ConflictError(f"Devices of the app {device.app!r} take no commands.")
        if payload is None:
            payload = self._apps[device.app].command_payload(name, parameters)
        _check(name, payload, expires_in_s, idempotency_key)
        if self._board.count(device.id) >= MAX_OPEN:
            raise TooManyError(f"The device has {MAX_OPEN} open commands, which is the most.")
        # Strictly ascending: the order of sending, and the cursor of the list.
        now = self._clock()
        created_at = self._last_created_at = max(now, self._last_created_at + 1)
        command = Command(
            secrets.token_hex(16),
            device.app,
            device.id,
            name,
            topic,
            now + round(expires_in_s * 1e6),
            _STORING,
            answers=device.app in self._answering_apps,
        )
        row = {
            "id": command.id,
            "organization_id": device.organization_id,
            "app": device.app,
            "device": device.id,
            "name": name,
            "parameters": parameters,
            "payload": payload,
            "state": QUEUED,
            "attempts": 0,
            "idempotency_key": idempotency_key,
            "requested_by": caller.actor[:MAX_ACTOR_CHARS],
            "created_at": created_at,
            "expires_at": command.expires_at,
            "updated_at": created_at,
        }

        def work(tx: Transaction) -> CommandRecord:
            if idempotency_key is not None:
                first = repository.find_by_key(tx, device.id, idempotency_key)
                if first is not None:
                    tx.after_commit(lambda: self._board.remove(command.id))
                    return first
            repository.insert_command(tx, row)
            event = event_of(known, command.id, name, QUEUED, None)
            self._events.record(tx, [event], received_at=created_at)
            tx.after_commit(lambda: self._queued(command))
            return _found(repository.find_record(tx.connection, command.id), command.id)

        self._dispatcher.track(command)
        storing = asyncio.ensure_future(self._db.write(work))
        storing.add_done_callback(lambda done: self._drop_unless_stored(command, done))
        # A caller who goes away has sent his command all the same.
        return await asyncio.shield(storing)

    def _queued(self, command: Command) -> None:
        command.state = QUEUED
        if command.expires_at <= self._clock():
            self._dispatcher.expire(command)
        else:
            self._dispatcher.look_at(command.device)

    def _drop_unless_stored(self, command: Command, done: "asyncio.Future[CommandRecord]") -> None:
        if done.cancelled() or done.exception() is not None:
            self._board.remove(command.id)

    async def wait(self, command_id: str, timeout_s: float) -> CommandRecord:
        changed = asyncio.Event()
        self._waiting.setdefault(command_id, set()).add(changed)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    changed.clear()
                    owner, record = await self._db.read(lambda c: _read(c, command_id))
                    if is_outcome(record.state, answers=owner.app in self._answering_apps):
                        return record
                    await changed.wait()
        except TimeoutError:
            return (await self._db.read(lambda c: _read(c, command_id)))[1]
        finally:
            self._waiting[command_id].discard(changed)
            if not self._waiting[command_id]:
                del self._waiting[command_id]

    async def get(self, caller: Caller, command_id: str) -> CommandRecord:
        caller.require(READ)
        owner, record = await self._db.read(lambda c: _read(c, command_id))
        _check_owner(caller, owner)
        return record

    async def list(
        self, caller: Caller, device: DeviceRecord, *, limit: int = 50, cursor: str | None = None
    ) -> Page[CommandRecord]:
        """Return the device's commands, newest first."""
        caller.require(READ)
        self._own(caller, device)
        check_limit(limit)
        before_at = None if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda c: repository.list_records(c, device.id, before_at, limit + 1)
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].created_at) if len(found) > limit else None)

    async def cancel(self, caller: Caller, command_id: str) -> CommandRecord:
        """Give a command up. Raises ConflictError once it was delivered or is closed."""
        caller.require(SEND)
        owner, _ = await self._db.read(lambda c: _read(c, command_id))
        _check_owner(caller, owner)

        def work(tx: Transaction) -> CommandRecord:
            current = repository.find_owner(tx.connection, command_id)
            if current is None:
                raise _not_found(command_id)
            reason = f"by {caller.actor}"
            if current.state == SENT:
                reason += "; it had been sent, so the device may have got it"
            step = Step(command_id, CANCELLED, reason, self._clock())
            if not repository.apply(tx, step):
                raise ConflictError(f"The command is {current.state} and cannot be cancelled.")
            device = self._registry.by_id(current.device)
            if device is not None:
                event = event_of(device, command_id, current.name, CANCELLED, reason)
                self._events.record(tx, [event], received_at=step.at)
            tx.after_commit(lambda: self.closed([command_id]))
            return _found(repository.find_record(tx.connection, command_id), command_id)

        command = self._board.get(command_id)
        if command is None:
            return await self._db.write(work)
        command.is_held = True
        try:
            return await self._db.write(work)
        finally:
            command.is_held = False
            self._dispatcher.look_at(command.device)

    def _own(self, caller: Caller, device: DeviceRecord) -> Device:
        known = self._registry.find(device.app, device.device_id)
        if known is None or known.organization_id != caller.organization_id:
            raise NotFoundError(
                f"No device {device.device_id!r} is registered with {device.app!r}."
            )
        return known

    def _topic(self, app: str, device_id: str) -> str:
        """Return where a device's commands go; "" if its app is not here or sends none."""
        known = self._apps.get(app)
        template = known.command_topic if known is not None else None
        return "" if template is None else template.replace("{device_id}", device_id)


def _check(name: str, payload: bytes, expires_in_s: float, idempotency_key: str | None) -> None:
    check_text(name, "name", MAX_NAME_CHARS)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidValueError(
            f"The command must not have more than {MAX_PAYLOAD_BYTES} bytes.", field="parameters"
        )
    if not math.isfinite(expires_in_s) or not MIN_EXPIRES_IN_S <= expires_in_s <= MAX_EXPIRES_IN_S:
        raise InvalidValueError("expires_in must be 1s to 30d", field="expires_in")
    if idempotency_key is not None:
        check_text(idempotency_key, "Idempotency-Key", MAX_KEY_CHARS)


def _read(connection: Connection, command_id: str) -> tuple[Owner, CommandRecord]:
    owner = repository.find_owner(connection, command_id)
    if owner is None:
        raise _not_found(command_id)
    return owner, _found(repository.find_record(connection, command_id), command_id)


def _found(record: CommandRecord | None, command_id: str) -> CommandRecord:
    if record is None:
        raise _not_found(command_id)
    return record


def _check_owner(caller: Caller, owner: Owner) -> None:
    if owner.organization_id != caller.organization_id:
        raise _not_found(owner.id)


def _not_found(command_id: str) -> NotFoundError:
    return NotFoundError(f"There is no command {command_id[:32]!r}.")


def _device_id_in(template: str | None, topic: str) -> str:
    """Return what stands in a topic where the template has `{device_id}`, "" if it does not fit."""
    if template is None:
        return ""
    before, _, after = template.partition("{device_id}")
    if len(topic) <= len(before) + len(after):
        return ""
    if not topic.startswith(before) or not topic.endswith(after):
        return ""
    return topic[len(before) : len(topic) - len(after)]
