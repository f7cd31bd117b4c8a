"""Order, at least once, exactly once: whatever clients do, and whenever the power fails.

`PROPERTY_EXAMPLES=5000 pytest tests/property` looks longer, at other examples each time.
"""

import os
import random

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.property.messages import BrokenPromiseError
from tests.property.reference_journal import HastyJournal
from tests.property.walk import Step, carry_out, failure, random_walk, shortened
from tests.property.world import World

EVERYDAY_EXAMPLES = 100
EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", EVERYDAY_EXAMPLES))
STEPS = 40
WALKS_PER_EXAMPLE = 8  # they cost little
WALK_STEPS = 250

senders = st.integers(0, 1)
receivers = st.integers(0, 1)
clients = st.integers(0, 3)  # senders first
mostly = st.sampled_from([True, True, True, False])
rarely = st.sampled_from([False, False, False, True])
qos = st.sampled_from([1, 2, 2, 1, 0])
topics = st.sampled_from(["t/a", "t/b"])
filters = st.sampled_from(["t/a", "t/b", "t/+", "#"])


class Deliveries(RuleBasedStateMachine):
    """Two senders and two receivers, of MQTT 3.1.1 and 5, do what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.is_broken = False

    def teardown(self) -> None:
        if not self.is_broken:
            self.world.settle()

    def do(self, step: Step) -> None:
        """What goes wrong here is what is told, and not what follows from it at the end."""
        try:
            carry_out(self.world, step)
        except BaseException:
            self.is_broken = True
            raise

    @initialize(subscriptions=st.lists(st.tuples(receivers, filters, qos), min_size=1, max_size=3))
    def begin(self, subscriptions: list[tuple[int, str, int]]) -> None:
        self.do(("begin", subscriptions))

    @rule(index=senders, persistent=mostly)
    def connect_sender(self, index: int, persistent: bool) -> None:
        self.do(("connect_sender", index, persistent))

    @rule(index=receivers, persistent=mostly, receive_maximum=st.integers(0, 5))
    def connect_receiver(self, index: int, persistent: bool, receive_maximum: int) -> None:
        self.do(("connect_receiver", index, persistent, receive_maximum))

    @rule(index=clients, reads=st.booleans())
    def disconnect(self, index: int, reads: bool) -> None:
        self.do(("disconnect", index, reads))

    @rule(index=receivers, topic_filter=filters, qos=qos)
    def subscribe(self, index: int, topic_filter: str, qos: int) -> None:
        self.do(("subscribe", index, topic_filter, qos))

    @rule(index=receivers, topic_filter=filters)
    def unsubscribe(self, index: int, topic_filter: str) -> None:
        self.do(("unsubscribe", index, topic_filter))

    @rule(index=senders, topic=topics, of_each=st.lists(qos, min_size=1, max_size=5))
    def publish(self, index: int, topic: str, of_each: list[int]) -> None:
        self.do(("publish", index, topic, of_each))

    @rule(index=clients)
    def read(self, index: int) -> None:
        self.do(("read", index))

    @rule(index=receivers, which=st.integers(0, 3), times=st.integers(1, 2))
    def reply(self, index: int, which: int, times: int) -> None:
        self.do(("reply", index, which, times))

    @rule(index=receivers, congested=st.booleans())
    def congest(self, index: int, congested: bool) -> None:
        self.do(("congest", index, congested))

    @precondition(lambda self: not self.world.journal.is_idle)
    @rule(releases=mostly)
    def store(self, releases: bool) -> None:
        self.do(("store", releases))

    @rule(happens=rarely)
    def cut_power(self, happens: bool) -> None:
        if happens:
            self.do(("cut_power",))


def test_every_promise_holds_whatever_clients_do_and_whenever_the_power_fails() -> None:
    run_state_machine_as_test(
        Deliveries,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=EXAMPLES == EVERYDAY_EXAMPLES,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def test_every_promise_holds_on_long_random_walks() -> None:
    first = 0 if EXAMPLES == EVERYDAY_EXAMPLES else random.randrange(1 << 30)
    for seed in range(first, first + EXAMPLES * WALKS_PER_EXAMPLE):
        walk = random_walk(seed, WALK_STEPS)
        if failure(walk) is not None:
            shortest = shortened(walk)
            pytest.fail(f"seed {seed}: {failure(shortest)}\nafter {shortest}")


@pytest.mark.parametrize("qos", [1, 2])
def test_an_acknowledgement_before_it_is_stored_is_found_out(qos: int) -> None:
    world = World(HastyJournal)
    world.begin([(0, "t/a", qos)])
    world.disconnect(2, True)
    world.store(True)
    world.publish(0, "t/a", [qos])
    world.read(0)
    world.cut_power()
    with pytest.raises(BrokenPromiseError, match="acknowledged, and is lost"):
        world.settle()


def test_a_walk_that_fails_is_told_by_the_few_steps_that_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(World, "cut_power", lambda world: world.book.find(b"no such message"))
    walk = [*random_walk(1, 40), ("publish", 0, "t/a", [1]), ("cut_power",)]
    assert failure(walk) is not None
    assert shortened(walk) == [("cut_power",)]
