"""Counters of the broker. Plain integers; whoever shows them reads them."""

from typing import Final

REASONS: Final = 64  # kept apart; a reason that comes later is counted as "other"
OTHER: Final = "other"

# Why a message was dropped, as `dropped` names it.
SLOW_READER: Final = "QoS 0 to a client that does not read"
QUEUE_FULL: Final = "the client's queue is full"
TOO_LARGE: Final = "larger than the client accepts"
RETAINED_FULL: Final = "no room for another retained message"
NO_MEMBER: Final = "nobody of the shared subscription is there"
FORBIDDEN: Final = "the client may not receive it any more"


class Stats:
    """What has happened since start. `publish_bytes_…` are of payloads, the other bytes of all."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "connections",
        "connections_refused",
        "connections_refused_by_code",
        "disconnections",
        "dropped",
        "messages_dropped",
        "messages_expired",
        "messages_received",
        "messages_refused",
        "messages_refused_by_code",
        "messages_sent",
        "packets_received",
        "packets_sent",
        "publish_bytes_received",
        "publish_bytes_sent",
        "sessions_expired",
        "takeovers",
    )

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0
        self.packets_received = 0
        self.packets_sent = 0
        self.connections = 0
        self.connections_refused = 0
        self.connections_refused_by_code: dict[int, int] = {}  # by MQTT 5 reason code
        self.disconnections: dict[str, int] = {}  # by reason
        self.messages_received = 0
        self.publish_bytes_received = 0
        self.messages_refused = 0
        self.messages_refused_by_code: dict[int, int] = {}
        self.messages_sent = 0
        self.publish_bytes_sent = 0
        self.messages_dropped = 0
        self.dropped: dict[str, int] = {}  # by reason, one of the above
        self.messages_expired = 0
        self.sessions_expired = 0
        self.takeovers = 0

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that a client does not get."""
        self.messages_dropped += count
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def refuse_message(self, reason_code: int) -> None:
        """Count a PUBLISH that may not pass."""
        self.messages_refused += 1
        known = self.messages_refused_by_code
        known[reason_code] = known.get(reason_code, 0) + 1

    def refuse_connection(self, reason_code: int) -> None:
        """Count a connection that came to nothing."""
        self.connections_refused += 1
        known = self.connections_refused_by_code
        known[reason_code] = known.get(reason_code, 0) + 1

    def disconnect(self, reason: str) -> None:
        """Count the end of a connection; reasons are texts, so their number is bounded."""
        known = self.disconnections
        if reason not in known and len(known) >= REASONS:
            reason = OTHER
        known[reason] = known.get(reason, 0) + 1
