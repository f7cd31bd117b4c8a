"""Expressions: what a filter says, made once into something that can be asked."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from fleetwire.errors import InvalidValueError
from fleetwire.features.rules.operators import (
    Test,
    duration_us,
    has_duration_of_its_own,
    test_of,
)
from fleetwire.features.rules.run import View
from fleetwire.features.rules.variables import Held, Variable

MAX_DEPTH: Final = 100  # of nested AND and OR
MAX_LEAVES: Final = 500  # of one chain
MAX_KEY_CHARS: Final = 128
MAX_DEVICE_CHARS: Final = 256

_LEAF: Final = frozenset(
    {"sourceType", "UUID", "app", "key", "operator", "value", "duration", "type"}
)
_GROUP: Final = frozenset({"type", "expressions"})

Take = Callable[[str, str, str], Variable]
"""Returns the variable of an app ("" = the chain's own), a device's name and a key."""


class Expression(ABC):
    """Something that is true or false in a view."""

    __slots__ = ()

    @abstractmethod
    def holds(self, view: View) -> bool: ...


class Leaf(Expression):
    """One comparison of one variable."""

    __slots__ = ("_held", "_test", "variable")

    def __init__(self, variable: Variable, test: Test, held: Held | None) -> None:
        self.variable = variable
        self._test = test
        self._held = held

    def holds(self, view: View) -> bool:
        seen = view.seen(self.variable)
        if not self._test(seen, view.now):
            return False
        # How long it has been so is told by what devices sent, not by what a transform made of it.
        return self._held is None or (
            seen is not None and self._held.is_long_enough(seen, view.now)
        )


class All(Expression):
    """True if all of its parts are."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[Expression]) -> None:
        self._parts = parts

    def holds(self, view: View) -> bool:
        for part in self._parts:  # noqa: SIM110  # all() would be one more frame for each level
            if not part.holds(view):
                return False
        return True


class Any_(Expression):  # noqa: N801  # Any is what typing calls something else
    """True if one of its parts is."""

    __slots__ = ("_parts",)

    def __init__(self, parts: list[Expression]) -> None:
        self._parts = parts

    def holds(self, view: View) -> bool:
        for part in self._parts:  # noqa: SIM110  # see All
            if part.holds(view):
                return True
        return False


class Reader:
    """Makes expressions of one chain's filters; `leaves` and `held` are all that it made."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self.leaves: list[Leaf] = []
        self.held: list[tuple[Variable, Held]] = []

    def read(self, config: object, field: str, depth: int = 0) -> Expression:
        """Return the expression. Raises InvalidValueError naming the part at fault."""
        if not isinstance(config, dict):
            raise InvalidValueError("a filter must be an object", field=field)
        if "expressions" in config or config.get("type") in ("AND", "OR"):
            return self._group(config, field, depth)
        return self._leaf(config, field)

    def _group(self, config: dict[str, Any], field: str, depth: int) -> Expression:
        check_names(config, _GROUP, field)
        if depth >= MAX_DEPTH:
            raise InvalidValueError(f"filters are not nested deeper than {MAX_DEPTH}", field=field)
        kind, parts = config.get("type"), config.get("expressions")
        if kind not in ("AND", "OR"):
            raise InvalidValueError("type must be AND or OR", field=f"{field}.type")
        if not isinstance(parts, list) or not parts:
            raise InvalidValueError(
                "expressions must be a list of at least one", field=f"{field}.expressions"
            )
        made = [
            self.read(part, f"{field}.expressions.{place}", depth + 1)
            for place, part in enumerate(parts)
        ]
        if len(made) == 1:
            return made[0]
        return All(made) if kind == "AND" else Any_(made)

    def _leaf(self, config: dict[str, Any], field: str) -> Expression:
        check_names(config, _LEAF, field)
        if len(self.leaves) >= MAX_LEAVES:
            raise InvalidValueError(f"a chain has at most {MAX_LEAVES} comparisons", field=field)
        if config.get("sourceType") not in ("sensor", "device"):
            raise InvalidValueError(
                "sourceType must be sensor or device", field=f"{field}.sourceType"
            )
        variable = self._take(
            text_of(config, "app", MAX_KEY_CHARS, field, default=""),
            text_of(config, "UUID", MAX_DEVICE_CHARS, field),
            text_of(config, "key", MAX_KEY_CHARS, field),
        )
        test = test_of(config.get("operator"), config, field)
        held = None
        if not has_duration_of_its_own(config["operator"]):
            length = duration_us(config, field)
            if length:
                held = Held(test, length)
                self.held.append((variable, held))
        leaf = Leaf(variable, test, held)
        self.leaves.append(leaf)
        return leaf


def check_names(config: dict[str, Any], known: frozenset[str], field: str) -> None:
    """Raise InvalidValueError for a name that means nothing here: its sender would not know."""
    for name in config:
        if name not in known:
            raise InvalidValueError(
                f"{name[:40]!r} is not known here; known are {', '.join(sorted(known))}",
                field=field,
            )


def text_of(
    config: dict[str, Any], name: str, most: int, field: str, *, default: str | None = None
) -> str:
    """Return a text of the config. Raises InvalidValueError naming it."""
    said = config.get(name, default)
    is_named = isinstance(said, str) and (said != "" or default is not None)
    if not isinstance(said, str) or not is_named or len(said) > most or not said.isprintable():
        raise InvalidValueError(
            f"{name} must be printable text of 1 to {most} characters", field=f"{field}.{name}"
        )
    return said
