"""Session: what the broker keeps of a client, with or without a connection (MQTT 5.0 §4.1)."""

from collections import deque
from collections.abc import Callable

from fleetwire.broker.grants import Grant
from fleetwire.broker.link import InboundTicket, Link
from fleetwire.protocol.inflight import PacketIds
from fleetwire.protocol.packets import Publish, Subscription

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
    """A message on its way to a client with QoS 1 or 2, or waiting in the session's queue."""

    __slots__ = (
        "expires_at",
        "key",
        "packet_id",
        "publish",
        "qos",
        "receipt",
        "retain",
        "state",
        "subscription_ids",
    )

    def __init__(
        self,
        publish: Publish,
        qos: int,
        retain: bool,
        subscription_ids: list[int] | None,
        expires_at: int,
        receipt: Receipt | None,
    ) -> None:
        self.publish = publish
        self.qos = qos
        self.retain = retain
        self.subscription_ids = subscription_ids
        self.expires_at = expires_at  # microseconds UTC, 0 = never
        self.receipt = receipt
        self.packet_id = 0
        self.state = 0
        self.key = 0  # the journal's own; 0 = it does not keep this message


class Session:
    """The state of one Client Identifier.

    Outgoing messages with QoS > 0 are either in `inflight` (sent, by packet id, in order) or in
    `queue` (waiting for a connection or for room in the client's Receive Maximum). `received` holds
    the packet ids of QoS 2 messages between PUBLISH and PUBREL.
    """

    __slots__ = (
        "client_id",
        "disconnected_at",
        "expiry_interval",
        "grant",
        "inflight",
        "key",
        "link",
        "maximum_packet_size",
        "packet_ids",
        "queue",
        "queue_bytes",
        "received",
        "subscriptions",
        "will",
        "window",
    )

    def __init__(self, client_id: str, grant: Grant) -> None:
        self.client_id = client_id
        self.grant = grant
        self.link: Link | None = None
        self.subscriptions: dict[str, tuple[Subscription, int]] = {}  # and Subscription Identifier
        self.inflight: dict[int, Outgoing] = {}
        self.queue: deque[Outgoing] = deque()
        self.queue_bytes = 0
        self.received: dict[int, InboundTicket] = {}
        self.packet_ids = PacketIds()
        self.maximum_packet_size = 0  # bytes the client accepts, 0 = any
        self.window = 0  # messages that may be in flight: the client's Receive Maximum
        self.expiry_interval = 0  # seconds; 0xFFFFFFFF = never
        self.disconnected_at = 0  # microseconds UTC; 0 while connected
        self.will: Publish | None = None
        self.key = 0  # the journal's own; 0 = it does not keep this session

    @property
    def is_persistent(self) -> bool:
        """Whether the session outlives its connection."""
        return self.expiry_interval > 0
