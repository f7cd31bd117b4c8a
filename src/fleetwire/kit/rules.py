"""Rules: chains of filters, transforms and actions that readings, clocks and people set going.

    chain = await rules.create(caller, "farm", RuleDraft(
        name="Too warm",
        nodes=(
            RuleNode("1", "filter", {
                "sourceType": "sensor", "UUID": "s-1", "key": "temperature",
                "operator": ">", "value": 30,
            }, next="2"),
            RuleNode("2", "action", {
                "type": "DEVICE_COMMAND",
                "command": {"deviceUuid": "fan-1", "stateName": "power", "value": "on"},
            }),
        ),
    ), chain_id="17")

A chain belongs to an organisation and an app. Its id is the app's own; without one it is given one.
A `UUID` or `deviceUuid` is the name of a device of the chain's app (another app's with `"app"`
beside it), and a `key` is one of its metrics. What is an actuator's state wakes chains if the app
stores it as a `Reading` whose metric is the state's name.

Each run that did something, or failed, is told as the event `rule.run` of the device whose reading
it was: `{chain_app, chain_id, chain_name, trigger, kind, outcome, aborted_reason, error}`.

What a DEVICE_COMMAND does is a command by the name `stateName` with `{"value": …}`, or what the app
says: `rules.commands_by("farm", change_state)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from fleetwire.kit.caller import Caller
from fleetwire.kit.device import Device
from fleetwire.kit.paging import Page
from fleetwire.kit.store import Effects
from fleetwire.kit.transaction import Transaction

NodeType = Literal["filter", "transform", "action"]
TriggerKind = Literal["telemetry", "schedule", "manual"]


class RuleNode(msgspec.Struct, frozen=True):
    """One step of a chain. `next` is the node that follows; None = the chain ends here.

    `config` of a filter is a leaf `{sourceType, UUID, key, operator, value, duration?}` or
    `{type: "AND" | "OR", expressions: […]}`; of a transform `{key, operation, operand, UUID?}`; of
    an action `{type, command | alarm | webhook | publish}`.
    """

    id: str
    type: NodeType
    config: dict[str, Any]
    next: str | None = None
    name: str = ""


class RuleSchedule(msgspec.Struct, frozen=True):
    """When a chain runs by the clock: five fields of cron, read in a time zone of the IANA list."""

    cron: str
    timezone: str = "UTC"


class RuleDraft(msgspec.Struct, frozen=True):
    """What a chain says. `start` None = the first node to which no other one leads."""

    name: str
    nodes: tuple[RuleNode, ...] = ()
    description: str = ""
    enabled: bool = True
    schedule: RuleSchedule | None = None
    start: str | None = None


def devices_named(draft: RuleDraft) -> set[tuple[str, str]]:
    """Return (app, name) of every device that a chain names; app "" = the chain's own.

    For an app with organisations of its own within one of the house, which must see to it that
    their chains name no devices of each other.
    """
    found: set[tuple[str, str]] = set()
    waiting: list[Any] = [node.config for node in draft.nodes]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
            for name in (each.get("UUID"), each.get("deviceUuid")):
                if isinstance(name, str) and name:
                    found.add((str(each.get("app") or ""), name))
    return found


class RuleChain(msgspec.Struct):
    """A stored chain. `next_at` is when its schedule is due, None without one."""

    app: str
    id: str
    draft: RuleDraft
    created_at: int
    updated_at: int
    next_at: int | None = None


class NodeOutcome(msgspec.Struct):
    """What one node saw and did.

    `outcome`: passed or stopped (filter), changed (transform), done or planned (action), failed.
    `inputs` are the values that it looked at.
    """

    node: str
    type: NodeType
    outcome: str
    inputs: dict[str, Any] = {}
    result: Any = None
    error: str | None = None


class RuleExecution(msgspec.Struct):
    """One run of a chain.

    `outcome`: completed, stopped (a filter was false), aborted (`aborted_reason`: circular,
    too_many_steps, loop) or failed (`error`). `trigger` names what set it going, and of one trigger
    a chain has one run. `repeats`: runs just like it, within a second, that this one stands for.
    """

    id: int
    chain_id: str
    trigger: str
    kind: TriggerKind
    outcome: str
    started_at: int
    nodes: list[NodeOutcome]
    aborted_reason: str | None = None
    error: str | None = None
    repeats: int = 0


class DryRun(msgspec.Struct):
    """What a chain would have done with stored readings. Nothing was done.

    `outcomes` counts all runs; `executions` are the newest of them. `is_whole` False: there are
    more readings in this span than are looked at.
    """

    readings: int
    outcomes: dict[str, int]
    executions: list[RuleExecution]
    is_whole: bool = True


class RuleCommand(msgspec.Struct):
    """A DEVICE_COMMAND that is to be carried out. `key` is the same for the same run and node."""

    chain: RuleChain
    device: Device
    command: dict[str, Any]  # as configured, its placeholders filled in
    key: str


CommandMaker = Callable[[Transaction, RuleCommand], Effects]


class Rules(ABC):
    """The chains of the caller's organisation, of one app.

    Reading needs the permission `telemetry.read`, changing `device.write`, running `command.send`;
    a chain that commands or publishes also needs what doing so by hand needs. A chain that does not
    exist, or is another organisation's, is NotFoundError. InvalidValueError names the field at
    fault, such as `nodes.2.config.expressions.0.operator`.
    """

    @abstractmethod
    def commands_by(self, app: str, make: CommandMaker) -> None:
        """Let `make` say what a DEVICE_COMMAND of this app's chains does; call it at the start.

        It runs within the transaction of the run, on a thread of the store, and returns effects.
        What it raises as DomainError becomes the outcome of the run, of which nothing is done then.
        """

    @abstractmethod
    def validate(self, caller: Caller, app: str, draft: RuleDraft) -> None:
        """Raise InvalidValueError, ForbiddenError unless this could be stored."""

    @abstractmethod
    async def create(
        self, caller: Caller, app: str, draft: RuleDraft, *, chain_id: str | None = None
    ) -> RuleChain:
        """Store a chain. Raises ConflictError if there is one of this id, TooManyError."""

    @abstractmethod
    async def update(
        self,
        caller: Caller,
        app: str,
        chain_id: str,
        change: Callable[[RuleDraft], RuleDraft],
        *,
        expects: Callable[[RuleChain], None] = lambda chain: None,
    ) -> RuleChain:
        """Change a chain; both are called within the transaction and may raise.

        `msgspec.structs.replace(draft, enabled=False)` is a change.
        """

    @abstractmethod
    async def delete(self, caller: Caller, app: str, chain_id: str) -> None:
        """Remove a chain, and its executions."""

    @abstractmethod
    async def get(self, caller: Caller, app: str, chain_id: str) -> RuleChain: ...

    @abstractmethod
    async def list(
        self,
        caller: Caller,
        app: str | None = None,
        *,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RuleChain]:
        """Return chains in the order they were made; `search` must occur in the name."""

    @abstractmethod
    async def run(
        self, caller: Caller, app: str, chain_id: str, *, trigger: str | None = None
    ) -> RuleExecution:
        """Run a chain now, also one that is not enabled, and return how it went.

        The same `trigger` again runs nothing and returns the first run.
        """

    @abstractmethod
    async def dry_run(
        self,
        caller: Caller,
        app: str,
        draft: RuleDraft,
        *,
        from_at: int | None = None,
        to_at: int | None = None,
        limit: int = 50,
    ) -> DryRun:
        """Say what a chain would have done with the stored readings of a span; nothing is done."""

    @abstractmethod
    async def executions(
        self,
        caller: Caller,
        app: str,
        chain_id: str | None = None,
        *,
        outcome: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RuleExecution]:
        """Return runs, newest first, of one chain or of all the app's."""

    @abstractmethod
    def woken_by(self, caller: Caller, app: str, device_id: str, key: str) -> Sequence[str]:
        """Return the ids of the enabled chains of an app that a reading would wake."""
