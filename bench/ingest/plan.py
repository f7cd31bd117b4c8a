"""What is measured, and how it is checked against what the database holds."""

from dataclasses import dataclass

from bench.generator import Connected
from bench.ingest.load import Published, Publishers
from tests.house import House

SETTLE_S = 1.0


def payload(metric: str) -> str:
    """Return a template of about 100 bytes: mqload fills in the index, the time and the number.

    The value is the number of the message, so that each can be told from all others.
    """
    return (
        f'{{"device_id":"bench-%d","metric_type":"{metric}",'
        '"timestamp":%t,"value":%s,"unit":"{step}"}'
    )


@dataclass(frozen=True)
class Plan:
    """The size of the loads. `rate` is in messages per second of all publishers together."""

    publishers: int = 50
    window: int = 48  # more of them hardly saturate it more and only wait longer
    seconds: float = 10.0
    warmup_s: float = 2.0
    rate: int = 2000
    connections: int = 1000


QUICK = Plan(publishers=10, seconds=2.0, warmup_s=0.5, rate=200, connections=20)


@dataclass(frozen=True)
class Outcome:
    """One server under the three loads."""

    idle: Connected
    saturated: Published
    paced: Published


@dataclass(frozen=True)
class Kept:
    """What the database holds of one load."""

    load: str
    acknowledged: int
    rows: int
    lost: int
    duplicated: int

    @property
    def complete(self) -> bool:
        """Every acknowledged message is there once."""
        return self.lost == 0 and self.duplicated == 0


def carry_out(plan: Plan, generator: Publishers) -> Outcome:
    """Put the three loads on one server. Raises LoadError."""
    idle = generator.connect(plan.connections, hold_s=SETTLE_S)
    saturated = generator.publish(
        payload("saturated"),
        publishers=plan.publishers,
        window=plan.window,
        duration_s=plan.seconds + plan.warmup_s,
        warmup_s=plan.warmup_s,
    )
    paced = generator.publish(
        payload("paced"),
        publishers=plan.publishers,
        window=plan.window,
        duration_s=plan.seconds,
        rate=plan.rate,
    )
    return Outcome(idle, saturated, paced)


def compare(house: House, load: str, published: Published) -> Kept:
    """Hold what was acknowledged against the rows that are there."""
    found = house.select(
        """
        SELECT count(*), count(DISTINCT number) FROM readings
        WHERE metric IN (SELECT id FROM metrics WHERE name = ?) GROUP BY device
        """,
        load,
    )
    rows = sum(count for count, _ in found)
    messages = sum(distinct for _, distinct in found)
    return Kept(
        load=load,
        acknowledged=published.acknowledged,
        rows=rows,
        # A message may be stored and its acknowledgement still under way, never the reverse.
        lost=max(0, published.acknowledged - messages),
        duplicated=rows - messages + max(0, messages - published.sent),
    )
