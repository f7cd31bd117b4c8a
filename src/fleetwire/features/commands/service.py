"""CommandService: the ledger of commands."""

import asyncio
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from fleetwire.errors import ConflictError, NotFoundError, TooManyError
from fleetwire.features.commands import records, repository
from fleetwire.features.commands.board import STORING, Board, Command
from fleetwire.features.commands.dialects import Dialects
from fleetwire.features.commands.dispatcher import NOT_REPEATED, Dispatcher
from fleetwire.features.commands.events import event_of
from fleetwire.features.commands.journal import Journal
from fleetwire.features.commands.observer import CommandObserver
from fleetwire.features.commands.repository import Step
from fleetwire.features.commands.states import (
    CANCELLED,
    FINAL,
    QUEUED,
    SENT,
    SUPERSEDED,
)
from fleetwire.features.commands.terms import Terms, check_states, rows_of, terms_of
from fleetwire.features.commands.waiting import Waiting
from fleetwire.features.devices.registry import Registry
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
RESTART = "restart"


class CommandService(Commands, ClientObserver):
    """Takes commands, and knows what becomes of them.

    `answering_apps` is as Dialects has it. `check` raises for a command that a device does not
    take.
    """

    def __init__(
        self,
        db: Database,
        registry: Registry,
        downlink: Downlink,
        log_of_events: EventLog,
        apps: Mapping[str, App],
        *,
        answering_apps: frozenset[str] | None = None,
        check: Callable[[Device, str, dict[str, Any]], None] = lambda device, name, given: None,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._db = db
        self._registry = registry
        self._events = log_of_events
        self.dialects = Dialects(apps, answering_apps)
        self._check = check
        self._clock = clock
        self._last_created_at = 0
        self._creating = threading.Lock()
        self._waiting = Waiting()
        self._board = Board()
        self._journal = Journal(db, registry, log_of_events, self._told)
        self._dispatcher = Dispatcher(db, downlink, self._board, self._journal, clock)
        self._observer: CommandObserver | None = None

    # --- the service's life ---

    async def load(self) -> None:
        """Take up what the process before this one left; before any device connects.

        What it had sent is queued again if it may be repeated, since its outcome is unknown.
        """
        rows = await self._db.read(
            lambda connection: repository.unfinished(connection, self.dialects.answering)
        )
        now = self._clock()
        for row in rows:
            command = self._command(
                row.id,
                row.device,
                row.app,
                row.name,
                row.expires_at,
                row.state,
                attempts=row.attempts,
                lane=row.lane,
                may_repeat=bool(row.may_repeat),
            )
            self._last_created_at = max(self._last_created_at, row.created_at)
            self._dispatcher.track(command)
            if command.expires_at <= now:
                self._dispatcher.expire(command)
            elif command.state == SENT and command.may_repeat:
                command.state = QUEUED
                self._journal.add(command, Step(command.id, QUEUED, RESTART, now))
            elif command.state == SENT:
                command.is_unconfirmed = True
                reason = f"{RESTART}; {NOT_REPEATED}"
                self._journal.add(command, Step(command.id, SENT, reason, now))
        await self._journal.flush()

    def observe(self, observer: CommandObserver) -> None:
        """Have an observer follow every command from now on."""
        self._observer = observer
        self._dispatcher.observer = observer

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
            self._dispatcher.listening(client.grant.device, client)
        elif client.grant.anonymous:
            # Without credentials a client is the device whose command topic it names exactly.
            for app, device_id in self.dialects.named_in(topic_filter):
                device = self._registry.find(app, device_id)
                if device is not None:
                    self._dispatcher.listening(device.id, client)

    def way_turned(self, is_open: bool) -> None:
        """The way to another broker, at which all devices are, opens or closes."""
        self._dispatcher.way_turned(is_open)

    def disconnected(self, client: Client, reason: str) -> None:
        self._dispatcher.left(client)

    def closed(self, changes: list[tuple[str, str]]) -> None:
        """These commands, by id, have come to these states, and that is committed."""
        for command_id, state in changes:
            command = self._board.get(command_id)
            if command is None:
                continue
            if state in FINAL:
                self._board.remove(command_id)
            else:
                command.state = state
            self._dispatcher.look_at(command.device)
        self._told([command_id for command_id, _ in changes])

    def _told(self, command_ids: list[str]) -> None:
        self._waiting.tell(command_ids)

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
        lane: str | None = None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> CommandRecord:
        """Store a command as queued; it is published when the device is there.

        Raises TooManyError if the device has MAX_OPEN open commands, ConflictError if the
        idempotency key was used for another command.
        """
        caller.require(SEND)
        known = self._own(caller, device)
        terms = self.terms_for(
            known,
            name,
            parameters,
            payload=payload,
            expires_in_s=expires_in_s,
            idempotency_key=idempotency_key,
            lane=lane,
            supersede=supersede,
            retry=retry,
        )
        return await self.send_on(terms, known, caller.actor)

    def terms_for(
        self,
        device: Device,
        name: str,
        parameters: dict[str, Any],
        *,
        payload: bytes | None,
        expires_in_s: float,
        idempotency_key: str | None,
        lane: str | None,
        supersede: bool = False,
        retry: bool | None = None,
    ) -> Terms:
        """Return the terms of a command to a device. Raises InvalidValueError, ConflictError."""
        id_field = None
        if payload is None:
            id_field = self.dialects.id_field(device.app)
            payload = self.dialects.payload(device.app, name, parameters)
        return terms_of(
            name,
            parameters,
            payload,
            expires_in_s=expires_in_s,
            idempotency_key=idempotency_key,
            lane=lane,
            supersede=supersede,
            retry=retry,
            id_field=id_field,
        )

    async def send_on(self, terms: Terms, device: Device, actor: str) -> CommandRecord:
        """Store a command on these terms; who may do so was decided before."""
        self.dialects.check_topics(device.app, device.device_id)
        if self.count_open(device) >= MAX_OPEN:
            raise TooManyError(f"The device has {MAX_OPEN} open commands, which is the most.")
        command, created_at = self.new_command(terms, device, secrets.token_hex(16), STORING)
        row, beside = rows_of(command.id, device, terms, actor, created_at, command.expires_at)
        older = self._hold_older(command) if terms.supersedes else []

        def work(tx: Transaction) -> CommandRecord:
            if terms.idempotency_key is not None:
                first = repository.find_by_key(tx.connection, device.id, terms.idempotency_key)
                if first is not None:
                    if first[1] not in (None, terms.request):
                        raise ConflictError(
                            "This Idempotency-Key was used for another command.",
                            field="Idempotency-Key",
                        )
                    tx.after_commit(lambda: self._forget(command))
                    return first[0]
            repository.insert_command(tx, row, beside)
            events = [event_of(device, command.id, terms.name, QUEUED, None)]
            gone = []
            for each in older:
                step = Step(each.id, SUPERSEDED, f"by {command.id}", created_at)
                if repository.apply(tx, step):
                    gone.append((each.id, SUPERSEDED))
                    events.append(event_of(device, each.id, each.name, SUPERSEDED, step.reason))
            self._events.record(tx, events, received_at=created_at)
            tx.after_commit(lambda: self._queued(command))
            tx.after_commit(lambda: self.closed(gone))
            return records.read_record(tx.connection, command.id)

        def stored(done: "asyncio.Future[CommandRecord]") -> None:
            for each in older:
                each.is_held = False
            if done.cancelled() or done.exception() is not None:
                self._forget(command)
            elif older:
                self._dispatcher.look_at(device.id)

        self._dispatcher.track(command)
        if self._observer is not None:
            self._observer.requested(command.id)
        storing = asyncio.ensure_future(self._db.write(work))
        storing.add_done_callback(stored)
        # A caller who goes away has sent his command all the same.
        return await asyncio.shield(storing)

    def check_deadlines(self) -> None:
        """Expire what is past its deadline, when the clock was moved."""
        self._dispatcher.check_deadlines()

    def count_by_state(self) -> dict[str, int]:
        """Return how many open commands of all devices are in each state."""
        return self._board.count_by_state()

    def count_open(self, device: Device) -> int:
        """Return how many commands of a device are not closed."""
        return self._board.count(device.id)

    def new_command(self, terms: Terms, device: Device, id: str, state: str) -> tuple[Command, int]:
        """Return a command that is on no board yet, and the instant it is created at.

        Raises InvalidValueError, naming the field, if devices of this type take no such command.
        """
        self._check(device, terms.name, terms.parameters)
        now = self._clock()
        with self._creating:  # the writer's thread makes commands, too
            # Strictly ascending: the order of sending, and the cursor of the list.
            created_at = self._last_created_at = max(now, self._last_created_at + 1)
        command = self._command(
            id,
            device.id,
            device.app,
            terms.name,
            now + round(terms.expires_in_s * 1e6),
            state,
            lane=terms.lane,
            may_repeat=terms.may_repeat,
        )
        return command, created_at

    def stored(self, commands: Collection[Command]) -> None:
        """Take up commands whose rows others have committed as queued."""
        for command in commands:
            self._dispatcher.track(command)
            self._queued(command)

    def _hold_older(self, command: Command) -> list[Command]:
        """Return what waits in the command's lane; it is not published meanwhile."""
        older = [
            each
            for each in self._board.of_device(command.device)
            if each.lane == command.lane and each.state == QUEUED and not each.is_held
        ]
        for each in older:
            each.is_held = True
        return older

    def _command(
        self,
        id: str,
        device: int,
        app: str,
        name: str,
        expires_at: int,
        state: str,
        *,
        attempts: int = 0,
        lane: str | None = None,
        may_repeat: bool = True,
    ) -> Command:
        known = self._registry.by_id(device)
        command = Command(
            id,
            app,
            device,
            name,
            () if known is None else self.dialects.topics(app, known.device_id, name),
            expires_at,
            state,
            attempts,
            app in self.dialects.answering,
            lane,
            may_repeat,
        )
        if known is not None:
            command.response_topic = self.dialects.response_topic(app, known.device_id)
        return command

    def _queued(self, command: Command) -> None:
        command.state = QUEUED
        if command.expires_at <= self._clock():
            self._dispatcher.expire(command)
        else:
            self._dispatcher.look_at(command.device)

    def _forget(self, command: Command) -> None:
        self._board.remove(command.id)
        self._dispatcher.look_at(command.device)  # for those that waited behind it in its lane

    async def wait(self, command_id: str, timeout_s: float) -> CommandRecord:
        with self._waiting.on(command_id) as changed:
            try:
                async with asyncio.timeout(timeout_s):
                    while True:
                        changed.clear()
                        owner, record = await self._db.read(lambda c: records.read(c, command_id))
                        if self.dialects.is_outcome(owner.app, record.state):
                            return record
                        await changed.wait()
            except TimeoutError:
                return (await self._db.read(lambda c: records.read(c, command_id)))[1]

    async def get(self, caller: Caller, command_id: str) -> CommandRecord:
        caller.require(READ)
        owner, record = await self._db.read(lambda c: records.read(c, command_id))
        records.check_owner(caller, owner)
        return record

    async def list(
        self,
        caller: Caller,
        device: DeviceRecord,
        *,
        states: Collection[str] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[CommandRecord]:
        """Return the device's commands, newest first."""
        caller.require(READ)
        self._own(caller, device)
        check_limit(limit)
        check_states(states)
        before_at = None if cursor is None else decode_cursor(cursor, 1)[0]
        found = await self._db.read(
            lambda c: repository.list_records(c, device.id, before_at, limit + 1, states)
        )
        items = found[:limit]
        return Page(items, encode_cursor(items[-1].created_at) if len(found) > limit else None)

    async def cancel(self, caller: Caller, command_id: str) -> CommandRecord:
        """Give a command up. Raises ConflictError once it was delivered or is closed."""
        caller.require(SEND)
        owner, _ = await self._db.read(lambda c: records.read(c, command_id))
        records.check_owner(caller, owner)

        def work(tx: Transaction) -> CommandRecord:
            current = repository.find_owner(tx.connection, command_id)
            if current is None:
                raise records.not_found(command_id)
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
            tx.after_commit(lambda: self.closed([(command_id, CANCELLED)]))
            return records.read_record(tx.connection, command_id)

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
