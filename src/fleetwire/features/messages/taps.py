"""BrokerTaps: apps look on at what passes the embedded broker."""

from collections.abc import Callable, Sequence

from fleetwire.broker.broker import Broker
from fleetwire.broker.delivery import Delivery
from fleetwire.broker.takers import Taker
from fleetwire.features.devices.topic_owners import TopicOwners
from fleetwire.kit import instants
from fleetwire.kit.taps import Seen, Tap, Taps
from fleetwire.kit.topics import check_topic_filter


class BrokerTaps(Taps):
    """`is_draining` says that the server takes nothing any more."""

    def __init__(
        self,
        broker: Broker,
        owners: TopicOwners,
        is_draining: Callable[[], bool],
        *,
        clock: Callable[[], int] = instants.now,
    ) -> None:
        self._broker = broker
        self._owners = owners
        self._is_draining = is_draining
        self._clock = clock

    def open(self, topic_filters: Sequence[str], seen: Callable[[Seen], None]) -> Tap:
        for topic_filter in topic_filters:
            check_topic_filter(topic_filter)
        return _BrokerTap(self._broker, self.owners_of, tuple(topic_filters), seen, self._clock)

    def owners_of(self, topic: str) -> frozenset[int]:
        return frozenset(self._owners.of(topic))

    @property
    def is_running(self) -> bool:
        return not self._is_draining()


class _BrokerTap(Tap, Taker):
    """One taker under all its filters: the broker hands it each message once."""

    def __init__(
        self,
        broker: Broker,
        owners_of: Callable[[str], frozenset[int]],
        topic_filters: tuple[str, ...],
        seen: Callable[[Seen], None],
        clock: Callable[[], int],
    ) -> None:
        self._broker = broker
        self._owners_of = owners_of
        self._topic_filters = topic_filters
        self._seen = seen
        self._clock = clock
        for topic_filter in topic_filters:
            broker.tree.add_taker(topic_filter, self)

    def take(self, delivery: Delivery) -> None:
        publish = delivery.publish
        self._seen(
            Seen(
                publish.topic_name,
                publish.payload,
                publish.qos,
                publish.retain,
                delivery.received_at,
                delivery.client_id,
                self._owners_of(publish.topic_name),
            )
        )

    def retained(self, topic_filter: str) -> Sequence[Seen]:
        return [
            Seen(
                kept.publish.topic_name,
                kept.publish.payload,
                kept.publish.qos,
                True,
                kept.stored_at,
                owners=self._owners_of(kept.publish.topic_name),
            )
            for kept in self._broker.retained.find(topic_filter, self._clock())
        ]

    def close(self) -> None:
        for topic_filter in self._topic_filters:
            self._broker.tree.remove_taker(topic_filter, self)
