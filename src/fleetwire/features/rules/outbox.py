"""Outbox: webhooks and messages that runs want sent, stored with the run and sent after it.

A webhook is tried again, after pauses that grow, until it is taken, refused for good, or ATTEMPTS
are over; each try carries the same `Idempotency-Key`, so that who takes it twice can tell. A
message is published at most once: its row is removed before. What became of either stands in the
run's log.

An organisation has at most MOST_WAITING here; a run that wants more fails, and says so.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog
from sqlalchemy import Connection, delete, func, insert, select, update

from fleetwire.errors import DomainError, StoreUnavailableError
from fleetwire.features.rules import repository
from fleetwire.features.rules.actions import PUBLISH, WEBHOOK
from fleetwire.features.rules.tables import rule_outbox
from fleetwire.features.rules.webhook import WebhookError, Webhooks
from fleetwire.kit.transaction import Transaction
from fleetwire.store.database import Database

log = structlog.get_logger("fleetwire.rules")

MOST_WAITING: Final = 10_000
ATTEMPTS: Final = 8
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 300.0
AT_ONCE: Final = 8  # webhooks under way
AT_ONCE_TO_ONE: Final = 2  # of them to one host, so that a slow one does not hold up the others
PUBLISHED_AT_ONCE: Final = 100
LOOK_S: Final = 1.0
MAX_ERROR_CHARS: Final = 500

Publish = Callable[[int, str, bytes, int, bool], Awaitable[None]]
"""Publishes for an organisation: topic, payload, qos, retain. Raises DomainError."""


class Parcel(msgspec.Struct):
    """One thing to be sent."""

    key: int
    organization_id: int
    chain: int
    trigger: str
    node: str
    kind: str
    said: dict[str, Any]
    attempts: int


class Outbox:
    """Sends what was stored here, until cancelled."""

    def __init__(
        self,
        db: Database,
        webhooks: Webhooks,
        publish: Publish,
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._webhooks = webhooks
        self._publish = publish
        self._clock = clock
        self._waiting: Counter[int] = Counter()  # by organisation
        self._wake = asyncio.Event()
        self._under_way: dict[int, str] = {}  # parcel, host
        self.idle = asyncio.Event()
        self.idle.set()

    def __len__(self) -> int:
        return self._waiting.total()

    async def load(self) -> None:
        """Learn how much waits: at the start, and when chains took theirs with them.

        Raises StoreUnavailableError.
        """
        query = select(rule_outbox.c.organization_id, func.count()).group_by(
            rule_outbox.c.organization_id
        )
        counts = await self._db.read(lambda c: {row[0]: int(row[1]) for row in c.execute(query)})
        self._waiting = Counter(counts)
        self.look()

    def has_room(self, organization_id: int, more: int) -> bool:
        """Say whether so many more can wait."""
        return self._waiting[organization_id] + more <= MOST_WAITING

    def put(self, tx: Transaction, rows: Sequence[dict[str, Any]]) -> None:
        """Store parcels with the run that wants them sent."""
        now = self._clock()
        tx.execute(
            insert(rule_outbox),
            [row | {"attempts": 0, "due_at": now, "created_at": now} for row in rows],
        )
        counts = Counter(int(row["organization_id"]) for row in rows)
        tx.after_commit(lambda: self._stored(counts))

    def _stored(self, counts: Counter[int]) -> None:
        self._waiting.update(counts)
        self.look()

    def look(self) -> None:
        """Look now at what is due."""
        self.idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        is_away = False
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    async with asyncio.timeout(LOOK_S if self._waiting.total() else None):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
                try:
                    await self._look(tasks)
                    is_away = False
                except Exception as error:  # no reason to take no more messages
                    if not is_away:
                        log.error("what rules send is held up", reason=repr(error))
                    is_away = True
                    await asyncio.sleep(LOOK_S)
                    self._wake.set()

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        now = self._clock()
        while parcels := await self._db.read(lambda c: _due(c, PUBLISH, now, PUBLISHED_AT_ONCE)):
            await self._publish_all(parcels)
        room = AT_ONCE - len(self._under_way)
        if room > 0:
            # More than there is room for: some may be for a host that is busy.
            for parcel in await self._db.read(lambda c: _due(c, WEBHOOK, now, AT_ONCE * 10)):
                host = urlsplit(parcel.said["url"]).netloc
                busy = list(self._under_way.values())
                if parcel.key in self._under_way or busy.count(host) >= AT_ONCE_TO_ONE:
                    continue
                if len(busy) >= AT_ONCE:
                    break
                self._under_way[parcel.key] = host
                tasks.create_task(self._send(parcel))
        if not self._under_way and not self._wake.is_set():
            self.idle.set()

    async def _publish_all(self, parcels: Sequence[Parcel]) -> None:
        def work(tx: Transaction) -> None:
            _remove(tx, [parcel.key for parcel in parcels])
            for parcel in parcels:
                repository.note_sent(tx, parcel.chain, parcel.trigger, parcel.node, "done", None)

        await self._db.write(work)
        for parcel in parcels:
            self._waiting[parcel.organization_id] -= 1
            payload = _payload(parcel.said["payload"])
            try:
                await self._publish(
                    parcel.organization_id,
                    parcel.said["topic"],
                    payload,
                    int(parcel.said.get("qos", 0)),
                    bool(parcel.said.get("retain", False)),
                )
            except DomainError as error:
                reason = error.message
                await self._db.write(
                    lambda tx, parcel=parcel, reason=reason: _note(tx, parcel, "failed", reason)  # type: ignore[misc]  # mypy cannot infer a lambda's default
                )

    async def _send(self, parcel: Parcel) -> None:
        key = hashlib.sha256(f"{parcel.chain}/{parcel.trigger}/{parcel.node}".encode()).hexdigest()[
            :32
        ]
        outcome, reason = "delivered", None
        try:
            try:
                await self._webhooks.post(parcel.said, key)
            except Exception as error:
                is_final = not isinstance(error, WebhookError) or error.is_final
                reason = str(error)[:MAX_ERROR_CHARS]
                parcel.attempts += 1
                if not is_final and parcel.attempts < ATTEMPTS:
                    await self._later(parcel, reason)
                    return
                outcome = "failed"
                log.warning(
                    "a webhook is given up",
                    host=urlsplit(parcel.said["url"]).hostname,
                    attempts=parcel.attempts,
                    reason=reason,
                )

            def work(tx: Transaction) -> None:
                _remove(tx, [parcel.key])
                _note(tx, parcel, outcome, reason)

            await self._db.write(work)
            self._waiting[parcel.organization_id] -= 1
        except StoreUnavailableError:
            await asyncio.sleep(LOOK_S)  # it is still there, and is sent again with the same key
        finally:
            del self._under_way[parcel.key]
            self._wake.set()

    async def _later(self, parcel: Parcel, reason: str) -> None:
        pause_s = min(FIRST_PAUSE_S * 2 ** (parcel.attempts - 1), LONGEST_PAUSE_S)
        due_at = self._clock() + round(pause_s * 1e6)

        def work(tx: Transaction) -> None:
            tx.execute(
                update(rule_outbox)
                .where(rule_outbox.c.key == parcel.key)
                .values(attempts=parcel.attempts, due_at=due_at)
            )
            _note(tx, parcel, "retrying", reason)

        await self._db.write(work)


def _due(connection: Connection, kind: str, now: int, limit: int) -> list[Parcel]:
    query = (
        select(rule_outbox)
        .where(rule_outbox.c.kind == kind, rule_outbox.c.due_at <= now)
        .order_by(rule_outbox.c.due_at, rule_outbox.c.key)
        .limit(limit)
    )
    return [
        Parcel(
            row.key, row.organization_id, row.chain, row.trigger, row.node, row.kind, row.said,
            row.attempts,
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def _remove(tx: Transaction, keys: Sequence[int]) -> None:
    tx.execute(delete(rule_outbox).where(rule_outbox.c.key.in_(keys)))


def _note(tx: Transaction, parcel: Parcel, outcome: str, error: str | None) -> None:
    repository.note_sent(tx, parcel.chain, parcel.trigger, parcel.node, outcome, error)


def _payload(said: Any) -> bytes:
    return said.encode() if isinstance(said, str) else msgspec.json.encode(said)
