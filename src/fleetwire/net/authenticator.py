"""The question asked once per CONNECT."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from fleetwire.broker.grants import Grant
from fleetwire.errors import FleetwireError


class RefusedError(FleetwireError):
    """The client may not connect.

    `reason_code` is MQTT 5's (0x86 bad user name or password, 0x87 not authorized, 0x88 server
    unavailable); older clients get the return code that means the same.
    """

    def __init__(self, reason: str, reason_code: int = 0x87) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reason_code = reason_code


@dataclass(frozen=True)
class Offer:
    """What a client says of itself in CONNECT, and where it came from.

    `anonymous_allowed` is the listener's: bound to loopback it may serve clients without
    credentials. Never log `password`.
    """

    client_id: str
    username: str | None
    password: bytes | None
    remote: str
    anonymous_allowed: bool


class Authenticator(ABC):
    """Decides who a client is."""

    @abstractmethod
    async def authenticate(self, offer: Offer) -> Grant:
        """Return what the client may do. Raises RefusedError."""
