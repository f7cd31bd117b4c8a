"""Lines that many clients can cause: written once in a while, and counted."""

from fleetwire.net.repeats import Repeats


def test_the_same_address_and_reason_is_written_once_in_ten_seconds() -> None:
    repeats = Repeats()
    assert repeats.note("10.0.0.1:5", "wrong password", 0.0) == 0
    assert [repeats.note(f"10.0.0.1:{port}", "wrong password", 9.9) for port in range(3)] == [
        None
    ] * 3
    assert repeats.note("10.0.0.1:9", "wrong password", 10.0) == 3


def test_another_address_and_another_reason_have_lines_of_their_own() -> None:
    repeats = Repeats()
    assert repeats.note("10.0.0.1:5", "wrong password", 0.0) == 0
    assert repeats.note("10.0.0.2:5", "wrong password", 0.0) == 0
    assert repeats.note("10.0.0.1:5", "expired", 0.0) == 0


def test_what_was_left_out_last_is_told_when_nothing_comes_any_more() -> None:
    repeats = Repeats()
    for _ in range(3):
        repeats.note("[::1]:5", "expired", 0.0)
    repeats.note("10.0.0.1:5", "expired", 1.0)
    assert repeats.take_overdue(9.0) == []
    assert repeats.take_overdue(11.0) == [("[::1]", "expired", 2)]
    assert repeats.take_overdue(11.0) == []


def test_a_flood_from_many_addresses_fills_no_memory_and_is_counted() -> None:
    repeats = Repeats(remembered=4)
    for turn in range(2):
        for host in range(100):
            repeats.note(f"10.0.0.{host}:{turn}", "expired", 0.0)
            repeats.note(f"10.0.0.{host}:{turn}", "expired", 0.0)
    assert len(repeats._lines) == 4
    assert sum(left_out for _, _, left_out in repeats.take_overdue(20.0)) == 200
