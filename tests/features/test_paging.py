"""Cursors."""

import pytest

from fleetwire.errors import InvalidValueError
from fleetwire.features.paging import check_limit, decode_cursor, encode_cursor


@pytest.mark.parametrize("keys", [(0,), (2**63 - 1, 1), (-(2**63), 7)])
def test_a_cursor_comes_back_and_fits_a_url(keys: tuple[int, ...]) -> None:
    cursor = encode_cursor(*keys)
    assert decode_cursor(cursor, len(keys)) == keys
    assert set(cursor) & set("+/=&?") == set()


@pytest.mark.parametrize("cursor", ["", "x", "ü", "====", "A" * 10_000])
def test_anything_else_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidValueError) as error:
        decode_cursor(cursor, 2)
    assert error.value.field == "cursor"


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidValueError):
        decode_cursor(encode_cursor(1), 2)


def test_limits_are_bounded() -> None:
    assert check_limit(1000) == 1000
    for limit in (0, 1001):
        with pytest.raises(InvalidValueError):
            check_limit(limit)
