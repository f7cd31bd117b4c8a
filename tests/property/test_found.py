"""Walks that once ended badly, each shortened to what mattered."""

import pytest

from tests.property.walk import Step, failure

FOUND: dict[str, list[Step]] = {
    "a smaller Receive Maximum holds for what is sent again": [
        ("begin", [(1, "t/a", 2)]),
        ("publish", 1, "t/a", [1, 2, 1]),
        ("connect_receiver", 1, True, 1),
    ],
    "a repeated PUBREL is answered when the first is stored": [
        ("begin", [(0, "#", 2)]),
        ("publish", 0, "t/a", [2, 2]),
        ("store", True),
        ("read", 0),
        ("connect_sender", 0, True),
        ("read", 0),
        # Six packet ids in all: the first two come again.
        ("publish", 0, "t/a", [1, 1, 1, 1]),
        ("cut_power",),
        ("connect_sender", 0, True),
        ("publish", 0, "t/a", [2, 2]),
    ],
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_wrong_once_stays_right(name: str) -> None:
    assert failure(FOUND[name]) is None
