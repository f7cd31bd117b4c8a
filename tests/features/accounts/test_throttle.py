"""The wait between attempts: it grows, it ends, and it costs bounded memory."""

import pytest

from fleetwire.features.accounts.errors import TooManyAttemptsError
from fleetwire.features.accounts.throttle import (
    ENTRIES_MOST,
    FORGET_AFTER_S,
    FREE_ATTEMPTS,
    FREE_OF_NAME,
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


def _fails(throttle: Throttle, name: str, remote: str) -> bool:
    try:
        throttle.enter_login(name, remote)
    except TooManyAttemptsError:
        return True
    return False


def test_who_signed_in_from_here_does_not_wait_for_what_others_try_elsewhere() -> None:
    throttle = Throttle(Clock())
    throttle.enter_login("ann", "192.0.2.1")
    throttle.logged_in("ann", "192.0.2.1")
    for number in range(FREE_OF_NAME + 1):
        _fails(throttle, "ann", f"198.51.100.{number}")
    assert _fails(throttle, "ann", "203.0.113.1")
    assert not _fails(throttle, "ann", "192.0.2.1")
    throttle.logged_in("ann", "192.0.2.1")
    assert _fails(throttle, "ann", "203.0.113.1")  # which is no reason to let others try again


def test_where_somebody_signed_in_from_guessing_is_slow_too() -> None:
    throttle = Throttle(Clock())
    throttle.enter_login("ann", "192.0.2.1")
    throttle.logged_in("ann", "192.0.2.1")
    outcomes = [_fails(throttle, "ann", "192.0.2.1") for _ in range(FREE_ATTEMPTS + 1)]
    assert outcomes == [False] * FREE_ATTEMPTS + [True]


@pytest.mark.parametrize(
    ("other", "is_the_same"),
    [
        ("2001:db8:0:1:ffff::1", True),
        ("2001:db8:0:1::2%eth0", True),
        ("2001:db8:0:2::1", False),
        ("192.0.2.1", False),
    ],
)
def test_all_of_a_small_ipv6_network_is_one_address(other: str, is_the_same: bool) -> None:
    throttle = Throttle(Clock())
    for _ in range(FREE_ATTEMPTS):
        throttle.enter("ann", "2001:db8:0:1::1")
    try:
        throttle.enter("ann", other)
    except TooManyAttemptsError:
        assert is_the_same
    else:
        assert not is_the_same


def test_an_ipv4_address_written_as_ipv6_is_itself() -> None:
    throttle = Throttle(Clock())
    for _ in range(FREE_ATTEMPTS):
        throttle.enter("ann", "::ffff:192.0.2.1")
    with pytest.raises(TooManyAttemptsError):
        throttle.enter("ann", "192.0.2.1")
    throttle.enter("ann", "::ffff:192.0.2.2")
