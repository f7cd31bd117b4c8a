"""The parts of a bridge that need no network."""

import pytest

from fleetwire.net.bridge.loops import HOPS, Echoes, has_been_at, with_hop
from fleetwire.net.bridge.mapping import Mapping
from fleetwire.net.bridge.plan import TopicRule
from fleetwire.net.bridge.status import Retry
from fleetwire.protocol import constants as c


@pytest.mark.parametrize(
    ("topic", "remote"),
    [
        ("a/x/data", "r/x/data"),
        ("a/x/other", "whole/x/other"),  # the first rule does not fit, the second does
        ("a", None),  # matched by a/#, but there is no rest
        ("b", None),
        ("$SYS/x", None),
    ],
)
def test_the_first_rule_that_fits_names_the_topic(topic: str, remote: str | None) -> None:
    mapping = Mapping(
        (TopicRule("+/data", "out", 1, "a/", "r/"), TopicRule("#", "out", 0, "a/", "whole/"))
    )
    assert mapping.to_remote(topic) == remote
    assert mapping.to_remote(topic) == remote  # remembered
    assert mapping.to_local(topic) is None
    assert mapping.local_filters == {"a/+/data": 1, "a/#": 0}


def test_one_filter_in_two_rules_is_subscribed_to_once_with_the_higher_qos() -> None:
    mapping = Mapping((TopicRule("a", "both", 0), TopicRule("a", "in", 2)))
    assert mapping.remote_filters == {"a": 2}
    assert mapping.local_filters == {"a": 0}
    assert mapping.incoming_filters == ["a"]


def test_hops_are_found_among_other_properties() -> None:
    properties = with_hop({c.USER_PROPERTY: [("k", "v")], c.CONTENT_TYPE: "t"}, "one")
    properties = with_hop(properties, "two")
    assert properties == {
        c.USER_PROPERTY: [("k", "v"), (HOPS, "one"), (HOPS, "two")],
        c.CONTENT_TYPE: "t",
    }
    assert has_been_at(properties, "one")
    assert has_been_at(properties, "three", "two")
    assert not has_been_at(properties, "v", "three")
    assert not has_been_at(None, "one")


def test_an_echo_is_recognised_as_often_as_it_was_sent_and_not_for_ever() -> None:
    echoes = Echoes(5.0, most=3)
    for _ in range(2):
        echoes.expect("t", b"x", 0.0)
    assert not echoes.is_echo("t", b"y", 1.0)
    assert [echoes.is_echo("t", b"x", 1.0) for _ in range(3)] == [True, True, False]
    echoes.expect("t", b"x", 1.0)
    assert not echoes.is_echo("t", b"x", 6.0)
    # The oldest gives way.
    for number in range(4):
        echoes.expect("t", b"%d" % number, 10.0)
    assert [echoes.is_echo("t", b"%d" % number, 10.0) for number in range(4)] == [
        False, True, True, True,
    ]  # fmt: skip


def test_waiting_times_double_up_to_a_bound_and_are_spread() -> None:
    retry = Retry(1.0, 60.0)
    assert [retry.pause_s(failures, 1.0) for failures in (1, 2, 3, 7, 5000)] == [1, 2, 4, 60, 60]
    assert retry.pause_s(3, 0.0) == 2.0
