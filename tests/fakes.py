"""Stand-ins for what lies beyond the features: the broker's way down, the audit, the clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.ingest.batch import Accepted, Refused
from fleetwire.kit import Audit, Caller, Effect, instants
from fleetwire.net.clients import Client, Downlink
from fleetwire.protocol.packets import Properties, Publish

ALL_PERMISSIONS = frozenset(
    {
        "audit.read",
        "broker.read",
        "broker.write",
        "device.read",
        "device.write",
        "command.send",
        "telemetry.read",
        "quarantine.read",
        "quarantine.write",
    }
)


def caller(
    organization_id: int = 1,
    *,
    permissions: frozenset[str] = ALL_PERMISSIONS,
    role: str = "owner",
) -> Caller:
    """Somebody of an organisation who may do everything, unless told otherwise."""
    return Caller(f"account:{organization_id}", organization_id, permissions, role=role)


class FakeClock:
    """Wall clock in microseconds UTC that moves when told to."""

    def __init__(self) -> None:
        self.at = instants.now()

    def __call__(self) -> int:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += round(seconds * 1e6)


class FakeAudit(Audit):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, str | None]] = []

    async def record(
        self,
        caller: Caller,
        action: str,
        subject: str | None = None,
        *,
        outcome: str = "ok",
        detail: dict[str, Any] | None = None,
    ) -> None:
        self.records.append((caller.actor, action, subject))


@dataclass
class Sent:
    """A message that was sent to a device; the test decides what becomes of it."""

    device: int
    topic: str
    payload: bytes
    expires_at: int
    delivered: Callable[[], None]
    lost: Callable[[str], None]
    properties: Properties = field(default_factory=dict)


@dataclass
class FakeDownlink(Downlink):
    """Sends to the devices in `listening` by putting messages into `sent`.

    `on_send` is called within the call, as a broker may answer at once.
    """

    listening: set[int] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)
    disconnected: list[tuple[str, int, str]] = field(default_factory=list)
    on_send: Callable[[Sent], None] | None = None

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> int:
        return 0

    def send_to_device(
        self,
        device: int,
        topic: str,
        payload: bytes,
        *,
        expires_at: int = 0,
        delivered: Callable[[], None],
        lost: Callable[[str], None],
        properties: Properties | None = None,
    ) -> bool:
        if device not in self.listening:
            return False
        sent = Sent(device, topic, payload, expires_at, delivered, lost, properties or {})
        self.sent.append(sent)
        if self.on_send is not None:
            self.on_send(sent)
        return True

    def watch(
        self, topic_filter: str, qos: int, seen: Callable[[str, bytes, int], None]
    ) -> Callable[[], None]:
        return lambda: None

    def disconnect_device(self, device: int, reason: str) -> int:
        self.disconnected.append(("device", device, reason))
        return 1

    def disconnect_credential(self, credential: int, reason: str) -> int:
        self.disconnected.append(("credential", credential, reason))
        return 1

    def is_running(self) -> bool:
        return True


def client_of(device: int, *, at: int = 0, client_id: str = "c") -> Client:
    """A connection of a device (0 = an anonymous client)."""
    grant = Grant("test", ["#"], ["#"], device=device, anonymous=device == 0)
    return Client(client_id, grant, "127.0.0.1:1", "3.1.1", at)


def delivery_of(
    payload: bytes = b"{}",
    *,
    topic: str = "devices/d/data",
    at: int = 1_000_000,
    qos: int = 1,
    identity: str = "device:demo/d",
) -> Delivery:
    """A message as the road gets it from the broker."""
    sender = Session("c", Grant(identity, [], []))
    return Delivery(Publish(topic, payload, qos), sender, at, None)


def accepted(*effects: Effect, at: int = 1_000_000) -> list[tuple[Effect, Accepted]]:
    """Effects of one message each, as a sink gets them."""
    return [(each, Accepted("demo", delivery_of(at=at), [each])) for each in effects]


def refused(
    payload: bytes = b"x",
    *,
    topic: str = "devices/d/data",
    organization_id: int | None = 1,
    reason: str = "The payload is not JSON",
) -> Refused:
    """A message that nobody accepted."""
    return Refused("demo", delivery_of(payload, topic=topic), reason, 0x99, organization_id)
