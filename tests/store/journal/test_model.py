"""Whatever the broker says and wherever the power goes: what was released is there, and no half."""

import asyncio
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fleetwire.broker.session import WAIT_PUBACK, WAIT_PUBCOMP, WAIT_PUBREC, Session
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription
from fleetwire.store.journal.journal import SqlJournal
from tests.store.journal.making import (
    NOW,
    Disk,
    Note,
    give,
    make_journal,
    make_outgoing,
    make_session,
    picture_of,
    picture_of_publish,
    picture_of_session,
)

CLIENTS = st.sampled_from("abc")
NAMES = st.sampled_from(["t", "t/ü", "u/1"])
IDS = st.sampled_from([1, 2, 65_535])
PROPERTIES: Any = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {c.USER_PROPERTY: st.lists(st.tuples(st.text("äb", max_size=2), st.just("1")), min_size=1)},
        optional={c.CORRELATION_DATA: st.binary(max_size=3)},
    ),
)
PUBLISHES = st.builds(
    Publish, NAMES, st.binary(min_size=1, max_size=3), st.just(2), properties=PROPERTIES
)


class Machine(RuleBasedStateMachine):
    """A broker's part is played here: it changes its state and tells the journal.

    `_pictures` are what it knew after each call since the last start, and `_released` is the latest
    of them that somebody was promised.
    """

    migrated: Path

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "test.db"
        shutil.copy(self.migrated, self._path)
        self._runner = asyncio.Runner()
        self._numbers = itertools.count(1)
        self._now = NOW
        self._retained: dict[str, tuple[Publish, int]] = {}
        self._wills: dict[str, tuple[Publish, int, int]] = {}
        self._sessions: dict[str, Session] = {}
        self._pictures: list[dict[str, Any]] = []
        self._released: list[tuple[str, int]] = []

    def teardown(self) -> None:
        self._runner.run(self._stop())
        self._runner.close()
        self._folder.cleanup()

    # --- the world around ---

    @initialize()
    def first_start(self) -> None:
        self._runner.run(self._start())

    async def _start(self) -> None:
        self._disk = Disk(f"sqlite:///{self._path}")
        self._disk.open()
        self._journal: SqlJournal = make_journal(self._disk)
        self._now += 1_000
        restored = await self._journal.load(self._now)
        found = picture_of(restored)
        before: list[dict[str, Any]] = []
        if self._pictures:
            promised = max((int(name) for name, _ in self._released), default=0)
            before = [each for each in self._pictures[promised:] if self._ended(each) == found]
            assert before
        self._sessions = {session.client_id: session for session in restored.sessions}
        self._retained = {publish.topic_name: (publish, at) for publish, at in restored.retained}
        self._wills = {
            sender.client_id: (will, delay, at) for sender, will, delay, at in restored.wills
        }
        self._released = []
        # What a start mends (when a connection ended) is not stored yet.
        self._pictures = [*before[:1], self._picture()]
        assert found == self._pictures[-1]
        self._flush: asyncio.Task[bool] | None = None

    async def _stop(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
        self._disk.release.set()
        await self._disk.close()

    def _picture(self) -> dict[str, Any]:
        return {
            "sessions": {
                name: picture_of_session(session, 0) for name, session in self._sessions.items()
            },
            "retained": {
                name: (picture_of_publish(publish), at)
                for name, (publish, at) in self._retained.items()
            },
            "wills": {
                name: (picture_of_publish(will), delay, at)
                for name, (will, delay, at) in self._wills.items()
            },
        }

    def _ended(self, picture: dict[str, Any]) -> dict[str, Any]:
        """What a start makes of it: who was connected then is not any more."""
        now = self._now
        return {
            **picture,
            "sessions": {
                name: {**each, "disconnected_at": each["disconnected_at"] or now}
                for name, each in picture["sessions"].items()
            },
            "wills": {
                name: (will, delay, at or now + delay * 1_000_000)
                for name, (will, delay, at) in picture["wills"].items()
            },
        }

    def _told(self) -> None:
        self._pictures.append(self._picture())

    @rule()
    def promise(self) -> None:
        self._journal.hold(Note(str(len(self._pictures) - 1), self._released))

    @rule()
    def store(self) -> None:
        self._disk.release.set()
        assert self._runner.run(self._journal.flush(10))
        promised = [int(name) for name, _ in self._released]
        assert promised == sorted(promised)

    @precondition(lambda self: self._flush is None)
    @rule()
    def begin_to_store(self) -> None:
        async def begin() -> None:
            await self._disk.stall()
            self._flush = asyncio.create_task(self._journal.flush(10))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if self._journal._taken is not None:
                await self._disk.until_reached()

        self._runner.run(begin())

    @rule(is_stored=st.booleans())
    def kill_and_start(self, is_stored: bool) -> None:
        """What is on its way to the disk may get there or not; nobody hears of it either way."""

        async def kill() -> None:
            self._disk.is_full = not is_stored
            await self._stop()
            await self._start()

        self._runner.run(kill())

    # --- the broker's part ---

    @rule(name=CLIENTS, expiry=st.sampled_from([1, 0xFFFFFFFF]))
    def open_session(self, name: str, expiry: int) -> None:
        session = self._sessions.get(name) or make_session(name)
        self._sessions[name] = session
        session.disconnected_at = 0
        session.expiry_interval = expiry
        self._journal.keep_session(session)
        self._told()

    @rule(name=CLIENTS)
    def disconnect(self, name: str) -> None:
        session = self._sessions.get(name)
        if session is not None:
            session.disconnected_at = self._now
            self._journal.keep_session(session)
            self._told()

    @rule(name=CLIENTS)
    def end_session(self, name: str) -> None:
        session = self._sessions.pop(name, None)
        if session is not None:
            self._journal.drop_session(session)
            self._told()

    @rule(name=CLIENTS, topic=NAMES, qos=st.integers(0, 2), identifier=st.sampled_from([0, 7]))
    def subscribe(self, name: str, topic: str, qos: int, identifier: int) -> None:
        session = self._sessions.get(name)
        if session is not None:
            subscription = Subscription(topic, qos, qos == 0, qos == 1, qos)
            session.subscriptions[topic] = (subscription, identifier)
            self._journal.keep_subscription(session, subscription, identifier)
            self._told()

    @rule(name=CLIENTS, topic=NAMES)
    def unsubscribe(self, name: str, topic: str) -> None:
        session = self._sessions.get(name)
        if session is not None and session.subscriptions.pop(topic, None) is not None:
            self._journal.drop_subscription(session, topic)
            self._told()

    @rule(publish=PUBLISHES, names=st.sets(CLIENTS), qos=st.integers(1, 2))
    def publish(self, publish: Publish, names: set[str], qos: int) -> None:
        for name in sorted(names & self._sessions.keys()):
            session = self._sessions[name]
            outgoing = make_outgoing(publish, qos, expires_at=self._now * (qos - 1))
            outgoing.subscription_ids = [3, 1] if name == "a" else None
            self._journal.keep_outgoing(session, give(session, outgoing))
            self._told()

    @rule(name=CLIENTS)
    def send(self, name: str) -> None:
        session = self._sessions.get(name)
        if session is not None and session.queue:
            outgoing = session.queue.popleft()
            session.queue_bytes -= outgoing.size
            outgoing.packet_id = session.packet_ids.allocate()
            outgoing.state = WAIT_PUBACK if outgoing.qos == 1 else WAIT_PUBREC
            self._journal.keep_outgoing(session, give(session, outgoing))
            self._told()

    @rule(name=CLIENTS, which=st.integers(0, 5))
    def acknowledge(self, name: str, which: int) -> None:
        session = self._sessions.get(name)
        if session is None or not session.inflight:
            return
        packet_id, outgoing = list(session.inflight.items())[which % len(session.inflight)]
        if outgoing.state == WAIT_PUBREC:
            outgoing.state = WAIT_PUBCOMP
            self._journal.keep_outgoing(session, outgoing)
        else:
            del session.inflight[packet_id]
            session.packet_ids.release(packet_id)
            self._journal.drop_outgoing(session, outgoing)
        self._told()

    @rule(name=CLIENTS, packet_id=IDS)
    def receive(self, name: str, packet_id: int) -> None:
        session = self._sessions.get(name)
        if session is None:
            return
        if packet_id in session.received:
            del session.received[packet_id]
            self._journal.drop_received(session, packet_id)
        else:
            session.received[packet_id] = None  # type: ignore[assignment]  # only its key counts
            self._journal.keep_received(session, packet_id)
        self._told()

    @rule(publish=PUBLISHES, is_removed=st.booleans(), expires_at=st.sampled_from([0, NOW]))
    def retain(self, publish: Publish, is_removed: bool, expires_at: int) -> None:
        if is_removed:
            publish.payload = b""
            self._retained.pop(publish.topic_name, None)
        else:
            self._retained[publish.topic_name] = (publish, expires_at)
        self._journal.keep_retained(publish, expires_at)
        self._told()

    @rule(name=CLIENTS, will=PUBLISHES, due_at=st.sampled_from([0, NOW]), is_kept=st.booleans())
    def change_will(self, name: str, will: Publish, due_at: int, is_kept: bool) -> None:
        session = self._sessions.get(name) or make_session(name)  # its session may be no journal's
        if is_kept:
            self._wills[name] = (will, 4, due_at)
            self._journal.keep_will(session, will, 4, due_at)
        else:
            self._wills.pop(name, None)
            self._journal.drop_will(session)
        self._told()


def _run(migrated: Path, examples: int) -> None:
    class OnThisDatabase(Machine):
        pass

    OnThisDatabase.migrated = migrated
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_what_was_promised_survives_every_kill(migrated: Path) -> None:
    _run(migrated, 60)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_was_promised_survives_every_kill_thousands_of_times(migrated: Path) -> None:
    _run(migrated, 1_000)
