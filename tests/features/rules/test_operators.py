"""Each operator of the contract, with values as devices send them."""

import time
from typing import Any

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.features.rules.operators import OPERATORS, test_of as make_test
from fleetwire.features.rules.seen import Seen

NOW = 1_000_000_000_000_000
SECOND = 1_000_000

CONTRACT = (
    "> >= < <= == != between contains notContains startsWith endsWith matches in notIn hasAll "
    "hasAny hasNone isNull isNotNull isEmpty isNotEmpty isNumber isString isBoolean isArray "
    "olderThan newerThan inLast valueOlderThan valueNewerThan valueInLast"
)


def holds(operator: str, expected: Any, seen: Any, *, age_s: float = 0, **leaf: Any) -> bool:
    test = make_test(operator, {"operator": operator, "value": expected, **leaf}, "config")
    at = NOW - round(age_s * SECOND)
    return test(None if seen is None else Seen(seen, at, at), NOW)


def test_there_are_the_operators_of_the_contract_and_no_others() -> None:
    assert set(OPERATORS) == set(CONTRACT.split())


@pytest.mark.parametrize(
    ("operator", "expected", "true_for", "false_for"),
    [
        (">", 30, [30.1, 31, "31"], [30, 29, "29", "warm", True, [31], {}]),
        (">=", "30", [30, 30.0, "30"], [29.9, "cold"]),
        ("<", 0, [-1, "-0.5"], [0, 1, "x", False]),
        ("<=", 0, [0, -0.0, False, "0"], [1, True]),
        (">", "b", ["c"], ["a", "b"]),
        ("==", 0, [0, 0.0, "0", False], [1, True, "", "zero", "false", [], {}]),
        ("==", False, [False, 0, "false", "FALSE"], [True, 1, "no", 2, ""]),
        ("==", "on", ["on"], ["ON", "off", 1, True]),
        ("==", [1, 2], [[1, 2]], [[2, 1], "1,2"]),
        ("!=", 0, [1, "x", True], [0, "0", False]),
        ("between", [10, 20], [10, 20, 15.5, "11"], [9.99, 20.01, "x", [15]]),
        ("between", {"min": 10, "max": 20}, [10], [21]),
        ("contains", "ar", ["alarm", "ar"], ["ALARM", 5, {"ar": 1}, ["alarm"]]),
        ("contains", 5, [[1, 5], ["5"], 151, "a5"], [[1, 2], {}, 6]),
        ("notContains", "ar", ["x", ["alarm"]], ["alarm", ["ar"], {}]),
        ("startsWith", "al", ["alarm"], ["an alarm", ["al"]]),
        ("endsWith", "m", ["alarm"], ["alarms", 5]),
        ("matches", "^a.*m$", ["alarm", "am"], ["an alarms", ["alarm"]]),
        ("matches", "[0-9]{3}", ["x123", 123], ["12"]),
        ("in", [1, "on"], [1, "1", True, "on"], [0, "off", [1]]),
        ("notIn", [1, "on"], [0, "off"], [1, "on"]),
        ("hasAll", [1, 2], [[2, 1, 3], ["1", 2]], [[1], [], "12", 12]),
        ("hasAny", [1, 2], [[2]], [[3], [], 2]),
        ("hasNone", [1, 2], [[3], []], [[1], 3]),
        ("isNotNull", None, [0, False, "", []], []),
        ("isEmpty", None, ["", [], {}], [0, False, " ", [0]]),
        ("isNotEmpty", None, [0, False, "x", [0]], ["", [], {}]),
        ("isNumber", None, [0, 1.5], ["1", True, []]),
        ("isString", None, ["", "1"], [1, True]),
        ("isBoolean", None, [True, False], [0, "true"]),
        ("isArray", None, [[], [1]], ["[]", {}]),
        ("isNull", None, [], [0, False, "", []]),
    ],
)
def test_what_an_operator_is_true_for(
    operator: str, expected: Any, true_for: list[Any], false_for: list[Any]
) -> None:
    assert [seen for seen in true_for if not holds(operator, expected, seen)] == []
    assert [seen for seen in false_for if holds(operator, expected, seen)] == []


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_a_variable_without_a_value_is_null_and_empty_and_nothing_else(operator: str) -> None:
    expected: Any = [1, 2] if operator in ("between", "in", "notIn") else "1s"
    if operator.startswith("has"):
        expected = [1]
    assert holds(operator, expected, None) == (operator in ("isNull", "isEmpty"))


@pytest.mark.parametrize(
    ("operator", "old", "new"),
    [("olderThan", True, False), ("newerThan", False, True), ("inLast", False, True)],
)
def test_how_old_a_value_is(operator: str, old: bool, new: bool) -> None:
    assert holds(operator, "5m", 1, age_s=301) == old
    assert holds(operator, None, 1, age_s=299, duration="5m") == new
    assert holds("inLast", "5m", 1, age_s=300)
    assert not holds("inLast", "5m", 1, age_s=-1)  # it is of the future


def test_a_value_that_is_an_instant_itself() -> None:
    an_hour_ago = NOW // SECOND - 3600
    assert holds("valueOlderThan", "59m", an_hour_ago)
    assert not holds("valueOlderThan", "1h", an_hour_ago)
    assert holds("valueNewerThan", "61m", an_hour_ago)
    assert holds("valueInLast", "1h", str(an_hour_ago))
    assert holds("valueInLast", "1d", "2001-09-09T01:00:00Z") == holds("valueInLast", "1d", NOW)
    assert not holds("valueOlderThan", "1s", "yesterday")


@pytest.mark.parametrize(
    ("operator", "expected", "field"),
    [
        ("is", 1, "config.operator"),
        (None, 1, "config.operator"),
        (">", None, "config.value"),
        (">", [1], "config.value"),
        ("between", [1], "config.value"),
        ("between", [2, 1], "config.value"),
        ("between", [1, "x"], "config.value"),
        ("in", "abc", "config.value"),
        ("in", list(range(101)), "config.value"),
        ("matches", 5, "config.value"),
        ("matches", "(", "config.value"),
        ("matches", r"(a)\1", "config.value"),
        ("matches", "x" * 501, "config.value"),
        ("matches", "((a{1000}){1000}){1000}", "config.value"),
        ("olderThan", "soon", "config.value"),
        ("startsWith", {}, "config.value"),
    ],
)
def test_what_an_operator_cannot_use_is_refused_by_name(
    operator: Any, expected: Any, field: str
) -> None:
    with pytest.raises(InvalidValueError) as refused:
        make_test(operator, {"operator": operator, "value": expected}, "config")
    assert refused.value.field == field


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){300}a{300}"],
)
def test_no_pattern_makes_matches_slow(pattern: str) -> None:
    began = time.perf_counter()
    holds("matches", pattern, "a" * 8000 + "!")
    assert time.perf_counter() - began < 1  # `re` takes longer than the universe is old


def test_text_that_is_too_long_matches_nothing() -> None:
    assert holds("matches", "a", "a" * 8192)
    assert not holds("matches", "a", "a" * 8193)
