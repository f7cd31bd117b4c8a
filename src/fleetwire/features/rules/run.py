"""Run: one way through a chain, and what its nodes see on it."""

from typing import Any

import msgspec

from fleetwire.features.rules.seen import Seen
from fleetwire.features.rules.variables import Variable
from fleetwire.kit.device import Device
from fleetwire.kit.rules import TriggerKind


class Trigger(msgspec.Struct):
    """What sets chains going. `values` are the variables that came with it, as they came.

    `depth`: through how many chains' doings it came about; 0 = none. `cursor` is the last reading's
    place in the order of commits, 0 if there is none.
    """

    id: str
    kind: TriggerKind
    at: int  # microseconds UTC: what nodes take for now
    values: dict[Variable, Seen] = {}
    device: Device | None = None
    cursor: int = 0
    depth: int = 0
    actor: str = ""  # who set it going by hand


class View:
    """The values as one run sees them: those of its trigger, else the newest, as transformed."""

    __slots__ = ("_over", "now", "trigger")

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.now = trigger.at
        self._over: dict[Variable, Seen] = trigger.values

    def seen(self, variable: Variable) -> Seen | None:
        """Return the value of a variable."""
        return self._over.get(variable) or variable.seen

    def change(self, variable: Variable, value: Any) -> None:
        """Give a variable another value for the nodes that follow."""
        if self._over is self.trigger.values:
            self._over = dict(self._over)
        seen = self.seen(variable)
        at, received_at = (self.now, self.now) if seen is None else (seen.at, seen.received_at)
        self._over[variable] = Seen(value, at, received_at)
