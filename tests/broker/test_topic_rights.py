"""Rights with places: filled with who the client is, or withheld, but never widened."""

import pytest
from hypothesis import given, strategies as st

from fleetwire.broker.topic_rights import Withheld, check, fill
from fleetwire.protocol.errors import InvalidTopicError
from fleetwire.protocol.topics import covers

CLIENT = {
    "device_id": "bp-1",
    "client_id": "reader",
    "username": "ann",
    "organization": "3",
    "role": "viewer",
}


def test_each_place_is_filled_and_another_name_is_any_level() -> None:
    template = "{organization}/{role}/{username}/{device_id}/{client_id}/{floor}/data/#"
    assert fill([template], CLIENT).filters == ["3/viewer/ann/bp-1/reader/+/data/#"]


@pytest.mark.parametrize("value", ["#", "+", "a/b", "a#", "", "a\0b"])
def test_a_value_that_would_widen_a_right_withholds_it_and_says_why(value: str) -> None:
    rights = fill(["c/{client_id}", "d/{device_id}"], CLIENT | {"client_id": value})
    assert rights.filters == ["d/bp-1"]
    (withheld,) = rights.withheld
    assert withheld.template == "c/{client_id}"
    assert "client_id" in withheld.reason


def test_a_value_cannot_reach_the_servers_own_topics() -> None:
    rights = fill(["{client_id}/#", "c/{client_id}"], {"client_id": "$SYS"})
    assert rights.filters == ["c/$SYS"]
    assert "begins with $" in rights.withheld[0].reason


def test_what_is_not_known_of_a_client_is_not_any_value() -> None:
    rights = fill(["r/{role}"], {"client_id": "c"})
    assert rights.filters == []
    assert rights.withheld == [Withheld("r/{role}", "the client has no role")]


@given(st.text())
def test_whatever_the_value_the_right_is_no_wider_than_its_template(value: str) -> None:
    for each in fill(["a/{client_id}/b"], {"client_id": value}).filters:
        assert covers("a/+/b", each)
        assert each == f"a/{value}/b"


@pytest.mark.parametrize("template", ["a/b", "#", "+/x/#", "a/{device_id}/b", "$SYS/#"])
def test_a_right_may_be_a_topic_filter_with_places(template: str) -> None:
    check(template)


@pytest.mark.parametrize("template", ["", "a/#/b", "a+/b", "a/x{y}", "$share/g/a", "a\0"])
def test_a_right_that_is_no_topic_filter_is_refused(template: str) -> None:
    with pytest.raises(InvalidTopicError):
        check(template)
