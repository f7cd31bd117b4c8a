"""What is measured: ingest with rule chains beside it, and without."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.ingest.load import Published, Publishers
from bench.ingest.plan import payload
from tests.house import House, Login

METRIC = "load"
AT_ONCE = 100  # devices of one import
NEVER = 1e15  # no message has this number
LEAVES = 10  # of each chain


@dataclass(frozen=True)
class Plan:
    """The size of the load. Each device sends one variable."""

    variables: int = 5000
    chains: int = 1000
    seconds: float = 10.0
    warmup_s: float = 2.0
    rounds: int = 3


QUICK = Plan(variables=50, chains=20, seconds=2.0, warmup_s=0.5, rounds=1)


@dataclass(frozen=True)
class Outcome:
    """One server under the load. `caught_up_s`: from the load's end until no run was missing."""

    published: Published
    runs: int = 0  # that the log tells of
    caught_up_s: float = 0.0
    woken_wrongly: int = 0  # chains in the log that do not name what they were woken by


@dataclass
class Outcomes:
    """All rounds."""

    without: list[Outcome] = field(default_factory=list)
    beside: list[Outcome] = field(default_factory=list)


def register(house: House, plan: Plan) -> list[Login]:
    """Import the devices; return the credentials they connect with."""
    logins: list[Login] = []
    http = house.http(house.url)
    for start in range(0, plan.variables, AT_ONCE):
        lines = [
            {"app": "medical", "device_id": f"bench-{n}", "type": "pulse_oximeter"}
            for n in range(start, min(start + AT_ONCE, plan.variables))
        ]
        answer = http.post("/api/v1/device-imports", json={"devices": lines}, timeout=60)
        answer.raise_for_status()
        for line in answer.json()["items"]:
            credential = line["credential"]
            logins.append(Login(credential["username"], credential["password"]))
    return logins


def make_chains(house: House, plan: Plan) -> None:
    """Store chains whose nested filters name every variable at least once."""
    http = house.http(house.url)
    for number in range(plan.chains):
        body: dict[str, Any] = {
            "app": "medical",
            "id": f"bench-{number}",
            "name": f"Chain {number}",
            "nodes": list(_nodes(number, plan)),
        }
        http.post("/api/v1/rules", json=body, timeout=60).raise_for_status()


def _nodes(number: int, plan: Plan) -> Iterator[dict[str, Any]]:
    leaves = [_leaf(named, plan) for named in names_of(number, plan)]
    groups = [
        {"type": "AND", "expressions": leaves[place : place + 2]} for place in range(0, LEAVES, 2)
    ]
    nested = {
        "type": "OR",
        "expressions": [
            {"type": "AND", "expressions": groups[:2]},
            {"type": "OR", "expressions": groups[2:]},
        ],
    }
    yield {"id": "f", "type": "filter", "config": nested, "next": "a"}
    yield {"id": "a", "type": "action", "config": {"type": "ALARM", "alarm": {"name": "bench"}}}


def names_of(chain: int, plan: Plan) -> list[int]:
    """Return the numbers of the devices that a chain names."""
    return [(chain * LEAVES + place) % plan.variables for place in range(LEAVES)]


def _leaf(named: int, plan: Plan) -> dict[str, Any]:
    return {
        "sourceType": "sensor",
        "UUID": f"bench-{named}",
        "key": METRIC,
        "operator": ">",
        "value": NEVER,
    }


def load(generator: Publishers, plan: Plan) -> Published:
    """Publish as fast as it is acknowledged, each device one message after the other."""
    return generator.publish(
        payload(METRIC),
        publishers=plan.variables,
        window=1,
        duration_s=plan.seconds + plan.warmup_s,
        warmup_s=plan.warmup_s,
    )
