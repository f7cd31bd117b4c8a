"""Clients as the house sees them: who came and went, and the way down to devices.

The server implements Downlink; `features` listen as ClientObserver. All calls happen on the event
loop.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from fleetwire.broker.grants import Grant
from fleetwire.protocol.packets import Properties


@dataclass(frozen=True)
class Client:
    """A client of the broker. `connected_at` is in microseconds UTC."""

    client_id: str
    grant: Grant
    remote: str
    protocol: str  # "3.1", "3.1.1" or "5.0"
    connected_at: int
    listener: str = "tcp"  # how it came in: "tcp", "tls", "ws", "wss" or "unix"


class ClientObserver(ABC):
    """Hears of clients. Must return at once; what needs time becomes a task of its own."""

    def connected(self, client: Client) -> None:
        """A client's CONNECT was accepted."""

    def disconnected(self, client: Client, reason: str) -> None:
        """A connection ended: `disconnect`, `will`, `keep_alive`, `lost`, `shutdown`, …"""

    def listening(self, client: Client, topic_filter: str) -> None:
        """A connected client's subscription is in force (new, or resumed with its session)."""

    def overflowed(self, client_id: str, grant: Grant, dropped: int) -> None:
        """A session's queue had no room for this many messages in the last second."""

    def refused(self, client_id: str, identity: str, remote: str, reason: str) -> None:
        """A CONNECT, SUBSCRIBE or (once per client and topic) PUBLISH was refused."""


class Downlink(ABC):
    """Publishes for the house."""

    @abstractmethod
    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> int:
        """Publish a message; return how many clients' queues it entered."""

    @abstractmethod
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
        """Publish QoS 1 to a device that listens now; False if it does not, then nothing is sent.

        `delivered` is called once, on the device's own PUBACK; `lost`, with a reason, if that can
        no longer come (its session ended, `expires_at` passed first, or the device subscribed with
        QoS 0). A device that goes away and comes back to its session gets the message again, with
        DUP; after `expires_at` (microseconds UTC, 0 = never) it is not sent any more. A connected
        client counts as the device if its grant says so; an anonymous one (loopback only), if it
        subscribed to exactly this topic without wildcards.
        """

    @abstractmethod
    def watch(
        self, topic_filter: str, qos: int, seen: Callable[[str, bytes, int], None]
    ) -> Callable[[], None]:
        """Call `seen(topic, payload, qos)` for each message that matches; the result ends it.

        Raises protocol.errors.InvalidTopicError for a bad Topic Filter.
        """

    @abstractmethod
    def disconnect_device(self, device: int, reason: str) -> int:
        """Close all connections and end all sessions of a device; return how many there were."""

    @abstractmethod
    def disconnect_credential(self, credential: int, reason: str) -> int:
        """Close all connections that were made with this credential; return how many."""

    def disconnect_identity(self, identity: str, reason: str) -> int:
        """Close all connections and end all sessions of an identity; return how many there were.

        `identity` is as in a Grant: `key:3/exporter`, `account:17`. A downlink that serves no
        clients has none to close.
        """
        return 0

    @abstractmethod
    def is_running(self) -> bool:
        """Say whether the broker takes messages."""
