"""Dispatcher: publishes queued commands to devices that listen, and hears what became of them.

Theory of operation. Everything here happens on the event loop, so the board is always right about
what is under way; the rows follow through the journal. A device is looked at when a command was
stored for it, when it begins to listen, when one of its commands was delivered, and a while after
a loss. Its queued commands are then published in order of creation, at most board.WINDOW at a time.

A command that was lost (its session ended before the PUBACK) is queued again and is published when
the device listens again, or after a pause that grows: a device may get a command twice, it never
gets it after its deadline. One that must not be repeated is stored as sent before it is published,
so that no end of the process makes it look unsent, and stays sent when its PUBACK is lost.
"""

import asyncio
from collections.abc import Callable

import structlog

from fleetwire.broker.session import QOS0_UNKNOWABLE
from fleetwire.errors import StoreUnavailableError
from fleetwire.features.commands import repository
from fleetwire.features.commands.board import Board, Command
from fleetwire.features.commands.journal import Journal
from fleetwire.features.commands.observer import CommandObserver
from fleetwire.features.commands.repository import Step
from fleetwire.features.commands.states import (
    ACCEPTED,
    DELIVERED,
    EXPIRED,
    IN_PROGRESS,
    QUEUED,
    SENT,
)
from fleetwire.net.clients import Client, Downlink
from fleetwire.net.external.plan import NOBODY
from fleetwire.protocol.constants import CORRELATION_DATA, RESPONSE_TOPIC, USER_PROPERTY
from fleetwire.protocol.packets import Properties
from fleetwire.store.database import Database

log = structlog.get_logger("fleetwire.commands")

READ_LIMIT = 64  # payloads in memory at a time; a payload has up to 64 kB
LOOK_AGAIN_US = 5_000_000  # after a first loss, if the device has not begun to listen since
LOOK_AGAIN_MOST_US = 300_000_000  # after many
RETRY_S = 1.0
LONGEST_SLEEP_S = 30.0  # the wall clock may be set while we sleep

EXPIRED_BECAUSE = {
    QUEUED: "the device was not there in time",
    SENT: "the device did not confirm it in time",
    DELIVERED: "the device did not answer in time",
    ACCEPTED: "the device did not say in time what came of it",
    IN_PROGRESS: "the device did not finish it in time",
}
NOT_THERE = "the device did not listen any more"
NOT_REPEATED = "the device may have got it, so it is not sent again"


class Dispatcher:
    """Moves the commands on the board."""

    def __init__(
        self,
        db: Database,
        downlink: Downlink,
        board: Board,
        journal: Journal,
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._downlink = downlink
        self._board = board
        self._journal = journal
        self._clock = clock
        self._ready: dict[int, None] = {}  # devices to look at, in order
        self._present: dict[int, list[Client]] = {}  # who of each device has begun to listen
        self._is_way_open = False  # to all devices, where their sessions are at another broker
        self._wake = asyncio.Event()
        self._timer = asyncio.Event()
        self.observer: CommandObserver | None = None

    def look_at(self, device: int) -> None:
        """Publish what this device may be sent, soon."""
        if self._board.publishable(device, self._clock()):
            self._ready[device] = None
            self._wake.set()

    def listening(self, device: int, client: Client) -> None:
        """The device begins to listen: what was lost before need not wait any longer."""
        clients = self._present.setdefault(device, [])
        if not any(other is client for other in clients):
            clients.append(client)
        for command in self._board.of_device(device):
            command.not_before = 0
        self.look_at(device)

    def way_turned(self, is_open: bool) -> None:
        """The way to all devices opens, or closes; which of them listen is not known."""
        self._is_way_open = is_open
        if is_open:
            for command in self._board.commands():
                command.not_before = 0
                self.look_at(command.device)

    def _is_there(self, device: int) -> bool:
        return self._is_way_open or device in self._present

    def left(self, client: Client) -> None:
        """A connection has ended."""
        devices = [client.grant.device] if client.grant.device else list(self._present)
        for device in devices:
            others = [other for other in self._present.get(device, []) if other is not client]
            if others:
                self._present[device] = others
            else:
                self._present.pop(device, None)

    def track(self, command: Command) -> None:
        """Put a command on the board; its deadline counts from now on."""
        self._board.add(command)
        self._timer.set()

    # --- publishing ---

    async def run(self) -> None:
        """Publish and expire, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_publishing())
            tasks.create_task(self._run_clock())

    async def _run_publishing(self) -> None:
        while True:
            await self._wake.wait()
            try:
                if self._journal.is_full:
                    await asyncio.sleep(RETRY_S)
                else:
                    await self.publish()
            except StoreUnavailableError as error:
                log.warning("commands wait for the database", reason=str(error))
                await asyncio.sleep(RETRY_S)

    async def publish(self) -> None:
        """Publish what the devices that were to be looked at may be sent, a few at a time.

        Raises StoreUnavailableError; then nothing was published.
        """
        devices: list[int] = []
        chosen: list[Command] = []
        while self._ready and len(chosen) < READ_LIMIT:
            device = next(iter(self._ready))
            del self._ready[device]
            devices.append(device)
            chosen += self._board.publishable(device, self._clock())
        if not self._ready:
            self._wake.clear()
        # Of a device that is not there, nothing is to be stored as sent.
        chosen = [each for each in chosen if each.may_repeat or self._is_there(each.device)]
        ids = [command.id for command in chosen]
        try:
            payloads = await self._db.read(lambda connection: repository.payloads(connection, ids))
            await self._store_as_sent([each for each in chosen if not each.may_repeat])
        except StoreUnavailableError:
            self._ready = dict.fromkeys(devices) | self._ready
            self._wake.set()
            raise
        # By topics: a device may listen to some of them only.
        away: set[tuple[int, tuple[str, ...]]] = set()
        for command in chosen:
            # Much may have happened while the payloads were read.
            if (
                command not in self._board
                or command.state != QUEUED
                or command.is_held
                or command.expires_at <= self._clock()
            ):
                continue
            place = command.device, command.topics
            if place in away or not self._send(command, payloads[command.id]):
                away.add(place)
                if not command.may_repeat:
                    self._note(command, QUEUED, NOT_THERE)
        sent = {command.device for command in chosen} - {device for device, _ in away}
        for device in devices:
            if device in sent:
                self.look_at(device)

    async def _store_as_sent(self, commands: list[Command]) -> None:
        for command in commands:
            self._note(command, SENT, None, attempts=command.attempts + 1)
        if commands:
            await self._journal.flush()

    def _send(self, command: Command, payload: bytes) -> bool:
        attempt = _Attempt(self, command, command.attempts + 1)
        # MQTT 5.0 §4.10: the device answers to this topic, with these octets.
        properties: Properties = {CORRELATION_DATA: command.id.encode()}
        if command.response_topic:
            properties[RESPONSE_TOPIC] = command.response_topic
        if self.observer is not None:
            properties[USER_PROPERTY] = self.observer.properties(command.id)
        for topic in command.topics:
            attempt.outstanding += self._downlink.send_to_device(
                command.device,
                topic,
                payload,
                expires_at=command.expires_at,
                delivered=attempt.delivered,
                lost=attempt.lost,
                properties=properties,
            )
        if not attempt.outstanding:
            return False
        command.attempts = attempt.number
        command.state = SENT
        command.is_unconfirmed = attempt.is_lost and attempt.early_loss == QOS0_UNKNOWABLE
        reason = attempt.early_loss if command.is_unconfirmed else None
        if command.may_repeat or reason is not None:
            self._note(command, SENT, reason, attempts=attempt.number)
        attempt.settle()
        return True

    # --- what became of it ---

    def delivered(self, command: Command, attempt: int) -> None:
        """The device's PUBACK came."""
        if attempt == command.attempts and command.state == SENT and command in self._board:
            command.state = DELIVERED
            if not command.answers:
                self._board.remove(command.id)
        # Noted also where it comes too late; the journal knows what to make of it.
        self._note(command, DELIVERED, None)
        self.look_at(command.device)

    def lost(
        self, command: Command, attempt: int, reason: str, *, was_on_its_way: bool = True
    ) -> None:
        """The device's PUBACK will not come any more."""
        if attempt != command.attempts or command.state != SENT or command not in self._board:
            return
        if command.is_unconfirmed:
            return
        now = self._clock()
        if command.expires_at <= now:
            self.expire(command)
            return
        if was_on_its_way and not command.may_repeat and reason != NOBODY:
            command.is_unconfirmed = True
            self._note(command, SENT, f"{reason}; {NOT_REPEATED}")
            self.look_at(command.device)
            return
        command.state = QUEUED
        command.not_before = now + pause_us(attempt)
        self._board.look_at(command, command.not_before)
        self._timer.set()
        self._note(command, QUEUED, reason)

    def expire(self, command: Command) -> None:
        """The deadline has passed."""
        reason = EXPIRED_BECAUSE[command.state]
        self._board.remove(command.id)
        command.state = EXPIRED
        self._note(command, EXPIRED, reason)
        self.look_at(command.device)

    def _note(self, command: Command, state: str, reason: str | None, *, attempts: int = 0) -> None:
        step = Step(command.id, state, reason, self._clock(), attempts)
        self._journal.add(command, step)

    # --- time ---

    async def _run_clock(self) -> None:
        while True:
            self._timer.clear()
            self.check_deadlines()
            due_at = self._board.next_due_at
            sleep_s = LONGEST_SLEEP_S
            if due_at is not None:
                sleep_s = min(max((due_at - self._clock()) / 1e6, 0.001), LONGEST_SLEEP_S)
            try:
                async with asyncio.timeout(sleep_s):
                    await self._timer.wait()
            except TimeoutError:
                pass

    def check_deadlines(self) -> None:
        """Expire what is past its deadline; look again at what was lost a while ago."""
        now = self._clock()
        for command in self._board.take_due(now):
            if command.state not in EXPIRED_BECAUSE:
                continue  # still being stored; that ends with a look at the deadline
            if command.expires_at <= now:
                self.expire(command)
            else:
                self.look_at(command.device)


def pause_us(attempts: int) -> int:
    """Return how long a command waits after it was lost so many times, in microseconds."""
    return int(min(LOOK_AGAIN_US << min(max(attempts - 1, 0), 16), LOOK_AGAIN_MOST_US))


class _Attempt:
    """One publication of one command, on all of its topics.

    The first acknowledgement delivers it; it is lost once it is lost on every topic. What is told
    during the calls is kept until after them.
    """

    __slots__ = (
        "_command",
        "_dispatcher",
        "_is_sending",
        "_losses",
        "_was_delivered",
        "early_loss",
        "number",
        "outstanding",
    )

    def __init__(self, dispatcher: Dispatcher, command: Command, number: int) -> None:
        self._dispatcher = dispatcher
        self._command = command
        self._is_sending = True
        self._was_delivered = False
        self._losses = 0
        self.outstanding = 0  # on how many topics somebody listens
        self.number = number
        self.early_loss = ""

    @property
    def is_lost(self) -> bool:
        """Say whether no acknowledgement can come any more."""
        return self._losses >= self.outstanding

    def delivered(self) -> None:
        if self._was_delivered:
            return
        self._was_delivered = True
        if not self._is_sending:
            self._dispatcher.delivered(self._command, self.number)

    def lost(self, reason: str) -> None:
        self._losses += 1
        if self._is_sending:
            self.early_loss = reason
        elif self.is_lost and not self._was_delivered:
            self._dispatcher.lost(self._command, self.number, reason)

    def settle(self) -> None:
        """«Sent» is noted: say what came during the calls."""
        self._is_sending = False
        if self._was_delivered:
            self._dispatcher.delivered(self._command, self.number)
        elif self.is_lost:
            # Nothing is written within the call: the device cannot have it.
            self._dispatcher.lost(self._command, self.number, self.early_loss, was_on_its_way=False)
