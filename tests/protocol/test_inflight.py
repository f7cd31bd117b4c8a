"""Packet identifiers."""

import pytest

from fleetwire.protocol.errors import PacketIdsExhaustedError
from fleetwire.protocol.inflight import PacketIds


def test_ids_come_in_turn_and_a_released_one_last() -> None:
    ids = PacketIds()
    assert [ids.allocate() for _ in range(3)] == [1, 2, 3]
    ids.release(2)
    assert ids.allocate() == 4
    assert 2 not in ids
    assert 4 in ids
    assert len(ids) == 3


def test_ids_begin_again_after_the_largest_and_step_over_those_in_use() -> None:
    ids = PacketIds()
    for _ in range(65_535):
        ids.allocate()
    ids.release(1)
    ids.release(700)
    assert [ids.allocate(), ids.allocate()] == [1, 700]


def test_no_id_is_given_twice_and_running_out_is_an_error() -> None:
    ids = PacketIds()
    assert {ids.allocate() for _ in range(65_535)} == set(range(1, 65_536))
    with pytest.raises(PacketIdsExhaustedError):
        ids.allocate()
    ids.release(9)
    assert ids.allocate() == 9


def test_releasing_an_unused_id_is_no_error() -> None:
    ids = PacketIds()
    ids.release(5)
    assert len(ids) == 0


def test_a_claimed_id_is_in_use_and_the_next_ones_come_after_it() -> None:
    ids = PacketIds()
    assert ids.claim(65_534)
    assert ids.claim(7)
    assert ids.claim(65_535)
    assert 7 in ids
    assert [ids.allocate() for _ in range(7)] == [1, 2, 3, 4, 5, 6, 8]


def test_an_id_is_claimed_once_until_it_is_released() -> None:
    ids = PacketIds()
    assert ids.claim(ids.allocate()) is False
    assert ids.claim(9)
    assert ids.claim(9) is False
    ids.release(9)
    assert ids.claim(9)
