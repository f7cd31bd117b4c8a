"""Doings: what runs want done, made into effects and rows of one transaction.

Of a run everything is done or nothing: a command that is refused takes the run's alarm with it, and
the log says why.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from fleetwire.features.devices.registry import Registry
from fleetwire.features.rules import repository
from fleetwire.features.rules.actions import ALARM, COMMAND, CannotActError, Planned
from fleetwire.features.rules.lineage import Lineage
from fleetwire.features.rules.outbox import Outbox
from fleetwire.features.rules.program import FAILED, STOPPED, Finding, Program
from fleetwire.features.rules.run import Trigger
from fleetwire.kit.device import Device
from fleetwire.kit.durations import parse_duration
from fleetwire.kit.effects import Alarm, Effect, Event, Reading, SendCommand
from fleetwire.kit.rules import CommandMaker, RuleCommand
from fleetwire.kit.transaction import Transaction

MAX_ERROR_CHARS: Final = 500
MAX_LOG_BYTES: Final = 32 * 1024  # of one run, with what its nodes saw
RAN: Final = "rule.run"
EXPIRES_IN: Final = "60s"
STATES: Final = MappingProxyType({COMMAND: "done", ALARM: "done"})  # of others: queued


class Run(msgspec.Struct):
    """A run that is to be stored, and what it does."""

    program: Program
    trigger: Trigger
    finding: Finding
    repeats: int = 0
    scheduled_at: int | None = None  # of one that a schedule asked for

    @property
    def place(self) -> tuple[int, str]:
        """What is unique of it: the chain and the trigger."""
        return self.program.key, self.trigger.id


class Doings:
    """Makes the effects and the rows of runs."""

    def __init__(
        self,
        registry: Registry,
        outbox: Outbox,
        lineage: Lineage,
        clock: Callable[[], int],
    ) -> None:
        self.makers: dict[str, CommandMaker] = {}  # by app
        self._registry = registry
        self._outbox = outbox
        self._lineage = lineage
        self._clock = clock

    def check(self, run: Run) -> None:
        """Let a run fail now whose actions cannot be done as things are."""
        sends = sum(planned.kind not in STATES for planned in run.finding.planned)
        try:
            for planned in run.finding.planned:
                if planned.kind in STATES:
                    self._device(run, planned)
            if sends and not self._outbox.has_room(run.program.organization_id, sends):
                raise CannotActError("too much of this organisation waits to be sent already")
        except CannotActError as error:
            refuse(run, str(error))

    def write(self, tx: Transaction, runs: Sequence[Run]) -> list[Effect]:
        """Store what runs were and return their effects; what ran before, or is gone, is left out.

        Raises what an app's own maker of commands raises.
        """
        runs = _new(tx.connection, runs)
        effects: list[Effect] = []
        parcels: list[dict[str, Any]] = []
        for run in runs:
            for planned in run.finding.planned:
                if planned.kind not in STATES:
                    parcels.append(self._parcel(run, planned))
                    continue
                for effect in self._effects(tx, run, planned):
                    effects.append(effect)
                    if isinstance(effect, SendCommand):
                        _node(run, planned).result = {"type": COMMAND, "command_id": effect.id}
            if run.scheduled_at is not None:
                repository.schedule_kept(tx, run.program.key, run.scheduled_at)
            device = self._spoken_for(run)
            if device is not None and run.finding.outcome != STOPPED:
                effects.append(Event(RAN, device, _told_of(run)))
        if parcels:
            self._outbox.put(tx, parcels)
        if runs:
            repository.insert_executions(tx, [_row(run) for run in runs])
        self._remember(tx, runs, effects)
        return effects

    def _remember(self, tx: Transaction, runs: Sequence[Run], effects: Sequence[Effect]) -> None:
        made = [each for each in effects if isinstance(each, Reading)]
        if not made:
            return
        depth = max(run.trigger.depth for run in runs)
        now = self._clock()

        def remember() -> None:
            for each in made:
                self._lineage.stored(each.device.id, each.metric, each.value, depth, now)

        tx.after_commit(remember)

    def _effects(self, tx: Transaction, run: Run, planned: Planned) -> Iterable[Effect]:
        said = planned.said
        device = self._device(run, planned)
        if planned.kind == ALARM:
            chain = run.program.chain
            return [
                Alarm(
                    device,
                    said.get("name", "rule"),
                    said.get("message") or chain.draft.name,
                    said.get("severity", "warning"),
                    {"chain": chain.id, "trigger": run.trigger.id},
                )
            ]
        key = _key(run, planned)
        maker = self.makers.get(run.program.chain.app)
        if maker is not None:
            made = maker(tx, RuleCommand(run.program.chain, device, said, key))
            if made is None:
                return []
            return [made] if isinstance(made, Effect) else list(made)
        parameters = said.get("parameters", {})
        if "stateName" in said:
            parameters = {"value": said["value"], "initiatedBy": said.get("initiatedBy", "rule")}
        return [
            SendCommand(
                device,
                said.get("stateName") or said["name"],
                parameters,
                parse_duration(said.get("expiresIn", EXPIRES_IN)),
                key,
                requested_by=f"rule:{run.program.chain.id}",
            )
        ]

    def _device(self, run: Run, planned: Planned) -> Device:
        """Return the device that an action is for. Raises CannotActError."""
        program = run.program
        name = planned.said.get("deviceUuid")
        if name:
            found = self._registry.find(planned.said.get("app") or program.chain.app, name)
        else:
            found = self._spoken_for(run)
            if found is None:
                raise CannotActError("an alarm needs a deviceUuid where nothing was measured")
        if found is None or found.organization_id != program.organization_id:
            raise CannotActError(f"there is no device {name!r}")
        return found

    def _spoken_for(self, run: Run) -> Device | None:
        """Return the device that a run is told of: whose reading it was, or that it looks at."""
        if run.trigger.device is not None:
            return run.trigger.device
        first = next(iter(run.program.variables), None)
        if first is None:
            return None
        found = self._registry.find(first.name.app, first.name.device_id)
        is_ours = found is not None and found.organization_id == run.program.organization_id
        return found if is_ours else None

    def _parcel(self, run: Run, planned: Planned) -> dict[str, Any]:
        said = planned.said
        if "url" in said and "body" not in said:
            said = said | {"body": _told(run)}
        return {
            "organization_id": run.program.organization_id,
            "chain": run.program.key,
            "trigger": run.trigger.id,
            "node": planned.node,
            "kind": planned.kind,
            "said": said,
        }


def refuse(run: Run, reason: str) -> None:
    """Let a run fail: nothing of it is done."""
    finding = run.finding
    for planned in finding.planned:
        node = _node(run, planned)
        node.outcome, node.error = FAILED, reason[:MAX_ERROR_CHARS]
    finding.outcome, finding.error = FAILED, reason[:MAX_ERROR_CHARS]
    finding.planned = []


def _new(connection: Connection, runs: Sequence[Run]) -> list[Run]:
    """Return those of these runs whose chain is still there and which have not been stored."""
    there = repository.still_there(connection, {run.program.key for run in runs})
    before = repository.places_of(connection, there, {run.trigger.id for run in runs})
    return [run for run in runs if run.program.key in there and run.place not in before]


def _node(run: Run, planned: Planned) -> Any:
    for told in run.finding.nodes:
        if told.node == planned.node:
            return told
    raise AssertionError(f"a run planned what none of its nodes did: {planned.node}")


def _row(run: Run) -> dict[str, Any]:
    finding = run.finding
    for planned in finding.planned:
        _node(run, planned).outcome = STATES.get(planned.kind, "queued")
    return {
        "organization_id": run.program.organization_id,
        "chain": run.program.key,
        "trigger": run.trigger.id,
        "kind": run.trigger.kind,
        "outcome": finding.outcome,
        "aborted_reason": finding.aborted_reason,
        "error": None if finding.error is None else finding.error[:MAX_ERROR_CHARS],
        "nodes": _log_of(finding),
        "repeats": run.repeats,
        "started_at": run.trigger.at,
    }


def _log_of(finding: Finding) -> list[dict[str, Any]]:
    """Return what the log keeps of the nodes: all of it, or if that is too much, no inputs."""
    if len(msgspec.json.encode(finding.nodes)) > MAX_LOG_BYTES:
        for node in finding.nodes:
            node.inputs = {}
    nodes: list[dict[str, Any]] = msgspec.to_builtins(finding.nodes)
    return nodes


def _key(run: Run, planned: Planned) -> str:
    said = f"{run.program.key}/{run.trigger.id}/{planned.node}".encode()
    return f"rule-{hashlib.sha256(said).hexdigest()[:32]}"


def _told_of(run: Run) -> dict[str, Any]:
    """Return the event of a run that did something, or should have."""
    chain, finding = run.program.chain, run.finding
    return {
        "chain_app": chain.app,
        "chain_id": chain.id,
        "chain_name": chain.draft.name,
        "trigger": run.trigger.id,
        "kind": run.trigger.kind,
        "outcome": finding.outcome,
        "aborted_reason": finding.aborted_reason,
        "error": finding.error,
    }


def _told(run: Run) -> dict[str, Any]:
    """Return what a webhook says if its chain does not: what happened, with the values."""
    chain = run.program.chain
    return {
        "chain": {"app": chain.app, "id": chain.id, "name": chain.draft.name},
        "trigger": run.trigger.id,
        "at": run.trigger.at // 1000,
        "values": {
            f"{variable.name.device_id}.{variable.name.key}": seen.value
            for variable, seen in run.trigger.values.items()
        },
    }
