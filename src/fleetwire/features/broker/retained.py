"""RetainedService: the broker's retained messages."""

from collections.abc import Callable

from fleetwire.broker.broker import Broker
from fleetwire.errors import InvalidValueError, NotFoundError
from fleetwire.features.broker.names import page_of
from fleetwire.features.broker.ownership import may_see_topic
from fleetwire.features.broker.records import RetainedRecord
from fleetwire.features.broker.stored import until_stored
from fleetwire.features.devices.topic_owners import TopicOwners
from fleetwire.features.paging import check_limit
from fleetwire.kit import instants
from fleetwire.kit.services import Audit, Caller, Page
from fleetwire.protocol.errors import ProtocolError
from fleetwire.protocol.topics import check_topic_filter

READ = "broker.read"
WRITE = "broker.write"
PREVIEW_BYTES = 512  # of each payload in a list; the whole is one more question away


class RetainedService:
    """Lists, shows and removes retained messages."""

    def __init__(
        self,
        broker: Broker,
        owners: TopicOwners,
        audit: Audit,
        *,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._broker = broker
        self._owners = owners
        self._audit = audit
        self._clock = clock

    def list(
        self,
        caller: Caller,
        *,
        topic_filter: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RetainedRecord]:
        """Return retained messages by topic, payloads cut to PREVIEW_BYTES.

        Without a filter, all but those of the broker itself (`$SYS/#`).
        """
        caller.require(READ)
        check_limit(limit)
        kept = self._broker.retained
        now = self._clock()
        if topic_filter is None or topic_filter == "#":
            everything = (each.publish.topic_name for each in kept)
            names = (name for name in everything if not name.startswith("$"))
        else:
            check_filter(topic_filter, self._broker.limits.topic_levels)
            names = (each.publish.topic_name for each in kept.find(topic_filter, now))
        page = page_of(names, lambda name: self._may_see(caller, name), limit, cursor)
        found = [self._record(name, PREVIEW_BYTES) for name in page.items]
        return Page([each for each in found if each is not None], page.next_cursor)

    def get(self, caller: Caller, topic: str) -> RetainedRecord:
        """Return one retained message, whole. Raises NotFoundError."""
        caller.require(READ)
        found = self._record(topic) if self._may_see(caller, topic) else None
        if found is None:
            raise _no_retained(topic)
        return found

    async def delete(self, caller: Caller, topic: str) -> None:
        """Remove a retained message for good. Raises NotFoundError."""
        caller.require(WRITE)
        if topic.startswith("$"):
            raise InvalidValueError("Topics that begin with $ are the broker's own.", field="topic")
        if not self._may_see(caller, topic) or not self._broker.retained.remove(topic):
            raise _no_retained(topic)
        await until_stored(self._broker.journal)
        await self._audit.record(caller, "broker.retained_deleted", f"topic:{topic}")

    def _may_see(self, caller: Caller, topic: str) -> bool:
        return may_see_topic(caller, self._owners.of(topic))

    def _record(self, topic: str, most_bytes: int | None = None) -> RetainedRecord | None:
        kept = self._broker.retained.get(topic)
        if kept is None or (kept.expires_at and kept.expires_at <= self._clock()):
            return None
        publish = kept.publish
        return RetainedRecord(
            topic,
            publish.payload[:most_bytes],
            len(publish.payload),
            publish.qos,
            kept.expires_at or None,
        )


def check_filter(topic_filter: str, levels: int, field: str = "filter") -> None:
    """Raise InvalidValueError unless it is a Topic Filter."""
    try:
        check_topic_filter(topic_filter, levels)
    except ProtocolError as error:
        raise InvalidValueError(str(error), field=field) from None


def _no_retained(topic: str) -> NotFoundError:
    return NotFoundError(f"There is no retained message at {topic[:200]!r}.")
