"""What an operator is told of the broker. Instants in microseconds UTC."""

import msgspec


class ClientRecord(msgspec.Struct, kw_only=True):
    """A client: its session, and its connection where there is one (else None)."""

    client_id: str
    identity: str
    device: str | None  # medical/bp-1
    connected: bool
    protocol: str | None
    remote: str | None
    listener: str | None
    connected_at: int | None
    disconnected_at: int | None
    keep_alive_s: int | None  # 0 = none
    session_expiry_s: int  # 0 = the session ends with its connection
    subscriptions: int
    inflight: int  # messages sent to it and not acknowledged
    queued: int
    queued_bytes: int


class SubscriptionRecord(msgspec.Struct):
    """One subscription with its options."""

    topic_filter: str
    qos: int
    no_local: bool
    retain_as_published: bool
    retain_handling: int
    identifier: int  # 0 = none


class ClientDetail(ClientRecord, kw_only=True):
    """A client and all that is known of it.

    Messages are counted since the session began, bytes since the connection did.
    """

    window: int  # messages that may be in flight to it
    maximum_packet_size: int  # 0 = any
    receiving: int  # QoS 2 messages from it whose exchange has not ended
    will_topic: str | None
    messages_received: int
    messages_sent: int
    bytes_received: int | None
    bytes_sent: int | None
    subscription_list: list[SubscriptionRecord]


class RetainedRecord(msgspec.Struct):
    """A retained message; `payload` may be only the beginning of `payload_bytes`."""

    topic: str
    payload: bytes
    payload_bytes: int
    qos: int
    expires_at: int | None


class Count(msgspec.Struct):
    """How often something has happened since the start, for one reason."""

    what: str
    reason: str
    count: int


class Summary(msgspec.Struct):
    """The broker as a whole, everybody's clients counted."""

    version: str
    uptime_s: int
    clients_connected: int
    clients_disconnected: int
    connections: int  # with those that have not said CONNECT yet
    subscriptions: int
    retained_messages: int
    inflight_messages: int
    queued_messages: int
    messages_received: int
    messages_sent: int
    messages_dropped: int
    messages_refused: int
    messages_expired: int
    bytes_received: int
    bytes_sent: int
    connections_accepted: int
    connections_refused: int
    takeovers: int
    is_held: bool  # the database cannot keep up: nobody is read from
