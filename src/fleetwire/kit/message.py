"""The message a handler is called for, and the refusal it may raise."""

from fleetwire.errors import DomainError


class Incoming:
    """An application message on its way up the road. `received_at` is in microseconds UTC."""

    # `correlation_data` is what an MQTT 5 sender answers to, b"" = nothing.
    __slots__ = (
        "client_id", "correlation_data", "payload", "qos", "received_at", "retain", "topic",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        client_id: str,
        received_at: int,
        correlation_data: bytes = b"",
    ) -> None:
        self.correlation_data = correlation_data
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.client_id = client_id
        self.received_at = received_at


class NotAcceptedError(DomainError):
    """A handler cannot accept this message: it is quarantined with this reason and acknowledged.

    `reason_code` is what an MQTT 5 sender reads in its PUBACK.
    """

    status = 422

    def __init__(self, reason: str, *, reason_code: int = 0x99, field: str | None = None) -> None:
        super().__init__(reason, field=field)
        self.code = reason_code
