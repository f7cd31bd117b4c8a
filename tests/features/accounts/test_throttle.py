"""The wait between attempts: it grows, it ends, and it costs bounded memory."""

import pytest

from fleetwire.features.accounts.errors import TooManyAttemptsError
from fleetwire.features.accounts.throttle import (
    ENTRIES_MOST,
    FORGET_AFTER_S,
    FREE_ATTEMPTS,
    LONGEST_WAIT_S,
    Throttle,
)


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def wait_of(throttle: Throttle, name: str = "ann") -> float:
    with pytest.raises(TooManyAttemptsError) as refused:
        throttle.enter(name, "here")
    return refused.value.retry_after_s


def test_the_wait_doubles_with_each_attempt_up_to_a_bound() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(FREE_ATTEMPTS):
        throttle.enter("ann", "here")
    waits = []
    for _ in range(14):
        waits.append(wait_of(throttle))
        clock.s += waits[-1]
        throttle.enter("ann", "here")
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert waits[-1] == LONGEST_WAIT_S


def test_an_attempt_while_waiting_does_not_lengthen_the_wait() -> None:
    throttle = Throttle(Clock())
    for _ in range(FREE_ATTEMPTS):
        throttle.enter("ann", "here")
    assert [wait_of(throttle) for _ in range(10)] == [1.0] * 10


def test_success_and_time_make_it_forget() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for forget in (
        lambda: throttle.succeeded("ANN", "here"),
        lambda: setattr(clock, "s", clock.s + FORGET_AFTER_S + 1),
    ):
        for _ in range(FREE_ATTEMPTS):
            throttle.enter("ann", "here")
        wait_of(throttle)
        forget()
        for _ in range(FREE_ATTEMPTS):
            throttle.enter("ann", "here")
        throttle.succeeded("ann", "here")


def test_names_and_addresses_wait_apart() -> None:
    throttle = Throttle(Clock())
    for _ in range(FREE_ATTEMPTS):
        throttle.enter("ann", "here")
    throttle.enter("bob", "here")
    throttle.enter("ann", "there")
    wait_of(throttle)


def test_memory_is_bounded_and_who_still_tries_is_remembered() -> None:
    throttle = Throttle(Clock())
    for number in range(ENTRIES_MOST + 500):
        throttle.enter(f"{number}" + "x" * 300, "here")
        if number % 1000 == 0 and number < 5000:
            throttle.enter("ann", "here")
    assert len(throttle) == ENTRIES_MOST
    assert wait_of(throttle) == 1.0
