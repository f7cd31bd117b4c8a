"""Rehearsal: a chain, run over stored readings, with nothing done."""

import asyncio
from collections import Counter, deque
from typing import Final

from fleetwire.features.devices.registry import Registry
from fleetwire.features.rules.program import Program
from fleetwire.features.rules.run import Trigger, View
from fleetwire.features.rules.triggers import triggers
from fleetwire.features.telemetry.feed import Feed
from fleetwire.kit.rules import DryRun, RuleExecution
from fleetwire.store.database import Database

MAX_READINGS: Final = 10_000
LAST: Final = 2**63 - 1
AT_ONCE: Final = 200  # triggers until others get their turn


async def rehearse(
    db: Database,
    feed: Feed,
    registry: Registry,
    program: Program,
    from_at: int | None,
    to_at: int | None,
    kept: int,
) -> DryRun:
    """Return what a chain, whose variables are its own, would have done.

    Its variables begin without a value: what was before the span it does not know of. It looks at
    MAX_READINGS at most, the newest of each variable. Raises StoreUnavailableError.
    """
    variables = program.own_variables
    program.install()
    wanted = [
        (device, metric) for device, of_device in variables.watched.items() for metric in of_device
    ]
    page, is_whole = await db.read(
        lambda c: feed.span(c, wanted, from_at or 0, LAST if to_at is None else to_at, MAX_READINGS)
    )
    outcomes: Counter[str] = Counter()
    newest: deque[RuleExecution] = deque(maxlen=kept)
    for place, trigger in enumerate(triggers(page, variables, registry)):
        for variable, seen in trigger.values.items():
            variable.note(seen)
        execution = _execution(program, trigger)
        outcomes[execution.outcome] += 1
        newest.append(execution)
        if place % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
    return DryRun(len(page), dict(outcomes), list(reversed(newest)), is_whole)


def _execution(program: Program, trigger: Trigger) -> RuleExecution:
    finding = program.run(View(trigger))
    return RuleExecution(
        id=0,
        chain_id=program.chain.id,
        trigger=trigger.id,
        kind=trigger.kind,
        outcome=finding.outcome,
        started_at=trigger.at,
        nodes=finding.nodes,
        aborted_reason=finding.aborted_reason,
        error=finding.error,
    )
