"""A broker without sockets: links that keep what was written, decoded."""

from collections.abc import Callable

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.delivery import Delivery
from fleetwire.broker.grants import Grant
from fleetwire.broker.link import Link
from fleetwire.broker.session import Session
from fleetwire.broker.takers import Taker
from fleetwire.protocol.decoder import Decoder
from fleetwire.protocol.packets import (
    Ack,
    Connect,
    Packet,
    Properties,
    Publish,
    Subscribe,
    Subscription,
)


class FakeLink(Link):
    """Decodes what the broker writes."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version
        self.closed_with: tuple[int, str] | None = None
        self._decoder = Decoder(1 << 20, version=version, is_server=False)

    def wake(self) -> None:
        pass

    def close(self, reason_code: int, reason: str) -> None:
        self.closed_with = (reason_code, reason)
        self.closed = True

    def read(self) -> list[Packet]:
        """Return the packets written since the last call."""
        data = b"".join(self.output)
        self.output.clear()
        packets = self._decoder.feed(data)
        assert self._decoder.error is None
        return packets


class Keeper(Taker):
    """A taker within the house that keeps deliveries until the test releases them."""

    holds_tickets = True

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    def take(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    def release(self, index: int, code: int = 0) -> None:
        ticket = self.deliveries[index].ticket
        assert ticket is not None
        ticket.release(code)


class Peer:
    """A client of the broker under test."""

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        version: int = 4,
        clean: bool = True,
        grant: Grant | None = None,
        will: Publish | None = None,
        properties: Properties | None = None,
        now: int = 0,
    ) -> None:
        self.broker = broker
        self.link = FakeLink(version)
        self.now = now
        connect = Connect(version, client_id, clean, 60, None, None, will, properties)
        self.grant = grant or Grant("anonymous", ["#"], ["#"], anonymous=True)
        self.opened = broker.open(self.link, connect, client_id, self.grant, now)
        if self.opened.session is not None:
            broker.resume(self.session, now)

    @property
    def session(self) -> Session:
        assert self.opened.session is not None
        return self.opened.session

    def subscribe(self, topic_filter: str, qos: int = 1, **options: int) -> list[tuple[str, int]]:
        subscription = Subscription(topic_filter, qos, **options)  # type: ignore[arg-type]
        outcome = self.broker.subscribe(self.session, Subscribe(1, [subscription]), self.now)
        return outcome

    def publish(
        self, topic: str, payload: bytes = b"x", qos: int = 0, packet_id: int = 0, **more: object
    ) -> None:
        publish = Publish(topic, payload, qos, packet_id=packet_id, **more)  # type: ignore[arg-type]
        self.broker.publish(self.session, [publish], self.now)

    def acknowledge(self, kind: int, packet_id: int, code: int = 0) -> None:
        self.broker.acknowledge(self.session, [Ack(kind, packet_id, code)], self.now)

    def leave(self, *, with_will: bool = False) -> None:
        self.broker.close(self.session, self.link, with_will=with_will, now=self.now)

    def read(self) -> list[Packet]:
        return self.link.read()

    def messages(self) -> list[Publish]:
        return [packet for packet in self.read() if isinstance(packet, Publish)]


@pytest.fixture
def refusals() -> Keeper:
    return Keeper()


@pytest.fixture
def broker(refusals: Keeper) -> Broker:
    return Broker(Limits(queue_messages=5), refusals)


@pytest.fixture
def peer(broker: Broker) -> Callable[..., Peer]:
    def make(client_id: str, **options: object) -> Peer:
        return Peer(broker, client_id, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def keeper(broker: Broker) -> Keeper:
    keeper = Keeper()
    broker.tree.add_taker("in/#", keeper)
    return keeper
