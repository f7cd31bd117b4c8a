"""Transforms: a variable's value, calculated anew for the nodes that follow."""

import math
import operator
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from fleetwire.errors import InvalidValueError
from fleetwire.features.rules.comparing import number_of
from fleetwire.features.rules.expressions import check_names
from fleetwire.features.rules.run import View
from fleetwire.features.rules.variables import Variable

NAMES: Final = frozenset({"key", "operation", "operand", "UUID", "app"})

_OPERATIONS: Final[MappingProxyType[str, Callable[[float, float], float]]] = MappingProxyType(
    {
        "multiply": operator.mul,
        "add": operator.add,
        "subtract": operator.sub,
        "divide": operator.truediv,
    }
)


class CannotTransformError(Exception):
    """The value is none that can be calculated with; the text says why."""


class Transform:
    """Changes the values of some variables in a view."""

    __slots__ = ("_calculate", "_operand", "variables")

    def __init__(self, config: dict[str, Any], variables: list[Variable], field: str) -> None:
        """Raise InvalidValueError naming what is at fault."""
        check_names(config, NAMES, field)
        operation = config.get("operation")
        if not isinstance(operation, str) or operation not in _OPERATIONS:
            raise InvalidValueError(
                f"operation must be one of {', '.join(_OPERATIONS)}", field=f"{field}.operation"
            )
        operand = number_of(config.get("operand"))
        if operand is None:
            raise InvalidValueError("operand must be a number", field=f"{field}.operand")
        if operation == "divide" and operand == 0:
            raise InvalidValueError("nothing can be divided by 0", field=f"{field}.operand")
        self._calculate = _OPERATIONS[operation]
        self._operand = operand
        self.variables = variables

    def apply(self, view: View) -> dict[Variable, float]:
        """Change what has a value; return the new ones. Raises CannotTransformError."""
        changed: dict[Variable, float] = {}
        for variable in self.variables:
            seen = view.seen(variable)
            if seen is None:
                continue
            number = number_of(seen.value)
            if number is None:
                raise CannotTransformError(f"{variable.name.key} is not a number")
            try:
                result = self._calculate(number, self._operand)
            except OverflowError:
                result = math.inf
            if not math.isfinite(result):
                raise CannotTransformError(f"{variable.name.key} becomes too large a number")
            changed[variable] = result
        if not changed:
            raise CannotTransformError("there is no value yet")
        for variable, value in changed.items():
            view.change(variable, value)
        return changed
