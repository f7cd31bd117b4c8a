"""What can become of a command."""

from fleetwire.features.commands.states import (
    ALL,
    CANCELLED,
    DELIVERED,
    EXPIRED,
    FAILED,
    FINAL,
    GIVEN_UP,
    QUEUED,
    REJECTED,
    SENT,
    SOURCES,
    SUCCEEDED,
    is_outcome,
)


def test_nothing_becomes_of_a_final_state_but_what_the_device_says_of_what_was_given_up() -> None:
    outcomes = {SUCCEEDED, FAILED, REJECTED}
    for state, sources in SOURCES.items():
        assert sources & FINAL == (GIVEN_UP if state in outcomes else frozenset())


def test_every_state_can_be_reached() -> None:
    assert set(SOURCES) == ALL
    reached, last = {QUEUED}, set[str]()
    while reached != last:
        last = set(reached)
        reached |= {state for state, sources in SOURCES.items() if sources & reached}
    assert reached == set(SOURCES)


def test_delivered_never_goes_back() -> None:
    assert DELIVERED not in SOURCES[QUEUED] | SOURCES[SENT] | SOURCES[CANCELLED]


def test_delivery_is_the_outcome_only_where_no_answer_comes() -> None:
    assert is_outcome(DELIVERED, answers=False)
    assert not is_outcome(DELIVERED, answers=True)
    assert not is_outcome(SENT, answers=False)
    assert all(is_outcome(state, answers=True) for state in (SUCCEEDED, FAILED, EXPIRED, CANCELLED))
