"""Pages of names: in order, whole, and never more work than is bounded."""

import random

import pytest
from hypothesis import given, strategies as st

from fleetwire.errors import InvalidValueError
from fleetwire.features.broker import names
from fleetwire.features.broker.names import page_of


def every_page(given_names: list[str], may_see: set[str], limit: int) -> list[list[str]]:
    pages = []
    cursor = None
    while True:
        page = page_of(given_names, may_see.__contains__, limit, cursor)
        pages.append(page.items)
        cursor = page.next_cursor
        if cursor is None:
            return pages


@given(
    st.sets(st.text(min_size=1, max_size=4), max_size=30), st.integers(1, 7), st.integers(0, 2**32)
)
def test_all_pages_together_are_what_may_be_seen_in_order(
    all_names: set[str], limit: int, seed: int
) -> None:
    shuffled = sorted(all_names)
    random.Random(seed).shuffle(shuffled)
    visible = set(shuffled[::2])
    pages = every_page(shuffled, visible, limit)
    assert [name for page in pages for name in page] == sorted(visible)
    assert all(len(page) <= limit for page in pages)


def test_a_page_judges_a_bounded_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "EXAMINED_MOST", 10)
    judged: list[str] = []

    def is_last(name: str) -> bool:
        judged.append(name)
        return name == "024"

    everything = [f"{number:03}" for number in range(25)]
    first = page_of(everything, is_last, 5, None)
    assert (first.items, len(judged)) == ([], 10)
    assert first.next_cursor is not None
    assert every_page(everything, {"024"}, 5) == [[], [], ["024"]]


@pytest.mark.parametrize("cursor", ["é", "a", "gICA", "_w"])
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        page_of([], lambda name: True, 5, cursor)
    assert refused.value.field == "cursor"
