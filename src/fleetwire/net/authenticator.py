"""The question asked once per CONNECT, or in the steps of an exchange (MQTT 5.0 §4.12)."""

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
class ClientCertificate:
    """What the certificate says that a client showed in its TLS handshake.

    The listener's client CA has signed it and it was in force then. `common_name` is empty if the
    subject has none or several; `fingerprint` is the SHA-256 of its DER form in lower-case hex,
    `serial` lower-case hex too, `not_after_at` microseconds UTC.
    """

    common_name: str
    subject: str  # RFC 4514, such as "CN=pump-7,O=Ward"
    fingerprint: str
    serial: str
    not_after_at: int


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
    certificate: ClientCertificate | None = None


@dataclass(frozen=True)
class Challenge:
    """The exchange goes on: the client is sent this Authentication Data, and answers."""

    data: bytes


@dataclass(frozen=True)
class Admission:
    """The exchange has ended well; `data` is the last Authentication Data, None = none."""

    grant: Grant
    data: bytes | None = None


class Exchange(ABC):
    """An enhanced authentication under way, of one client."""

    @abstractmethod
    async def step(self, data: bytes) -> Challenge | Admission:
        """Take the client's Authentication Data, empty if it sent none. Raises RefusedError."""


class Authenticator(ABC):
    """Decides who a client is."""

    @abstractmethod
    async def authenticate(self, offer: Offer) -> Grant:
        """Return what the client may do. Raises RefusedError."""

    def begin(self, method: str, offer: Offer) -> Exchange:
        """Begin an exchange by an Authentication Method. Raises RefusedError for an unknown one."""
        # [MQTT-4.12.0-1]
        raise RefusedError(f"no authentication method {method[:32]!r} here", 0x8C)

    def stands(self, grant: Grant) -> bool:
        """Say whether a grant that was given a moment ago would be given now."""
        return True
