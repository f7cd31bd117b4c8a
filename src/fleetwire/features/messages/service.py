"""MessagesService: plain MQTT for people, within their own organisation.

A topic belongs to a device if it fits one of the apps' templates and the device is registered. A
person neither publishes to a topic of another organisation's device nor sees a message on one,
whatever filter he watches; a topic that belongs to no device is open to everyone with the
permission. Topics under `$` are the broker's own and are not for people here, nor are shared
subscriptions, which would take messages away from others.

What was seen is kept in memory, bounded, and gone after a restart.
"""

import secrets
from collections import deque
from collections.abc import Callable, Sequence

from fleetwire.errors import ForbiddenError, InvalidValueError, TooManyError
from fleetwire.features.devices.topic_owners import TopicOwners
from fleetwire.features.messages.keeping import Keeper
from fleetwire.kit.instants import now
from fleetwire.kit.services import Caller, Messages, RecentMessage
from fleetwire.net.clients import Downlink
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.topics import (
    check_topic_filter,
    check_topic_name,
    covers,
    matches,
)

MAX_PAYLOAD_BYTES = 1024 * 1024
MAX_WATCHES = 100  # per organisation
KEPT_MESSAGES = 200  # per watch
KEPT_BYTES = 1024 * 1024  # per watch; the newest message is kept in any case
IDLE_US = 3600 * 1_000_000  # a watch nobody has read for so long gives way to a new one
MAX_LEVELS = 32


class BadTopicError(InvalidValueError):
    """A topic cannot be published to or watched; the text says why."""

    status = 400


class MessagesService(Messages):
    """Needs the permissions `message.publish` and `message.read`."""

    def __init__(
        self,
        downlink: Downlink,
        owners: TopicOwners,
        keeper: Keeper,
        *,
        clock: Callable[[], int] = now,
    ) -> None:
        self._downlink = downlink
        self._owners = owners
        self._keeper = keeper
        self._clock = clock
        self._watches: dict[int, list[Watch]] = {}  # by organisation

    async def publish(
        self, caller: Caller, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> str:
        """Publish and return an id for the message. Raises InvalidValueError, ForbiddenError."""
        self._check_publish(caller, topic, payload, qos)
        self._downlink.publish(topic, payload, qos=qos, retain=retain)
        return secrets.token_hex(16)

    async def retain(self, caller: Caller, topic: str, payload: bytes, *, qos: int = 1) -> None:
        self._check_publish(caller, topic, payload, qos)
        await self._keeper.keep(topic, payload, qos)

    def _check_publish(self, caller: Caller, topic: str, payload: bytes, qos: int) -> None:
        caller.require("message.publish")
        try:
            check_topic_name(topic, MAX_LEVELS)
        except ProtocolError as error:
            raise BadTopicError(str(error), field="topic") from None
        _check(topic, qos)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise InvalidValueError(
                f"The payload has {len(payload)} bytes; {MAX_PAYLOAD_BYTES} are allowed",
                field="payload",
            )
        if not self._is_open(caller.organization_id, topic):
            raise ForbiddenError(
                "This topic belongs to a device of another organisation.", field="topic"
            )

    async def watch(self, caller: Caller, topic_filter: str, *, qos: int = 0) -> str:
        """Start keeping the latest messages that match; the same filter again is the same watch.

        Raises InvalidValueError for a bad filter, TooManyError at the organisation's bound.
        """
        caller.require("message.read")
        try:
            check_topic_filter(topic_filter, MAX_LEVELS)
        except ProtocolError as error:
            raise BadTopicError(str(error), field="topic") from None
        _check(topic_filter, qos)
        watches = self._watches.setdefault(caller.organization_id, [])
        for watch in watches:
            if watch.owner == caller.actor and watch.topic_filter == topic_filter:
                watch.read_at = self._clock()
                return watch.id
        self._end_idle(watches)
        if len(watches) >= MAX_WATCHES:
            raise TooManyError(
                f"Your organisation watches {MAX_WATCHES} topics already; one that is not read "
                "for an hour gives way."
            )
        watch = Watch(caller.actor, topic_filter, self._clock())
        organization_id = caller.organization_id

        def seen(topic: str, payload: bytes, qos: int) -> None:
            if self._is_open(organization_id, topic):
                watch.keep(RecentMessage(topic, payload, qos, self._clock()))

        watch.stop = self._downlink.watch(topic_filter, qos, seen)
        watches.append(watch)
        return watch.id

    def recent(self, caller: Caller, topic: str, limit: int) -> Sequence[RecentMessage]:
        """Return the latest messages on a topic or filter that the caller watches, newest first.

        They come from the one watch that covers the topic, or else from all that overlap with it.
        """
        caller.require("message.read")
        own = [
            watch
            for watch in self._watches.get(caller.organization_id, ())
            if watch.owner == caller.actor
        ]
        covering = [watch for watch in own if covers(watch.topic_filter, topic)]
        covering.sort(key=lambda watch: watch.topic_filter != topic)
        asked = covering[:1] or own
        found: list[RecentMessage] = []
        for watch in asked:
            watch.read_at = self._clock()
            found.extend(each for each in watch.messages if matches(topic, each.topic))
        found.sort(key=lambda message: message.received_at)
        return found[::-1][:limit]

    def _end_idle(self, watches: "list[Watch]") -> None:
        oldest = self._clock() - IDLE_US
        for watch in [each for each in watches if each.read_at < oldest]:
            watch.stop()
            watches.remove(watch)

    def _is_open(self, organization_id: int, topic: str) -> bool:
        """Say whether the topic belongs to no device, or to one of this organisation."""
        return self._owners.of(topic) <= {organization_id}


class Watch:
    """One person's eye on one Topic Filter."""

    __slots__ = ("_bytes", "id", "messages", "owner", "read_at", "stop", "topic_filter")

    def __init__(self, owner: str, topic_filter: str, read_at: int) -> None:
        self.id = secrets.token_hex(16)
        self.owner = owner
        self.topic_filter = topic_filter
        self.read_at = read_at  # microseconds UTC
        self.messages: deque[RecentMessage] = deque()
        self.stop: Callable[[], None] = _nothing
        self._bytes = 0

    def keep(self, message: RecentMessage) -> None:
        """Add a message; the oldest give way."""
        self.messages.append(message)
        self._bytes += len(message.payload)
        while len(self.messages) > KEPT_MESSAGES or (
            self._bytes > KEPT_BYTES and len(self.messages) > 1
        ):
            self._bytes -= len(self.messages.popleft().payload)


def _nothing() -> None:
    """A watch that does not watch yet has nothing to stop."""


def _check(topic: str, qos: int) -> None:
    if topic.startswith("$"):
        raise BadTopicError("Topics that begin with $ belong to the broker.", field="topic")
    if qos not in (0, 1, 2):
        raise InvalidValueError("qos must be 0, 1 or 2", field="qos")
