"""A device that comes and goes is told so once, and then when it has kept still."""

from fleetwire.features.devices.flapping import CALM_US, MOST, WINDOW_US, Flapping, Verdict


def test_it_flaps_from_a_number_of_changes_within_a_time() -> None:
    flapping = Flapping()
    verdicts = [flapping.note(1, n) for n in range(MOST + 2)]
    assert verdicts == [Verdict.PLAIN] * (MOST - 1) + [Verdict.BEGINS] + [Verdict.QUIET] * 2
    assert 1 in flapping
    assert 2 not in flapping
    assert flapping.note(2, 9) is Verdict.PLAIN


def test_changes_that_are_far_apart_are_plain() -> None:
    flapping = Flapping()
    step = WINDOW_US // (MOST - 1) + 1
    assert {flapping.note(1, n * step) for n in range(50)} == {Verdict.PLAIN}


def test_it_is_calm_once_when_it_has_kept_still() -> None:
    flapping = Flapping()
    for n in range(MOST):
        flapping.note(1, n)
    last = MOST - 1
    flapping.note(1, last + CALM_US - 1)  # moves, just before
    assert flapping.take_calm(last + CALM_US) == []
    assert flapping.take_calm(last + 2 * CALM_US - 1) == [1]
    assert flapping.take_calm(last + 3 * CALM_US) == []
    assert flapping.note(1, last + 3 * CALM_US) is Verdict.PLAIN


def test_what_is_long_ago_takes_no_memory() -> None:
    flapping = Flapping()
    for device in range(100):
        flapping.note(device, 0)
    flapping.take_calm(WINDOW_US + 1)
    assert not flapping._recent
