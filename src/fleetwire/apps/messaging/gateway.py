"""Gateway: between signed-in people and the broker.

Theory of operation. The app looks on (`Taps`) at the topics that its rules are about, with one tap
for everybody. A message goes to each socket that has a filter for it and whose person may read its
topic at that moment, once, with the lower of both QoS. QoS 1 and 2 are never left out for a slow
client: it is ended and comes again.

Messages of topics under history are stored first, and told after their commit, with their id as
cursor: those of MQTT clients by a handler, so that their PUBACK waits for it, those of people
before they are answered, and what the house publishes as it passes. A socket that resumes is served
from the store until it has what passed meanwhile, and then goes on live: no gap, nothing twice.
"""

import asyncio
import uuid
from contextvars import ContextVar
from typing import Any

import msgspec
import structlog

from fleetwire.apps.messaging import book, history
from fleetwire.apps.messaging.book import Book, Listener, Subscription, key_of
from fleetwire.apps.messaging.catching import Catching
from fleetwire.apps.messaging.denials import Denials
from fleetwire.apps.messaging.errors import UnavailableError
from fleetwire.apps.messaging.history import Message
from fleetwire.apps.messaging.lasting import Lasting
from fleetwire.apps.messaging.persons import Person
from fleetwire.apps.messaging.rooms import Rooms
from fleetwire.apps.messaging.rules import open_filter
from fleetwire.apps.messaging.tables import TOPIC_CHARS
from fleetwire.apps.messaging.telling import is_due, message_of, push, said
from fleetwire.apps.messaging.terms import Terms
from fleetwire.kit import (
    Audit,
    Caller,
    Clock,
    ForbiddenError,
    Messages,
    NotFoundError,
    Seen,
    SocketClient,
    Store,
    StoreUnavailableError,
    Tap,
    Taps,
    TooManyError,
    Transaction,
)
from fleetwire.kit.instants import iso
from fleetwire.kit.topics import check_topic_filter, check_topic_name, matches

log = structlog.get_logger("fleetwire.messaging")

CLIENT_ID = "fleetwire-messaging"
MOST_PASSING = 1_000  # messages of the house that wait to be stored
MOST_RETAINED = 1_000  # for one subscription

_own: ContextVar[bool] = ContextVar("what passes was published here", default=False)


class Gateway:
    """All of the app's state. `open` comes first."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.book = Book()
        self.rooms: Rooms
        self.catching: Catching
        self._first_organization_id = 0
        self._connected_at = 0
        self._passing: set[asyncio.Task[None]] = set()
        self._messages: Messages
        self._store: Store
        self._taps: Taps
        self._tap: Tap
        self._clock: Clock
        self._lasting: Lasting
        self._denials: Denials

    async def open(
        self,
        store: Store,
        messages: Messages,
        taps: Taps,
        audit: Audit,
        clock: Clock,
        first_organization_id: int,
    ) -> None:
        """Load what is stored and begin to look on."""
        self._store, self._messages, self._taps, self._clock = store, messages, taps, clock
        self._denials = Denials(audit, clock)
        self.catching = Catching(store, self._may_hear)
        self.rooms = Rooms(store)
        await self.rooms.load()
        self._lasting = Lasting(store)
        for subscription in await self._lasting.load():
            self.book.last(subscription)
        self.book.newest = await store.read(history.newest)
        self._first_organization_id = first_organization_id
        filters = dict.fromkeys(open_filter(rule.template) for rule in self.terms.rules)
        self._tap = taps.open(list(filters), self._seen)
        self._connected_at = clock.now()

    # --- who, and how things stand ---

    def person(self, caller: Caller) -> Person:
        """Return what somebody may do. Raises ForbiddenError for devices."""
        known = Person(caller, (), (), self._first_organization_id)
        rooms = self.rooms.of(caller.organization_id, known.user_ids)
        return Person(caller, self.terms.rules, rooms, self._first_organization_id)

    def status(self) -> dict[str, Any]:
        """Return how the connection to the broker stands."""
        return {
            "isConnected": self._taps.is_running,
            "clientId": CLIENT_ID,
            "connectedAt": iso(self._connected_at),
            # The embedded broker is in this process: there is no connection to be lost.
            "reconnectAttempts": 0,
        }

    def stats(self, organization_id: int) -> dict[str, Any]:
        """Return the status with the organisation's subscriptions counted."""
        found = self.book.all_of(organization_id)
        return self.status() | {
            "lastError": None,
            "totalSubscriptions": len(found),
            "activeSubscriptions": sum(1 for each in found if self.book.is_active(each)),
        }

    # --- publishing ---

    async def publish(
        self, person: Person, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> int:
        """Publish for somebody; return when, in microseconds UTC.

        With a topic under history, or retained, it is stored then. Raises BadTopicError,
        ForbiddenError, UnavailableError, TooManyError, StoreUnavailableError.
        """
        check_topic_name(topic)
        if not person.may_write(topic) or not self._is_for(person, self._taps.owners_of(topic)):
            await self._denials.note(person.caller, "messaging.publish", topic)
            raise ForbiddenError(f"You may not publish to {topic!r}.", field="topic")
        if not self._taps.is_running:
            raise UnavailableError("The broker takes no messages just now. Try again.")
        now = self._clock.now()
        if self.is_kept(topic):
            await self._keep(Message(0, topic, payload, qos, retain, now))
        house = Caller.system(person.organization_id)
        if self.is_kept(topic):
            _own.set(True)  # of this task: what it publishes has been told with its cursor
        try:
            if retain:
                await self._messages.retain(house, topic, payload, qos=qos)
            else:
                await self._messages.publish(house, topic, payload, qos=qos)
        finally:
            _own.set(False)
        return now

    def is_kept(self, topic: str) -> bool:
        """Say whether a topic is under history; a device's is not: its own app stores it."""
        if len(topic) > TOPIC_CHARS or not any(matches(each, topic) for each in self.terms.history):
            return False
        return not self._taps.owners_of(topic)

    def keep_in(self, tx: Transaction, message: Message) -> None:
        """Store a message in this transaction and tell it after the commit, if it is kept."""
        if not self.is_kept(message.topic):
            return  # it is told as it passes
        stored = history.store(tx, message)
        tx.after_commit(lambda: self._tell(stored))

    async def _keep(self, message: Message) -> None:
        await self._store.write(lambda tx: self.keep_in(tx, message))

    # --- what passes ---

    def _seen(self, seen: Seen) -> None:
        if not self.is_kept(seen.topic):
            self._tell(message_of(seen), seen.owners)
        elif not seen.client_id and not _own.get():
            # A client's is stored by the handler; the house has nobody who waits for it.
            self._pass(message_of(seen))

    def _pass(self, message: Message) -> None:
        if len(self._passing) >= MOST_PASSING:
            log.error("a message of the house is not stored: too many wait", topic=message.topic)
            self._tell(message)
            return

        async def store() -> None:
            try:
                await self._keep(message)
            except StoreUnavailableError as error:
                topic = message.topic
                log.error("a message of the house is not stored", topic=topic, reason=str(error))
                self._tell(message)

        task = asyncio.create_task(store())
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    def _tell(self, message: Message, owners: frozenset[int] = frozenset()) -> None:
        """Hand a message to everybody who is subscribed and may read it."""
        if message.id:
            self.book.newest = max(self.book.newest, message.id)
        by_qos: dict[int, msgspec.Raw] = {}
        message_id = str(message.id or uuid.uuid4())
        for listener, attachments in self.book.attachments(message.topic).items():
            if not listener.person.may_read(message.topic):
                continue
            if not self._is_for(listener.person, owners):
                continue
            ready = [each for each in attachments if is_due(each, message.id)]
            if ready:
                qos = min(message.qos, max(each.qos for each in ready))
                if qos not in by_qos:
                    by_qos[qos] = said(message, message_id, qos, retain=False)
                push(listener, message.topic, by_qos[qos], qos)

    @staticmethod
    def _is_for(person: Person, owners: frozenset[int]) -> bool:
        return owners <= {person.organization_id}

    # --- subscribing ---

    async def check_filter(self, person: Person, topic_filter: str) -> None:
        """Raise BadTopicError, ForbiddenError unless somebody may subscribe to it."""
        check_topic_filter(topic_filter)
        if not person.may_subscribe(topic_filter):
            await self._denials.note(person.caller, "messaging.subscribe", topic_filter)
            raise ForbiddenError(f"You may not subscribe to {topic_filter!r}.", field="topic")

    async def subscribe(self, person: Person, topic_filter: str, qos: int) -> Subscription:
        """Subscribe all sockets of a user, those of now and of later; it is stored then.

        Raises as `check_filter`; TooManyError, StoreUnavailableError.
        """
        await self.check_filter(person, topic_filter)
        self.book.check_room(person, topic_filter)
        kept = await self._lasting.add(person, topic_filter, qos, self._clock.now())
        before = [
            each
            for each in self.book.listeners_of(key_of(person))
            if topic_filter not in each.filters
        ]
        self.book.last(kept)
        for listener in before:
            self.say_retained(listener, topic_filter)
        return kept

    async def unsubscribe(self, person: Person, topic_filter: str) -> None:
        """End a user's subscription on all his sockets. Raises NotFoundError."""
        key = key_of(person)
        if self.book.find(key, topic_filter) is None:
            raise NotFoundError(f"You are not subscribed to {topic_filter!r}.", field="topic")
        await self._lasting.remove(key, topic_filter)
        self.book.end(key, topic_filter)

    def view(self, subscription: Subscription) -> dict[str, Any]:
        """Return a subscription as people are shown it."""
        return book.view(self.book, subscription)

    def say_retained(self, listener: Listener, topic_filter: str) -> None:
        """Send a socket the retained messages of a filter that it has."""
        attachment = listener.filters.get(topic_filter)
        if attachment is None:
            return
        sent = 0
        for seen in self._tap.retained(topic_filter):
            if not listener.person.may_read(seen.topic):
                continue
            if not self._is_for(listener.person, seen.owners):
                continue
            if sent >= MOST_RETAINED:
                error = TooManyError(
                    f"{topic_filter!r} has more than {MOST_RETAINED} retained messages; "
                    "subscribe to less."
                )
                listener.client.emit(
                    "mqtt:subscribe:error", {"topic": topic_filter, "error": error.message}
                )
                return
            sent += 1
            qos = min(seen.qos, attachment.qos)
            message = message_of(seen)
            push(
                listener,
                seen.topic,
                said(message, str(uuid.uuid4()), qos, retain=True),
                qos,
            )

    # --- sockets ---

    def join(self, client: SocketClient, since: int | None) -> Listener:
        """Add a socket. Raises ForbiddenError."""
        listener = Listener(client, self.person(client.caller), since)
        for topic_filter in self.book.join(listener, self._clock.now()):
            self.catching.begin(listener, topic_filter)
        return listener

    def leave(self, listener: Listener) -> None:
        """Forget a socket that has gone."""
        if listener.catching is not None:
            listener.catching.cancel()
        self.book.leave(listener, self._clock.now())

    async def subscribe_socket(
        self, listener: Listener, topic_filter: str, qos: int
    ) -> Subscription:
        """Subscribe one socket. Raises as `subscribe`."""
        await self.check_filter(listener.person, topic_filter)
        is_new = topic_filter not in listener.filters
        subscription = self.book.subscribe(listener, topic_filter, qos, self._clock.now())
        if is_new and listener.since is not None:
            self.catching.begin(listener, topic_filter)
        return subscription

    async def unsubscribe_socket(self, listener: Listener, topic_filter: str) -> None:
        """Unsubscribe one socket, or its user if he subscribed over HTTP. Raises NotFoundError."""
        if self.book.unsubscribe(listener, topic_filter):
            return
        await self.unsubscribe(listener.person, topic_filter)

    def narrow(self, listener: Listener) -> list[str]:
        """Look again at what a socket's user may; return the filters it has lost."""
        listener.person = self.person(listener.client.caller)
        person = listener.person
        listener.client.take_back(lambda topic: not person.may_read(topic))
        lost = [each for each in listener.filters if not person.may_subscribe(each)]
        for topic_filter in lost:
            self.book.drop(listener, topic_filter)
            listener.client.emit(
                "mqtt:subscribe:error",
                {"topic": topic_filter, "error": "You may not read this any more."},
            )
        return lost

    def members_changed(self, organization_id: int, user_id: str) -> None:
        """Look again at the sockets of somebody whose rooms have changed."""
        for listener in list(self.book.listeners()):
            person = listener.person
            if person.organization_id == organization_id and user_id in person.user_ids:
                self.narrow(listener)

    async def history(
        self, person: Person, topic_filter: str, since: int, limit: int, received_after: int = 0
    ) -> history.Part:
        """Return stored messages that somebody may read. Raises as `check_filter`."""
        await self.check_filter(person, topic_filter)
        part = await self._store.read(
            history.after(topic_filter, since, limit, person.reader(), received_after)
        )
        heard = [each for each in part.messages if self._may_hear(person, each.topic)]
        return msgspec.structs.replace(part, messages=heard)

    def _may_hear(self, person: Person, topic: str) -> bool:
        """Say whether a stored message is his: a topic may have become a device's since then."""
        return person.may_read(topic) and self._is_for(person, self._taps.owners_of(topic))
