"""Values there and back again."""

import math
from typing import Any

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.features.telemetry.values import (
    KIND_BOOL,
    KIND_JSON,
    KIND_NUMBER,
    KIND_TEXT,
    decode_value,
    encode_value,
)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, KIND_NUMBER),
        (-7, KIND_NUMBER),
        (36.6, KIND_NUMBER),
        (5e-324, KIND_NUMBER),
        (1.7976931348623157e308, KIND_NUMBER),
        (2**53, KIND_NUMBER),
        (2**53 + 1, KIND_JSON),
        (-(2**200), KIND_JSON),
        (True, KIND_BOOL),
        (False, KIND_BOOL),
        ("", KIND_TEXT),
        ("HI", KIND_TEXT),
        ("ünïcode\0", KIND_TEXT),
        ([], KIND_JSON),
        ([1, 2.5, None, "x"], KIND_JSON),
        ({"a": {"b": [True]}}, KIND_JSON),
    ],
)
def test_a_value_comes_back_as_it_was(value: Any, kind: int) -> None:
    encoded = encode_value(value)
    assert encoded[0] == kind
    back = decode_value(encoded[0], encoded[1], encoded[3])
    assert back == value
    assert isinstance(back, bool) == isinstance(value, bool)


def test_values_that_differ_differ_in_the_index() -> None:
    values = [0, 1, True, False, "0", "1", "true", "", [], {}, [0], {"a": 0}, 2**60, str(2**60)]
    keys = {encode_value(value)[1:3] for value in values}
    assert len(keys) == len(values)


def test_the_same_structure_has_the_same_digest_in_any_order_of_fields() -> None:
    assert encode_value({"a": 1, "b": [2]}) == encode_value({"b": [2], "a": 1})


def test_digests_fit_a_signed_64_bit_column() -> None:
    digests = [encode_value(str(n))[2] for n in range(1000)]
    assert all(-(2**63) <= digest < 2**63 and digest not in (0, 1) for digest in digests)
    assert min(digests) < 0 < max(digests)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, None, [math.nan], {"a": math.inf}, object(), "\ud800", [b"x"]],
)
def test_what_cannot_be_stored_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValueError) as error:
        encode_value(value)
    assert error.value.field == "value"


def test_endless_nesting_and_endless_digits_are_refused() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    for value in (nested, 10**5000):
        with pytest.raises(InvalidValueError):
            encode_value(value)
