"""Program: a chain, made ready to run.

It touches nothing but the view: what it wants done it returns as plans, so that a dry run is the
same thing, and so is a second look at what a run saw.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fleetwire.errors import InvalidValueError
from fleetwire.features.rules.actions import Action, CannotActError, Planned
from fleetwire.features.rules.expressions import (
    MAX_DEVICE_CHARS,
    MAX_KEY_CHARS,
    Expression,
    Leaf,
    Reader,
    text_of,
)
from fleetwire.features.rules.run import View
from fleetwire.features.rules.transforms import CannotTransformError, Transform
from fleetwire.features.rules.variables import Held, Name, Variable, Variables
from fleetwire.kit.rules import NodeOutcome, RuleChain, RuleNode

MAX_STEPS: Final = 1000
MAX_NODES: Final = 1500
MAX_ACTIONS: Final = 50
KEPT_NODES: Final = 100  # of one run in the log, and whatever acts
KEPT_INPUTS: Final = 30  # of one node in the log
KEPT_CHARS: Final = 200  # of one value in the log

COMPLETED: Final = "completed"
STOPPED: Final = "stopped"
ABORTED: Final = "aborted"
FAILED: Final = "failed"
OUTCOMES: Final = (COMPLETED, STOPPED, ABORTED, FAILED)


class Finding(msgspec.Struct):
    """How a run went, and what it wants done."""

    outcome: str
    nodes: list[NodeOutcome] = []
    planned: list[Planned] = []
    aborted_reason: str | None = None
    error: str | None = None


class Filter:
    """A filter and the leaves in it."""

    __slots__ = ("expression", "leaves")

    def __init__(self, expression: Expression, leaves: Sequence[Leaf]) -> None:
        self.expression = expression
        self.leaves = leaves


class Program:
    """A chain of one organisation. `key` is our key of it, `since` the cursor that it begins at."""

    def __init__(
        self,
        key: int,
        organization_id: int,
        chain: RuleChain,
        variables: Variables,
        since: int = 0,
    ) -> None:
        """Raise InvalidValueError naming what of the chain is at fault."""
        self.key = key
        self.organization_id = organization_id
        self.chain = chain
        self.since = since
        self.own_variables = variables  # where its variables live, with others' or alone
        self.variables: dict[Variable, None] = {}  # those that wake it, in the order named
        self.held: list[tuple[Variable, Held]] = []
        self._nodes: dict[str, RuleNode] = {}
        self._parts: dict[str, Filter | Transform | Action] = {}
        nodes = chain.draft.nodes
        try:
            self._compile(nodes)
            self._start = self._first(nodes)
        except InvalidValueError:
            variables.drop(self.variables)
            raise

    @property
    def can_publish(self) -> bool:
        """Say whether one of its actions publishes."""
        return self._has("PUBLISH")

    @property
    def can_command(self) -> bool:
        """Say whether one of its actions is a command."""
        return self._has("DEVICE_COMMAND")

    def install(self) -> None:
        """Let its variables wake it."""
        for variable in self.variables:
            variable.programs[self.key] = self
        for variable, held in self.held:
            variable.held.append(held)

    def remove(self) -> None:
        """Let nothing wake it any more."""
        for variable, held in self.held:
            if held in variable.held:
                variable.held.remove(held)
        for variable in self.variables:
            if variable.programs.get(self.key) is self:
                del variable.programs[self.key]
        self.own_variables.drop(self.variables)

    def is_stopped_at_once(self, view: View) -> bool:
        """Say whether its first node is a filter that is false: how most runs end."""
        part = self._parts.get(self._start)
        return isinstance(part, Filter) and not part.expression.holds(view)

    def run(self, view: View) -> Finding:
        """Go through the chain and return how that went."""
        found = Finding(COMPLETED)
        been: set[str] = set()
        id: str | None = self._start or None
        while id is not None:
            if id in been:
                found.outcome, found.aborted_reason = ABORTED, "circular"
                break
            if len(been) >= MAX_STEPS:
                found.outcome, found.aborted_reason = ABORTED, "too_many_steps"
                break
            been.add(id)
            node = self._nodes[id]
            told = self._step(node, view, found)
            if len(found.nodes) < KEPT_NODES or node.type == "action":
                found.nodes.append(told)
            if told.outcome in (STOPPED, FAILED):
                found.outcome, found.error = told.outcome, told.error
                break
            id = node.next
        return found

    def _step(self, node: RuleNode, view: View, found: Finding) -> NodeOutcome:
        part = self._parts[node.id]
        told = NodeOutcome(node.id, node.type, "passed")
        if isinstance(part, Filter):
            leaves = part.leaves[:KEPT_INPUTS]
            told.inputs = {
                _label(leaf.variable): _kept(_value(view, leaf.variable)) for leaf in leaves
            }
            told.result = part.expression.holds(view)
            told.outcome = "passed" if told.result else STOPPED
        elif isinstance(part, Transform):
            told.inputs = {_label(each): _kept(_value(view, each)) for each in part.variables}
            try:
                changed = part.apply(view)
            except CannotTransformError as error:
                told.outcome, told.error = FAILED, str(error)
            else:
                told.outcome = "changed"
                told.result = {_label(each): value for each, value in changed.items()}
        else:
            told.inputs = {_label(each): _kept(value) for each, value in part.inputs(view)}
            try:
                planned = part.plan(node.id, view)
            except CannotActError as error:
                told.outcome, told.error = FAILED, str(error)
            else:
                found.planned.append(planned)
                told.outcome = "planned"
                told.result = {"type": planned.kind}
        return told

    # --- making it ---

    def _compile(self, nodes: Sequence[RuleNode]) -> None:
        if len(nodes) > MAX_NODES:
            raise InvalidValueError(f"a chain has at most {MAX_NODES} nodes", field="nodes")
        reader = Reader(self._take)
        fields: dict[str, str] = {}
        for place, node in enumerate(nodes):
            field = f"nodes.{place}"
            if not 1 <= len(node.id) <= MAX_KEY_CHARS or not node.id.isprintable():
                raise InvalidValueError(
                    f"id must be printable text of 1 to {MAX_KEY_CHARS} characters",
                    field=f"{field}.id",
                )
            if node.id in self._nodes:
                raise InvalidValueError(f"two nodes are {node.id!r}", field=f"{field}.id")
            self._nodes[node.id] = node
            fields[node.id] = field
        for node in nodes:
            field = fields[node.id]
            if node.next is not None and node.next not in self._nodes:
                raise InvalidValueError(
                    f"there is no node {node.next[:40]!r} in this chain", field=f"{field}.next"
                )
            if node.type == "filter":
                before = len(reader.leaves)
                expression = reader.read(node.config, f"{field}.config")
                self._parts[node.id] = Filter(expression, reader.leaves[before:])
        self.held = reader.held
        for node in nodes:  # transforms and actions may name what any filter names
            if node.type == "transform":
                self._parts[node.id] = self._transform(node, f"{fields[node.id]}.config")
        for node in nodes:
            if node.type == "action":
                config = f"{fields[node.id]}.config"
                self._parts[node.id] = Action(node.config, self._named, config)
        if sum(isinstance(part, Action) for part in self._parts.values()) > MAX_ACTIONS:
            raise InvalidValueError(f"a chain has at most {MAX_ACTIONS} actions", field="nodes")

    def _transform(self, node: RuleNode, field: str) -> Transform:
        config = node.config
        key = text_of(config, "key", MAX_KEY_CHARS, field)
        if "UUID" in config:
            app = text_of(config, "app", MAX_KEY_CHARS, field, default="")
            device_id = text_of(config, "UUID", MAX_DEVICE_CHARS, field)
            variables = [self._take(app, device_id, key)]
        else:
            variables = [each for each in self.variables if each.name.key == key]
            if not variables:
                raise InvalidValueError(
                    "no filter of this chain names such a key: say whose it is with a UUID",
                    field=f"{field}.key",
                )
        return Transform(config, variables, field)

    def _take(self, app: str, device_id: str, key: str) -> Variable:
        name = Name(self.organization_id, app or self.chain.app, device_id, key)
        variable = self.own_variables.take(name)
        self.variables[variable] = None
        return variable

    def _named(self, key: str) -> Variable | None:
        return next((each for each in self.variables if each.name.key == key), None)

    def _has(self, kind: str) -> bool:
        return any(isinstance(part, Action) and part.kind == kind for part in self._parts.values())

    def _first(self, nodes: Sequence[RuleNode]) -> str:
        """Return the node that a run begins with, "" if there are none."""
        start = self.chain.draft.start
        if start is not None:
            if start not in self._nodes:
                raise InvalidValueError(f"there is no node {start[:40]!r}", field="start")
            return start
        led_to = {node.next for node in nodes}
        for node in nodes:
            if node.id not in led_to:
                return node.id
        return nodes[0].id if nodes else ""


def _label(variable: Variable) -> str:
    return f"{variable.name.device_id}.{variable.name.key}"


def _value(view: View, variable: Variable) -> Any:
    seen = view.seen(variable)
    return None if seen is None else seen.value


def _kept(value: Any) -> Any:
    """Return a value as the log keeps it: whole if it is short."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    except RecursionError:
        return "…"
    if len(text) <= KEPT_CHARS:
        return value
    return text[:KEPT_CHARS] + "…"
