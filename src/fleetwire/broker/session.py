"""Session: what the broker keeps of a client, with or without a connection (MQTT 5.0 §4.1)."""

from collections import deque
from collections.abc import Callable

from fleetwire.broker.grants import Grant
from fleetwire.broker.link import InboundTicket, Link
from fleetwire.broker.retained import Retained
from fleetwire.protocol.inflight import PacketIds
from fleetwire.protocol.packets import Publish, Subscription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fleetwire.broker.journal import Journal
    from fleetwire.broker.subscriptions import SharedGroup, Target

WAIT_PUBACK = 1
WAIT_PUBREC = 2
WAIT_PUBCOMP = 3


QOS0_UNKNOWABLE = "the device subscribed with QoS 0, so delivery cannot be known"


class Receipt:
    """Tells whether the one it was sent to has acknowledged a message; it speaks once."""

    __slots__ = ("_delivered", "_lost", "pending")

    def __init__(self, delivered: Callable[[], None], lost: Callable[[str], None]) -> None:
        self._delivered = delivered
        self._lost = lost
        self.pending = 0  # sessions that may still acknowledge

    def delivered(self) -> None:
        """The receiver has acknowledged."""
        if self.pending > 0:
            self.pending = -1
            self._delivered()

    def lost(self, reason: str) -> None:
        """One of those who could have acknowledged no longer can."""
        if self.pending > 0:
            self.pending -= 1
            if self.pending == 0:
                self.pending = -1
                self._lost(reason)


class Outgoing:
    """A message on its way to a client with QoS 1 or 2, or waiting in the session's queue.

    What most messages do not have is a class attribute until it is set: one of these is made for
    each message and receiver.
    """

    __slots__ = (
        "__dict__",
        "expires_at",
        "packet_id",
        "publish",
        "qos",
        "retain",
        "state",
        "subscription_ids",
    )

    receipt: Receipt | None = None
    group: "SharedGroup | None" = None  # it came by; another member may have it
    is_held: bool = False  # what is next for it is sent when the journal has stored its state
    is_unsent: bool = False  # in flight, but no connection was sent it yet: no DUP [MQTT-3.3.1-1]
    key: int = 0  # the journal's own; 0 = it does not keep this message

    def __init__(
        self,
        publish: Publish,
        qos: int,
        retain: bool,
        subscription_ids: list[int] | None,
        expires_at: int,
        receipt: Receipt | None = None,
        group: "SharedGroup | None" = None,
    ) -> None:
        self.publish = publish
        self.qos = qos
        self.retain = retain
        self.subscription_ids = subscription_ids
        self.expires_at = expires_at  # microseconds UTC, 0 = never
        self.packet_id = 0
        self.state = 0
        if receipt is not None:
            self.receipt = receipt
        if group is not None:
            self.group = group

    @property
    def size(self) -> int:
        """What it counts for in the bound of a queue, in bytes."""
        return len(self.publish.payload) + len(self.publish.topic_name)


class RetainedForOne:
    """Retained messages on their way to one new subscription; looked up when their turn comes."""

    __slots__ = ("found", "target", "topic_filter")

    def __init__(self, target: "Target", topic_filter: str) -> None:
        self.target = target
        self.topic_filter = topic_filter
        self.found: list[Retained] | None = None  # the next one last


class TopicAliases:
    """Numbers for the Topic Names that were sent first, up to a maximum (MQTT 5.0 §3.3.2.3.4)."""

    __slots__ = ("_by_topic", "maximum")

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._by_topic: dict[str, int] = {}

    def find(self, topic_name: str) -> tuple[int, bool]:
        """Return the alias (0 = there is none left) and whether the client knows it already."""
        alias = self._by_topic.get(topic_name)
        if alias is not None:
            return alias, True
        if len(self._by_topic) >= self.maximum:
            return 0, False
        return len(self._by_topic) + 1, False

    def learn(self, topic_name: str, alias: int) -> None:
        """The client has been told this alias."""
        self._by_topic[topic_name] = alias


class Session:
    """The state of one Client Identifier.

    Outgoing messages with QoS > 0 are either in `inflight` (sent, by packet id, in order) or in
    `queue` (waiting for a connection or for room in the client's Receive Maximum). `received` holds
    the packet ids of QoS 2 messages between PUBLISH and PUBREL.
    """

    __slots__ = (
        "_expiry_interval",
        "client_id",
        "disconnected_at",
        "dropped",
        "grant",
        "inflight",
        "inflight_bytes",
        "is_persistent",
        "is_special",
        "journal",
        "key",
        "link",
        "maximum_packet_size",
        "messages_received",
        "messages_sent",
        "packet_ids",
        "queue",
        "queue_bytes",
        "received",
        "resend",
        "retained_waiting",
        "subscriptions",
        "topic_aliases",
        "will",
        "will_delay_s",
        "window",
    )

    def __init__(self, client_id: str, grant: Grant) -> None:
        self.client_id = client_id
        self.grant = grant
        self.link: Link | None = None
        self.subscriptions: dict[str, tuple[Subscription, int]] = {}  # and Subscription Identifier
        self.inflight: dict[int, Outgoing] = {}
        self.inflight_bytes = 0
        self.queue: deque[Outgoing] = deque()
        self.queue_bytes = 0
        # Of those in flight, what this connection has not been sent yet, in order.
        self.resend: deque[Outgoing] = deque()
        # Subscriptions whose retained messages have not all been sent yet.
        self.retained_waiting: deque[RetainedForOne] = deque()
        self.received: dict[int, InboundTicket] = {}
        self.packet_ids = PacketIds()
        self.maximum_packet_size = 0  # bytes the client accepts, 0 = any
        self.window = 0  # messages that may be in flight: the client's Receive Maximum
        self._expiry_interval = 0
        self.is_persistent = False  # it outlives its connection: its expiry is above 0
        # Bytes made for others cannot simply be sent to this client too: it bounds their size, or
        # takes Topic Aliases.
        self.is_special = False
        self.disconnected_at = 0  # microseconds UTC; 0 while connected
        self.messages_received = 0
        self.messages_sent = 0
        self.dropped = 0  # messages that found no room, since the edge last asked
        # Topic Aliases of this connection from us to the client; None = it takes none.
        self.topic_aliases: TopicAliases | None = None
        self.will: Publish | None = None
        self.will_delay_s = 0
        self.journal: Journal | None = None  # of the broker it belongs to
        self.key = 0  # the journal's own; 0 = it does not keep this session

    def forget_received(self, packet_id: int) -> bool:
        """End the exchange of a received QoS 2 message; return whether there was one."""
        if self.received.pop(packet_id, None) is None:
            return False
        if self.journal is not None and self.is_persistent:
            self.journal.drop_received(self, packet_id)
        return True

    @property
    def expiry_interval(self) -> int:
        """For how long the session outlives its connection, in seconds; 0xFFFFFFFF = for ever."""
        return self._expiry_interval

    @expiry_interval.setter
    def expiry_interval(self, seconds: int) -> None:
        self._expiry_interval = seconds
        self.is_persistent = seconds > 0
