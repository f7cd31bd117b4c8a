"""Book: who is subscribed to what, counted by reference.

A subscription is a user's. It is held by each of his sockets that subscribed, and by himself if he
subscribed over HTTP: then all his sockets hear it. It ends when nobody holds it any more. What one
user does never touches another's, and a message reaches a socket once, however many of its filters
match.

What a socket held when it went away is remembered for a while, for one that comes back and resumes.
"""

import asyncio
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from fleetwire.apps.messaging.persons import Person
from fleetwire.apps.messaging.tree import FilterTree
from fleetwire.kit import SocketClient, TooManyError
from fleetwire.kit.instants import iso

MOST_OF_A_USER = 100  # subscriptions
LINGERS_US = 10 * 60 * 1_000_000
MOST_LINGERING = 10_000  # users whose sockets have gone; the one who went longest ago is forgotten

Key = tuple[int, str]  # organisation, who


class Subscription(msgspec.Struct):
    """One user's subscription; `created_at` is in microseconds UTC."""

    id: str
    key: Key
    user_id: str
    topic: str
    qos: int
    created_at: int
    lasting: int | None = None  # the QoS that was asked over HTTP; None = it is not from there
    holders: int = 0  # sockets that subscribed themselves


class Attachment:
    """A filter of a socket. Stored messages up to `position` it has had, or does not want.

    While it `is_catching` it is served from the store; `heard` is the newest that passed meanwhile.
    """

    __slots__ = ("heard", "is_catching", "is_own", "position", "qos", "since")

    def __init__(self, qos: int, since: int, *, is_own: bool) -> None:
        self.qos = qos
        self.since = since
        self.position = since
        self.is_own = is_own
        self.is_catching = False
        self.heard = 0


class Listener:
    """One socket of a user. `since` is the stored message after which it resumes, None = new."""

    def __init__(self, client: SocketClient, person: Person, since: int | None) -> None:
        self.client = client
        self.person = person
        self.since = since
        self.filters: dict[str, Attachment] = {}
        self.catching: asyncio.Task[None] | None = None

    @property
    def key(self) -> Key:
        """Whose it is."""
        return key_of(self.person)


def key_of(person: Person) -> Key:
    """Return whom subscriptions belong to."""
    return person.organization_id, person.caller.actor


class Book:
    """All subscriptions. `newest` is the last stored message that was told."""

    def __init__(self) -> None:
        self.newest = 0
        self._of_user: dict[Key, dict[str, Subscription]] = {}
        self._listeners: dict[Key, dict[Listener, None]] = {}
        self._tree = FilterTree()
        self._by_filter: dict[str, dict[Listener, Attachment]] = {}
        self._lingering: dict[Key, tuple[int, dict[str, int]]] = {}

    # --- sockets ---

    def join(self, listener: Listener, now: int) -> list[str]:
        """Add a socket; return what it is to be served from the store, if it resumes."""
        key = listener.key
        self._listeners.setdefault(key, {})[listener] = None
        for subscription in self._of_user.get(key, {}).values():
            qos = subscription.lasting
            if qos is not None and listener.person.may_subscribe(subscription.topic):
                self._attach(listener, subscription.topic, qos, is_own=False)
        if listener.since is None:
            return []
        until, filters = self._lingering.pop(key, (0, {}))
        if until > now:
            for topic_filter, qos in filters.items():
                if listener.person.may_subscribe(topic_filter):
                    self.subscribe(listener, topic_filter, qos, now)
        return list(listener.filters)

    def leave(self, listener: Listener, now: int) -> None:
        """Forget a socket; what it held is remembered for a while."""
        held = {name: each.qos for name, each in listener.filters.items() if each.is_own}
        for topic_filter in list(listener.filters):
            self._detach(listener, topic_filter)
        of_user = self._listeners.get(listener.key, {})
        of_user.pop(listener, None)
        if not of_user:
            self._listeners.pop(listener.key, None)
        if held:
            self._lingering.pop(listener.key, None)
            self._lingering[listener.key] = (now + LINGERS_US, held)
            if len(self._lingering) > MOST_LINGERING:
                del self._lingering[next(iter(self._lingering))]

    def listeners(self) -> Iterator[Listener]:
        """Yield every socket."""
        for of_user in self._listeners.values():
            yield from of_user

    def listeners_of(self, key: Key) -> list[Listener]:
        """Return the sockets of a user."""
        return list(self._listeners.get(key, ()))

    # --- subscribing ---

    def subscribe(self, listener: Listener, topic_filter: str, qos: int, now: int) -> Subscription:
        """Let a socket hear a filter, another time with another QoS. Raises TooManyError."""
        subscription = self._subscription(listener.person, topic_filter, qos, now)
        attachment = listener.filters.get(topic_filter)
        if attachment is None or not attachment.is_own:
            subscription.holders += 1
        self._attach(listener, topic_filter, qos, is_own=True)
        return subscription

    def unsubscribe(self, listener: Listener, topic_filter: str) -> bool:
        """Let a socket hear a filter no more; False if it does not."""
        attachment = listener.filters.get(topic_filter)
        if attachment is None or not attachment.is_own:
            return False
        subscription = self._of_user[listener.key][topic_filter]
        self._detach(listener, topic_filter)
        if subscription.lasting is not None:
            self._attach(listener, topic_filter, subscription.lasting, is_own=False)
        return True

    def find(self, key: Key, topic_filter: str) -> Subscription | None:
        """Return a user's subscription."""
        return self._of_user.get(key, {}).get(topic_filter)

    def last(self, subscription: Subscription) -> None:
        """Keep a subscription that was made over HTTP; all sockets of its user hear it."""
        known = self._of_user.setdefault(subscription.key, {}).get(subscription.topic)
        if known is None:
            self._of_user[subscription.key][subscription.topic] = subscription
        else:
            known.id, known.qos, known.lasting = subscription.id, subscription.qos, subscription.qos
        for listener in self.listeners_of(subscription.key):
            attachment = listener.filters.get(subscription.topic)
            if attachment is None or not attachment.is_own:
                self._attach(listener, subscription.topic, subscription.qos, is_own=False)

    def end(self, key: Key, topic_filter: str) -> bool:
        """End a user's subscription on all his sockets; False if there is none."""
        subscription = self.find(key, topic_filter)
        if subscription is None:
            return False
        subscription.lasting = None
        for listener in self.listeners_of(key):
            if topic_filter in listener.filters:
                self._detach(listener, topic_filter)
        self._forget(subscription)
        _, filters = self._lingering.get(key, (0, {}))
        filters.pop(topic_filter, None)
        return True

    def drop(self, listener: Listener, topic_filter: str) -> None:
        """Take from a socket what it may not hear any more, whoever holds it."""
        self._detach(listener, topic_filter)

    def check_room(self, person: Person, topic_filter: str) -> None:
        """Raise TooManyError if a user has as many subscriptions as he may, and not this one."""
        of_user = self._of_user.get(key_of(person), {})
        if topic_filter not in of_user and len(of_user) >= MOST_OF_A_USER:
            raise TooManyError(f"You have {MOST_OF_A_USER} subscriptions, which is the most.")

    # --- asking ---

    def subscriptions(self, key: Key) -> list[Subscription]:
        """Return a user's subscriptions."""
        return list(self._of_user.get(key, {}).values())

    def all_of(self, organization_id: int) -> list[Subscription]:
        """Return all subscriptions of an organisation."""
        return [
            subscription
            for key, of_user in self._of_user.items()
            if key[0] == organization_id
            for subscription in of_user.values()
        ]

    def is_active(self, subscription: Subscription) -> bool:
        """Say whether a socket hears it now."""
        return any(
            subscription.topic in listener.filters
            for listener in self._listeners.get(subscription.key, ())
        )

    def attachments(self, topic: str) -> Mapping[Listener, list[Attachment]]:
        """Return every socket that has a filter for this topic, with those of its filters."""
        found: dict[Listener, list[Attachment]] = {}
        for topic_filter in self._tree.find(topic):
            for listener, attachment in self._by_filter[topic_filter].items():
                found.setdefault(listener, []).append(attachment)
        return found

    # --- parts ---

    def _subscription(self, person: Person, topic_filter: str, qos: int, now: int) -> Subscription:
        self.check_room(person, topic_filter)
        of_user = self._of_user.setdefault(key_of(person), {})
        known = of_user.get(topic_filter)
        if known is None:
            known = of_user[topic_filter] = new_subscription(person, topic_filter, qos, now)
        known.qos = qos
        return known

    def _attach(self, listener: Listener, topic_filter: str, qos: int, *, is_own: bool) -> None:
        attachment = listener.filters.get(topic_filter)
        if attachment is not None:
            attachment.qos = qos
            attachment.is_own = attachment.is_own or is_own
            return
        attachment = Attachment(qos, self.newest, is_own=is_own)
        listener.filters[topic_filter] = attachment
        of_filter = self._by_filter.setdefault(topic_filter, {})
        if not of_filter:
            self._tree.add(topic_filter)
        of_filter[listener] = attachment

    def _detach(self, listener: Listener, topic_filter: str) -> None:
        attachment = listener.filters.pop(topic_filter)
        of_filter = self._by_filter[topic_filter]
        del of_filter[listener]
        if not of_filter:
            del self._by_filter[topic_filter]
            self._tree.remove(topic_filter)
        subscription = self.find(listener.key, topic_filter)
        if subscription is not None and attachment.is_own:
            subscription.holders -= 1
            self._forget(subscription)

    def _forget(self, subscription: Subscription) -> None:
        if subscription.lasting is not None or subscription.holders:
            return
        of_user = self._of_user.get(subscription.key, {})
        if of_user.pop(subscription.topic, None) is None:
            return
        if not of_user:
            del self._of_user[subscription.key]


def new_subscription(person: Person, topic_filter: str, qos: int, now: int) -> Subscription:
    """Return a subscription that nobody holds yet."""
    return Subscription(str(uuid.uuid4()), key_of(person), person.user_id, topic_filter, qos, now)


def view(book: Book, subscription: Subscription) -> dict[str, Any]:
    """Return a subscription as people are shown it."""
    return {
        "id": subscription.id,
        "topic": subscription.topic,
        "qos": subscription.qos,
        "userId": subscription.user_id,
        "createdAt": iso(subscription.created_at),
        "isActive": book.is_active(subscription),
    }
