"""What a device type may say."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from fleetwire.errors import InvalidValueError
from fleetwire.features.devices.rules import MAX_STATUS_CHARS, MAX_TYPE_CHARS, check_text
from fleetwire.kit.types import CommandType, DeviceType, Metric, Parameter
from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.protocol.topics import Template

MAX_NAME_CHARS: Final = 128  # of a metric, a command, a parameter
MAX_UNIT_CHARS: Final = 32
MAX_DESCRIPTION_CHARS: Final = 500
MAX_METRICS: Final = 200
MAX_RANGES: Final = 10  # of one metric
MAX_STATES: Final = 64
MAX_COMMANDS: Final = 100
MAX_PARAMETERS: Final = 50  # of one command
MAX_CHOICES: Final = 100
MAX_CHOICE_CHARS: Final = 200
MAX_TEMPLATES: Final = 20
MAX_TEMPLATE_CHARS: Final = 200
MAX_BYTES: Final = 64 * 1024  # of a type as JSON

# A UCUM code has no blanks and is ASCII throughout; whether it means something is not looked at.
_UNIT = re.compile(r"[!-~]*", re.ASCII)


def check_type(type: DeviceType) -> None:
    """Raise InvalidValueError, naming the place, unless this is a type that can be applied."""
    check_text(type.name, "name", MAX_TYPE_CHARS)
    if "/" in type.name or type.name in (".", ".."):
        raise InvalidValueError(
            "name stands in addresses: it must not contain / or be . or ..", field="name"
        )
    _check_description(type.description, "description")
    _check_count(type.metrics, "metrics", MAX_METRICS)
    for index, metric in enumerate(type.metrics):
        _check_metric(metric, f"metrics.{index}")
    _check_once((metric.name for metric in type.metrics), "metrics")
    _check_count(type.states, "states", MAX_STATES)
    for index, state in enumerate(type.states):
        check_text(state, f"states.{index}", MAX_STATUS_CHARS)
    _check_once(type.states, "states")
    _check_count(type.commands, "commands", MAX_COMMANDS)
    for index, command in enumerate(type.commands):
        _check_command(command, f"commands.{index}")
    _check_once((command.name for command in type.commands), "commands")
    for field, templates in (("publishes", type.publishes), ("subscribes", type.subscribes)):
        _check_count(templates, field, MAX_TEMPLATES)
        for index, template in enumerate(templates):
            _check_template(template, f"{field}.{index}")
    if len(msgspec.json.encode(type)) > MAX_BYTES:
        raise InvalidValueError(f"A type must not be larger than {MAX_BYTES} bytes as JSON")


def _check_metric(metric: Metric, place: str) -> None:
    check_text(metric.name, f"{place}.name", MAX_NAME_CHARS)
    _check_description(metric.description, f"{place}.description")
    _check_unit(metric.unit, f"{place}.unit")
    _check_bounds(metric.low, metric.high, place)
    _check_count(metric.others, f"{place}.others", MAX_RANGES)
    for index, other in enumerate(metric.others):
        _check_unit(other.unit, f"{place}.others.{index}.unit")
        _check_bounds(other.low, other.high, f"{place}.others.{index}")
    _check_once((metric.unit, *(other.unit for other in metric.others)), f"{place}.others")


def _check_command(command: CommandType, place: str) -> None:
    check_text(command.name, f"{place}.name", MAX_NAME_CHARS)
    _check_description(command.description, f"{place}.description")
    parameters = command.parameters or ()
    _check_count(parameters, f"{place}.parameters", MAX_PARAMETERS)
    for index, parameter in enumerate(parameters):
        _check_parameter(parameter, f"{place}.parameters.{index}")
    _check_once((each.name for each in parameters), f"{place}.parameters")


def _check_parameter(parameter: Parameter, place: str) -> None:
    check_text(parameter.name, f"{place}.name", MAX_NAME_CHARS)
    _check_description(parameter.description, f"{place}.description")
    _check_bounds(parameter.low, parameter.high, place)
    choices = parameter.choices
    _check_count(choices, f"{place}.choices", MAX_CHOICES)
    for choice in choices:
        is_text = isinstance(choice, str)
        if is_text != (parameter.type == "text") or parameter.type not in (
            "text", "number", "integer"
        ):  # fmt: skip
            raise InvalidValueError(
                "choices are texts or numbers, as the parameter's type is", field=f"{place}.choices"
            )
        if is_text:
            check_text(str(choice), f"{place}.choices", MAX_CHOICE_CHARS)
    _check_once((str(choice) for choice in choices), f"{place}.choices")


def _check_bounds(low: float | None, high: float | None, place: str) -> None:
    for name, bound in (("low", low), ("high", high)):
        if bound is not None and not math.isfinite(bound):
            raise InvalidValueError(f"{name} must be a finite number", field=f"{place}.{name}")
    if low is not None and high is not None and low > high:
        raise InvalidValueError("low must not be above high", field=f"{place}.low")


def _check_unit(unit: str, place: str) -> None:
    if len(unit) > MAX_UNIT_CHARS or _UNIT.fullmatch(unit) is None:
        raise InvalidValueError(
            f"unit must be a UCUM code such as Cel or mm[Hg], of at most {MAX_UNIT_CHARS} ASCII "
            "characters without blanks",
            field=place,
        )


def _check_template(template: str, place: str) -> None:
    if len(template) > MAX_TEMPLATE_CHARS:
        raise InvalidValueError(
            f"a topic template must not have more than {MAX_TEMPLATE_CHARS} characters", field=place
        )
    try:
        names = Template(template).names
    except InvalidTopicError as error:
        raise InvalidValueError(str(error), field=place) from None
    if names != ("device_id",):
        raise InvalidValueError(
            "a topic template holds {device_id} once, and no other name, as in "
            "devices/{device_id}/data",
            field=place,
        )


def _check_description(text: str, place: str) -> None:
    if len(text) > MAX_DESCRIPTION_CHARS or not text.replace("\n", "").isprintable():
        raise InvalidValueError(
            f"description must be printable text of at most {MAX_DESCRIPTION_CHARS} characters",
            field=place,
        )


def _check_count(items: Sequence[object], place: str, most: int) -> None:
    if len(items) > most:
        raise InvalidValueError(f"there must not be more than {most}", field=place)


def _check_once(names: Iterable[str], place: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidValueError(f"{name[:64]!r} is named twice", field=place)
        seen.add(name)
