"""Whether the parameters of a command are as its type declares them."""

import math
from typing import Any

from fleetwire.errors import InvalidValueError
from fleetwire.kit.types import CommandType, Parameter

_WORDS = {
    "number": "a number",
    "integer": "a whole number",
    "text": "text",
    "boolean": "true or false",
    "list": "a list",
    "object": "an object",
}


def check_parameters(command: CommandType, given: dict[str, Any]) -> None:
    """Raise InvalidValueError, naming the parameter, unless these are as declared."""
    if command.parameters is None:
        return
    declared = {parameter.name: parameter for parameter in command.parameters}
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise InvalidValueError(
                f"{command.name!r} takes no parameter {name[:64]!r}; it takes: {known}",
                field=f"parameters.{name[:64]}",
            )
    for name, parameter in declared.items():
        if name in given:
            _check(parameter, given[name])
        elif parameter.required:
            raise InvalidValueError(
                f"{command.name!r} needs the parameter {name!r}", field=f"parameters.{name}"
            )


def _check(parameter: Parameter, value: Any) -> None:
    name = parameter.name
    place = f"parameters.{name}"
    if not _is_of(parameter.type, value):
        raise InvalidValueError(f"{name} must be {_WORDS[parameter.type]}", field=place)
    if parameter.choices and value not in parameter.choices:
        words = ", ".join(map(str, parameter.choices))
        raise InvalidValueError(f"{name} must be one of {words}", field=place)
    if parameter.type in ("number", "integer"):
        size, what = value, ""
    elif parameter.type in ("text", "list"):
        size, what = len(value), "the length of "
    else:
        return
    if parameter.low is not None and size < parameter.low:
        raise InvalidValueError(f"{what}{name} must be at least {parameter.low:g}", field=place)
    if parameter.high is not None and size > parameter.high:
        raise InvalidValueError(f"{what}{name} must be at most {parameter.high:g}", field=place)


def _is_of(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("number", "integer"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return isinstance(value, int) or (
            math.isfinite(value) and (kind == "number" or value.is_integer())
        )
    return isinstance(value, {"text": str, "list": list, "object": dict}[kind])
