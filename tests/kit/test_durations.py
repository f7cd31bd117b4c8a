"""Lengths of time as people write them."""

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.kit.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1.5h", 5400),
        ("7", 7),
        (" 1 w ", 604800),
        ("250ms", 0.25),
    ],
)
def test_a_length_is_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1y", "1e3", "nan", "5 minutes", "9" * 10, "٣s"])
def test_what_is_no_length_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse_duration(text, "wait")
    assert caught.value.field == "wait"
