"""Limits: bounds that keep one client from harming the others."""

DROP_OLDEST = "drop_oldest"
REJECT_NEW = "reject_new"


class Limits:
    """Sizes in bytes, times in seconds."""

    __slots__ = (
        "denied_publish_disconnects",
        "drops_oldest",
        "payload_bytes",
        "queue_bytes",
        "queue_messages",
        "retained_bytes",
        "retained_messages",
        "session_expiry_s",
        "sessions",
        "subscriptions",
        "topic_bytes",
        "topic_levels",
        "window",
    )

    def __init__(
        self,
        queue_messages: int = 10_000,
        queue_bytes: int = 16 * 1024 * 1024,
        retained_messages: int = 100_000,
        session_expiry_s: int = 7 * 86_400,
        subscriptions: int = 1_000,
        topic_levels: int = 32,
        window: int = 1_000,
        queue_policy: str = REJECT_NEW,
        denied_publish_disconnects: bool = False,
        payload_bytes: int = 0,
        topic_bytes: int = 65_535,
        retained_bytes: int = 256 * 1024 * 1024,
        sessions: int = 1_000_000,
    ) -> None:
        self.queue_messages = queue_messages  # per session, while it cannot be sent
        self.queue_bytes = queue_bytes  # of what waits, and again of what is in flight
        self.retained_messages = retained_messages
        self.session_expiry_s = session_expiry_s  # longest life of a session without a connection
        self.subscriptions = subscriptions  # per client
        self.topic_levels = topic_levels  # of a Topic Name and of a Topic Filter
        self.window = window  # in flight to a client that names no Receive Maximum
        self.drops_oldest = queue_policy == DROP_OLDEST  # from a full queue; else the newest
        # What a client below MQTT 5, which has no reason codes, gets for a PUBLISH it may not make:
        # the end of its connection, or an acknowledgement and a line on its error topic.
        self.denied_publish_disconnects = denied_publish_disconnects
        self.payload_bytes = payload_bytes  # 0 = as large as a packet may be
        self.topic_bytes = topic_bytes  # of a Topic Name in UTF-8
        self.retained_bytes = retained_bytes  # payloads and names of all retained messages
        self.sessions = sessions  # connected or not; then CONNECT is refused with 0x97
