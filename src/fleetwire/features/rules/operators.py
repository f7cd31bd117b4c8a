"""The operators of a filter's leaf: what each expects, and when it is true.

A test is made once, when its chain is stored, and then called for each value. A variable that has
no value yet satisfies `isNull` and `isEmpty` alone.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from fleetwire.errors import InvalidValueError
from fleetwire.features.rules.comparing import are_equal, number_of, order_of
from fleetwire.features.rules.patterns import Pattern
from fleetwire.features.rules.seen import Seen
from fleetwire.kit import instants
from fleetwire.kit.durations import parse_duration

MAX_CHOICES: Final = 100
MAX_MEMBERS: Final = 1000  # of a value that is a list; a longer one has none of anything

Test = Callable[[Seen | None, int], bool]
"""Says whether a value, or None, is as a leaf wants it at an instant."""

OfValue = Callable[[Any], bool]


def test_of(operator: object, leaf: dict[str, Any], field: str) -> Test:
    """Return the test of a leaf. Raises InvalidValueError naming what of it is at fault."""
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise InvalidValueError(
            f"operator must be one of {' '.join(OPERATORS)}", field=f"{field}.operator"
        )
    return OPERATORS[operator](leaf, field)


def has_duration_of_its_own(operator: str) -> bool:
    """Say whether the leaf's `duration` is what the operator compares with."""
    return operator in _AGES or operator in _AGES_OF_VALUES


def duration_us(leaf: dict[str, Any], field: str) -> int | None:
    """Return the leaf's duration in microseconds. Raises InvalidValueError."""
    said = leaf.get("duration")
    if said is None:
        return None
    if not isinstance(said, (str, int, float)) or isinstance(said, bool):
        raise InvalidValueError(
            "duration must be a length of time such as 10s, 5m, 2h or 1d", field=f"{field}.duration"
        )
    return round(parse_duration(str(said), f"{field}.duration") * 1e6)


def _present(test: OfValue) -> Test:
    return lambda seen, now: seen is not None and test(seen.value)


def _expected(leaf: dict[str, Any], field: str) -> Any:
    if leaf.get("value") is None:
        raise InvalidValueError("the operator needs a value", field=f"{field}.value")
    return leaf["value"]


def _ordered(holds: Callable[[float, float], bool]) -> Callable[[dict[str, Any], str], Test]:
    def make(leaf: dict[str, Any], field: str) -> Test:
        expected = _expected(leaf, field)
        number = number_of(expected)
        if number is None and not isinstance(expected, str):
            raise InvalidValueError("value must be a number or text", field=f"{field}.value")

        def is_number_so(seen: Seen | None, now: int) -> bool:
            if seen is None:
                return False
            value = seen.value
            if value.__class__ is not float and value.__class__ is not int:
                value = number_of(value)
            return value is not None and number is not None and holds(value, number)

        def is_text_so(seen: Seen | None, now: int) -> bool:
            return (
                seen is not None
                and isinstance(seen.value, str)
                and holds(order_of(seen.value, expected), 0)
            )

        return is_text_so if number is None else is_number_so

    return make


def _equal(leaf: dict[str, Any], field: str) -> Test:
    expected = _expected(leaf, field)
    return _present(lambda value: are_equal(value, expected))


def _unequal(leaf: dict[str, Any], field: str) -> Test:
    expected = _expected(leaf, field)
    return _present(lambda value: not are_equal(value, expected))


def _between(leaf: dict[str, Any], field: str) -> Test:
    said = _expected(leaf, field)
    if isinstance(said, dict):
        said = [said.get("min"), said.get("max")]
    bounds = [number_of(each) for each in said] if isinstance(said, list) else []
    if len(bounds) != 2 or bounds[0] is None or bounds[1] is None or bounds[0] > bounds[1]:
        raise InvalidValueError(
            "value must be two numbers, the lower one first", field=f"{field}.value"
        )
    low, high = bounds[0], bounds[1]

    def test(value: Any) -> bool:
        number = number_of(value)
        return number is not None and low <= number <= high

    return _present(test)


def _text(holds: Callable[[str, str], bool]) -> Callable[[dict[str, Any], str], Test]:
    def make(leaf: dict[str, Any], field: str) -> Test:
        expected = _expected(leaf, field)
        if isinstance(expected, (list, dict)):
            raise InvalidValueError("value must be text", field=f"{field}.value")
        part = _as_text(expected)
        return _present(lambda value: not _is_structure(value) and holds(_as_text(value), part))

    return make


def _holds_part(value: Any, expected: Any) -> bool | None:
    """Say whether a list has a member, or text a part; None for what has neither."""
    if isinstance(value, list):
        return any(are_equal(each, expected) for each in value)
    if isinstance(value, dict):
        return None
    return _as_text(expected) in _as_text(value)


def _contains(wanted: bool) -> Callable[[dict[str, Any], str], Test]:
    def make(leaf: dict[str, Any], field: str) -> Test:
        expected = _expected(leaf, field)
        return _present(lambda value: _holds_part(value, expected) is wanted)

    return make


def _matches(leaf: dict[str, Any], field: str) -> Test:
    expected = _expected(leaf, field)
    if not isinstance(expected, str):
        raise InvalidValueError("value must be a pattern", field=f"{field}.value")
    pattern = Pattern(expected, f"{field}.value")
    return _present(lambda value: not _is_structure(value) and pattern.is_in(_as_text(value)))


def _choices(leaf: dict[str, Any], field: str) -> list[Any]:
    said = _expected(leaf, field)
    if not isinstance(said, list) or len(said) > MAX_CHOICES:
        raise InvalidValueError(
            f"value must be a list of at most {MAX_CHOICES}", field=f"{field}.value"
        )
    return said


def _among(wanted: bool) -> Callable[[dict[str, Any], str], Test]:
    def make(leaf: dict[str, Any], field: str) -> Test:
        choices = _choices(leaf, field)
        return _present(lambda value: any(are_equal(value, each) for each in choices) is wanted)

    return make


def _members(holds: Callable[[list[bool]], bool]) -> Callable[[dict[str, Any], str], Test]:
    def make(leaf: dict[str, Any], field: str) -> Test:
        choices = _choices(leaf, field)

        def test(value: Any) -> bool:
            if not isinstance(value, list) or len(value) > MAX_MEMBERS:
                return False
            return holds([any(are_equal(each, one) for each in value) for one in choices])

        return _present(test)

    return make


def _is(holds: OfValue) -> Callable[[dict[str, Any], str], Test]:
    return lambda leaf, field: _present(holds)


def _length(leaf: dict[str, Any], field: str) -> int:
    """Return the duration of an operator that compares with one: `duration`, or else `value`."""
    length = duration_us(leaf, field)
    if length is not None:
        return length
    said = _expected(leaf, field)
    if not isinstance(said, (str, int, float)) or isinstance(said, bool):
        raise InvalidValueError(
            "value must be a length of time such as 10s, 5m, 2h or 1d", field=f"{field}.value"
        )
    return round(parse_duration(str(said), f"{field}.value") * 1e6)


def _age(holds: Callable[[int, int], bool]) -> Callable[[dict[str, Any], str], Test]:
    def make(leaf: dict[str, Any], field: str) -> Test:
        length = _length(leaf, field)
        return lambda seen, now: seen is not None and holds(now - seen.at, length)

    return make


def _age_of_value(holds: Callable[[int, int], bool]) -> Callable[[dict[str, Any], str], Test]:
    def make(leaf: dict[str, Any], field: str) -> Test:
        length = _length(leaf, field)

        def test(seen: Seen | None, now: int) -> bool:
            if seen is None:
                return False
            try:
                at = instants.parse(seen.value)
            except InvalidValueError:
                return False
            return holds(now - at, length)

        return test

    return make


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value}"


def _is_structure(value: Any) -> bool:
    return isinstance(value, (list, dict))


def _is_older(age: int, length: int) -> bool:
    return age > length


def _is_newer(age: int, length: int) -> bool:
    return age < length


def _is_in_last(age: int, length: int) -> bool:
    return 0 <= age <= length


_AGES: Final = MappingProxyType(
    {
        "olderThan": _age(_is_older),
        "newerThan": _age(_is_newer),
        "inLast": _age(_is_in_last),
    }
)
_AGES_OF_VALUES: Final = MappingProxyType(
    {
        "valueOlderThan": _age_of_value(_is_older),
        "valueNewerThan": _age_of_value(_is_newer),
        "valueInLast": _age_of_value(_is_in_last),
    }
)

OPERATORS: Final = MappingProxyType(
    {
        ">": _ordered(lambda one, other: one > other),
        ">=": _ordered(lambda one, other: one >= other),
        "<": _ordered(lambda one, other: one < other),
        "<=": _ordered(lambda one, other: one <= other),
        "==": _equal,
        "!=": _unequal,
        "between": _between,
        "contains": _contains(True),
        "notContains": _contains(False),
        "startsWith": _text(str.startswith),
        "endsWith": _text(str.endswith),
        "matches": _matches,
        "in": _among(True),
        "notIn": _among(False),
        "hasAll": _members(all),
        "hasAny": _members(any),
        "hasNone": _members(lambda found: not any(found)),
        "isNull": lambda leaf, field: lambda seen, now: seen is None or seen.value is None,
        "isNotNull": _is(lambda value: value is not None),
        "isEmpty": lambda leaf, field: (
            lambda seen, now: seen is None or seen.value in (None, "", [], {})
        ),
        "isNotEmpty": _is(lambda value: value not in (None, "", [], {})),
        "isNumber": _is(lambda value: type(value) in (int, float)),
        "isString": _is(lambda value: isinstance(value, str)),
        "isBoolean": _is(lambda value: isinstance(value, bool)),
        "isArray": _is(lambda value: isinstance(value, list)),
        **_AGES,
        **_AGES_OF_VALUES,
    }
)
