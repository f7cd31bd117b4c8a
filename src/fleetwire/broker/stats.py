"""Counters of the broker. Plain integers; whoever shows them reads them."""


class Stats:
    """What has happened since start."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "connections",
        "connections_refused",
        "messages_dropped",
        "messages_expired",
        "messages_received",
        "messages_refused",
        "messages_sent",
        "takeovers",
    )

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0
        self.connections = 0
        self.connections_refused = 0
        self.messages_received = 0
        self.messages_refused = 0
        self.messages_sent = 0
        self.messages_dropped = 0
        self.messages_expired = 0
        self.takeovers = 0
