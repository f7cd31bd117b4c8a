"""What is measured: the loads, and what became of each."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """Publishers, subscribers that each take everything, and how messages go between them.

    `backlog` is how many messages of a publisher may be undelivered: with more, a server would be
    measured by what it queues and not by what it delivers. `rate` is in messages per second of all
    publishers together, 0 = as many as the server delivers.
    """

    name: str
    qos: int
    publishers: int
    subscribers: int
    backlog: int
    rate: int = 0


# What is under way to one client stays below the 1,000 messages that we have in flight to it.
LOADS = (
    Load("QoS 0, 1 → 1", qos=0, publishers=1, subscribers=1, backlog=900),
    Load("QoS 1, 1 → 1", qos=1, publishers=1, subscribers=1, backlog=900),
    Load("QoS 1, 50 → 1", qos=1, publishers=50, subscribers=1, backlog=18),
    Load("QoS 0, 1 → 100", qos=0, publishers=1, subscribers=100, backlog=200),
)
PACED = Load("QoS 1, 1 → 1 at a steady rate", qos=1, publishers=1, subscribers=1, backlog=0)


@dataclass(frozen=True)
class Plan:
    """The size of one run. `rate` is that of the steady load, in messages per second."""

    rounds: int = 3
    seconds: float = 5.0
    warmup_s: float = 1.0
    rate: int = 2000
    connections: int = 10_000
    logins: int = 300
    handshakes: int = 6_000


QUICK = Plan(
    rounds=1, seconds=0.6, warmup_s=0.2, rate=500, connections=100, logins=5, handshakes=100
)


@dataclass(frozen=True)
class Relayed:
    """What became of one load. Times in milliseconds from when a message was due or written."""

    sent: int
    acknowledged: int
    delivered: int
    lost: int
    duplicated: int
    reordered: int
    per_s: float  # deliveries
    delivery_p50_ms: float
    delivery_p99_ms: float
    generator_cpu_pct: float
    server_cpu_pct: float

    @property
    def complete(self) -> bool:
        """Each message reached each subscriber once, in order, and its sender knows."""
        return (
            self.delivered > 0
            and self.acknowledged == self.sent
            and self.lost == self.duplicated == self.reordered == 0
        )


@dataclass(frozen=True)
class Round:
    """One server, freshly started, under all loads."""

    bytes_per_connection: float
    connects_per_s: float  # of clients that say no name
    logins_per_s: float  # of clients with a password
    relayed: dict[str, Relayed]


def median(rounds: Sequence[Round], measure: Callable[[Round], float]) -> float:
    """Return the middle of what the rounds measured."""
    return statistics.median(map(measure, rounds))
