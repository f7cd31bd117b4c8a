"""The message a handler is called for, and the refusal it may raise."""

from fleetwire.errors import DomainError


class Incoming:
    """An application message on its way up the road. `received_at` is in microseconds UTC."""

    __slots__ = ("client_id", "payload", "qos", "received_at", "retain", "topic")

    def __init__(
        self, topic: str, payload: bytes, qos: int, retain: bool, client_id: str, received_at: int
    ) -> None:
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
