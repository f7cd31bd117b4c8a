"""A disk that can stall or be full, and plain pictures of what the broker knows."""

import asyncio
import threading
from typing import Any

from sqlalchemy.exc import OperationalError

from fleetwire.broker.delivery import Ticket
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Outgoing, Session
from fleetwire.protocol.packets import Publish
from fleetwire.store.database import Database
from fleetwire.store.journal.journal import SqlJournal
from fleetwire.store.journal.restore import Restored

NOW = 1_700_000_000_000_000


class Disk(Database):
    """A database whose next commits wait for `release`, or fail while `is_full`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_full = False
        self.reached = threading.Event()
        self.release = threading.Event()
        self.release.set()

    def _before_commit(self) -> None:
        self.reached.set()
        assert self.release.wait(10)
        if self.is_full:
            raise OperationalError("COMMIT", None, Exception("database or disk is full"))

    async def stall(self) -> None:
        """Let the next commit wait."""
        self.reached.clear()
        self.release.clear()

    async def until_reached(self) -> None:
        """Return when a commit waits."""
        assert await asyncio.to_thread(self.reached.wait, 10)


class Valve:
    """Counts hold and resume."""

    def __init__(self) -> None:
        self.held = 0
        self.resumed = 0

    def hold(self) -> None:
        self.held += 1

    def resume(self) -> None:
        self.resumed += 1


FAILED = -1  # instead of a reason code: the ticket will never be released


class Note(Ticket):
    """A ticket that writes down when it was released, and with what."""

    def __init__(self, name: str, notes: list[tuple[str, int]]) -> None:
        self.name = name
        self.notes = notes

    def release(self, reason_code: int) -> None:
        self.notes.append((self.name, reason_code))

    def fail(self) -> None:
        self.notes.append((self.name, FAILED))


def make_journal(disk: Database, valve: Valve | None = None, high: int = 50_000) -> SqlJournal:
    valve = valve or Valve()
    return SqlJournal(disk, valve.hold, valve.resume, high)


def make_session(client_id: str, *, disconnected_at: int = NOW - 5) -> Session:
    grant = Grant(
        f"device:medical/{client_id}",
        ["up/#"],
        ["down/#"],
        organization_id=3,
        app="medical",
        device=17,
        credential=9,
        expires_at=NOW,
    )
    session = Session(client_id, grant)
    session.expiry_interval = 3600
    session.disconnected_at = disconnected_at
    return session


def make_outgoing(publish: Publish, qos: int = 1, *, expires_at: int = 0) -> Outgoing:
    return Outgoing(publish, qos, False, None, expires_at, None)


def give(session: Session, outgoing: Outgoing) -> Outgoing:
    """Put a message into a session's queue, or where its packet id says, as the broker does."""
    if outgoing.packet_id:
        session.inflight[outgoing.packet_id] = outgoing
    else:
        session.queue.append(outgoing)
        session.queue_bytes += outgoing.size
    return outgoing


def picture_of_publish(publish: Publish) -> tuple[Any, ...]:
    """Everything that makes the message what it is."""
    return (
        *(publish.topic_name, publish.payload, publish.qos, publish.retain),
        *(publish.dup, publish.packet_id, publish.properties or None),
    )


def picture_of_outgoing(outgoing: Outgoing) -> tuple[Any, ...]:
    return (
        picture_of_publish(outgoing.publish),
        *(outgoing.qos, outgoing.retain, tuple(outgoing.subscription_ids or ())),
        *(outgoing.expires_at, outgoing.packet_id, outgoing.state),
    )


def picture_of_session(session: Session, now: int = NOW) -> dict[str, Any]:
    """What survives of a session; one that is connected now has ended at `now`."""
    grant = session.grant
    return {
        "client_id": session.client_id,
        "grant": (
            *(grant.identity, grant.organization_id, grant.app, grant.device),
            *(grant.credential, grant.anonymous),
        ),
        "expiry_interval": session.expiry_interval,
        "disconnected_at": session.disconnected_at or now,
        "subscriptions": {
            name: (subscription.fields(), identifier)
            for name, (subscription, identifier) in session.subscriptions.items()
        },
        "inflight": [picture_of_outgoing(each) for each in session.inflight.values()],
        "queue": [picture_of_outgoing(each) for each in session.queue],
        "queue_bytes": session.queue_bytes,
        "received": sorted(session.received),
    }


def picture_of(restored: Restored) -> dict[str, Any]:
    """All that was restored, without order where there is none."""
    return {
        "sessions": {
            session.client_id: picture_of_session(session) for session in restored.sessions
        },
        "retained": {
            publish.topic_name: (picture_of_publish(publish), expires_at)
            for publish, expires_at in restored.retained
        },
        "wills": {
            sender.client_id: (picture_of_publish(will), delay_s, due_at)
            for sender, will, delay_s, due_at in restored.wills
        },
    }
