"""Credit that grows with time, and what one client may spend of it."""

import pytest
from hypothesis import given, strategies as st

from fleetwire.net.meter import SMALLEST_READ, FlowLimits, Meter, TokenBucket

rates = st.floats(0.1, 1e6)
bursts = st.floats(1, 1e6)
pauses = st.floats(0, 1000)


def test_a_new_bucket_gives_its_burst_at_once_and_not_one_more() -> None:
    bucket = TokenBucket(3, 7)
    assert [bucket.take(5.0) for _ in range(8)] == [True] * 7 + [False]


def test_a_bucket_gives_its_rate_when_the_burst_is_spent() -> None:
    bucket = TokenBucket(2, 2)
    assert bucket.take(0.0, 2)
    assert not bucket.take(0.4)
    assert bucket.take(0.5)
    assert bucket.take(1.0)


def test_a_refused_amount_costs_nothing() -> None:
    bucket = TokenBucket(1, 5)
    assert not bucket.take(0.0, 6)
    assert bucket.take(0.0, 5)


@given(rates, bursts, st.lists(st.tuples(pauses, st.floats(0.1, 100)), max_size=60))
def test_never_more_than_rate_times_time_and_burst_is_taken(
    rate: float, burst: float, asked: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(rate, burst)
    now = taken = 0.0
    for pause, amount in asked:
        now += pause
        if bucket.take(now, amount):
            taken += amount
        assert taken <= (rate * now + burst) * (1 + 1e-9)


@given(rates, bursts, st.lists(st.tuples(pauses, st.floats(0.1, 1e6)), max_size=60))
def test_who_rests_as_told_overdraws_by_one_amount_at_most(
    rate: float, burst: float, spent: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(rate, burst)
    now = total = 0.0
    for pause, amount in spent:
        now += pause
        assert total <= (rate * now + burst) * (1 + 1e-6) + 1e-6  # before: nothing is owed
        total += amount
        now += bucket.spend(now, amount)


@given(rates, bursts, st.floats(0, 1e6), pauses)
def test_the_rest_ends_exactly_when_nothing_is_owed(
    rate: float, burst: float, amount: float, now: float
) -> None:
    bucket = TokenBucket(rate, burst)
    rest_s = bucket.spend(now, amount)
    assert rest_s == pytest.approx(max(0.0, (amount - burst) / rate))
    if rest_s:
        slack = 1e-6 * (amount + rate * now)
        assert bucket.credit(now + rest_s) == pytest.approx(0.0, abs=slack)
        assert bucket.credit(now + rest_s / 2) < slack


@given(bursts, st.floats(1e3, 1e9))
def test_a_long_silence_saves_up_no_more_than_the_burst(burst: float, silence: float) -> None:
    bucket = TokenBucket(10, burst)
    bucket.spend(0.0, burst)
    assert bucket.credit(silence * burst) == burst


def test_without_limits_there_is_no_meter() -> None:
    assert FlowLimits().meter() is None


def test_the_longer_of_both_rests_counts() -> None:
    meter = Meter(FlowLimits(messages_per_s=10, bytes_per_s=1000, burst_s=1))
    assert meter.spend(0.0, 1000, 10) == 0.0
    assert meter.spend(0.0, 500, 20) == pytest.approx(2.0)  # messages
    assert meter.spend(2.0, 6000, 11) == pytest.approx(5.0)  # bytes, from a full credit


def test_a_read_without_messages_costs_bytes_only() -> None:
    meter = Meter(FlowLimits(messages_per_s=1, burst_s=1))
    assert meter.spend(0.0, 1_000_000, 0) == 0.0
    assert meter.spend(0.0, 10, 1) == 0.0


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (FlowLimits(bytes_per_s=100), SMALLEST_READ),
        (FlowLimits(bytes_per_s=20_000), 20_000),
        (FlowLimits(messages_per_s=1000), 16_000),
        (FlowLimits(messages_per_s=1000, bytes_per_s=5_000), 5_000),
    ],
)
def test_one_read_is_about_a_seconds_worth(limits: FlowLimits, most: int) -> None:
    assert Meter(limits).read_bytes == most
