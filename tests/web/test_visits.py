"""Who uses what is open to all, how often."""

import pytest

from fleetwire.web import visits
from fleetwire.web.visits import AddressVisits, TooManyVisitsError


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counter(clock: Clock) -> AddressVisits:
    return AddressVisits(clock)


def enter(counter: AddressVisits, remote: str, times: int, what: str = "/a") -> int:
    """Return how many of these calls were let in."""
    for done in range(times):
        try:
            counter.enter(remote, what, 6)
        except TooManyVisitsError:
            return done
    return times


def test_a_burst_is_let_in_and_then_one_every_so_often(
    counter: AddressVisits, clock: Clock
) -> None:
    assert enter(counter, "192.0.2.1", 10) == 6
    clock.at = 9.9
    assert enter(counter, "192.0.2.1", 1) == 0
    clock.at = 10.0
    assert enter(counter, "192.0.2.1", 2) == 1


def test_what_is_refused_says_when_to_come_back(counter: AddressVisits) -> None:
    enter(counter, "192.0.2.1", 6)
    with pytest.raises(TooManyVisitsError) as raised:
        counter.enter("192.0.2.1", "/a", 6)
    assert raised.value.retry_after_s == pytest.approx(10)


def test_a_long_pause_gives_no_more_than_one_burst(counter: AddressVisits, clock: Clock) -> None:
    enter(counter, "192.0.2.1", 6)
    clock.at = 1e6
    assert enter(counter, "192.0.2.1", 20) == 6


def test_addresses_and_routes_are_counted_apart(counter: AddressVisits) -> None:
    assert enter(counter, "192.0.2.1", 6) == 6
    assert enter(counter, "192.0.2.2", 6) == 6
    assert enter(counter, "192.0.2.1", 6, "/b") == 6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8::ffff:1"),  # one network, which somebody has whole
        ("fe80::1%eth0", "fe80::2"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("unix", "unix"),
    ],
)
def test_the_addresses_of_one_network_are_one(counter: AddressVisits, one: str, other: str) -> None:
    assert enter(counter, one, 6) == 6
    assert enter(counter, other, 1) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [("2001:db8::1", "2001:db8:0:1::1"), ("::ffff:192.0.2.1", "::ffff:192.0.2.2")],
)
def test_other_networks_are_others(counter: AddressVisits, one: str, other: str) -> None:
    assert enter(counter, one, 6) == 6
    assert enter(counter, other, 1) == 1


def test_only_so_many_addresses_are_remembered(
    counter: AddressVisits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "ADDRESSES_MOST", 2)
    for n in range(1, 4):
        enter(counter, f"192.0.2.{n}", 6)
    assert enter(counter, "192.0.2.3", 1) == 0
    assert enter(counter, "192.0.2.1", 1) == 1  # it was forgotten


def test_only_so_many_stay_at_a_time(counter: AddressVisits) -> None:
    with counter.stay("192.0.2.1", "/ws", 1):
        with pytest.raises(TooManyVisitsError), counter.stay("192.0.2.1", "/ws", 1):
            pass
        with counter.stay("192.0.2.2", "/ws", 1):
            pass
    with counter.stay("192.0.2.1", "/ws", 1):
        pass
