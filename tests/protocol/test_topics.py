"""Topic Names, Topic Filters and templates."""

import re

import pytest
from hypothesis import given, settings, strategies as st

from fleetwire.protocol.errors import InvalidTopicError, TopicFilterInvalidError
from fleetwire.protocol.topics import (
    Template,
    check_topic_filter,
    check_topic_name,
    covers,
    matches,
    split_shared,
)

NAME_LEVELS = st.sampled_from(["", "a", "b", "$S", "$share"])
NAMES = st.lists(NAME_LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
FILTER_LEVELS = st.sampled_from(["", "a", "b", "$S", "+"])


@st.composite
def filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(FILTER_LEVELS, min_size=0, max_size=4))
    if draw(st.booleans()):
        levels.append("#")
    return "/".join(levels) or "a"


def matches_by_pattern(topic_filter: str, topic_name: str) -> bool:
    """The standard's words as a regular expression; slow, but short enough to be seen right."""
    if topic_name.startswith("$") and topic_filter[0] in "+#":
        return False
    pattern = re.escape(topic_filter).replace(re.escape("+"), "[^/]*")
    if topic_filter == "#":
        pattern = ".*"
    elif topic_filter.endswith("/#"):
        pattern = pattern[: -len(re.escape("/#"))] + "(/.*)?"
    return re.fullmatch(pattern, topic_name) is not None


@pytest.mark.parametrize(
    ("topic_filter", "topic_name", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "sport", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/+", "$SYS/uptime", True),
        ("a/#", "a/$SYS", True),
        ("Accounts", "ACCOUNTS", False),
    ],
)
def test_the_examples_of_the_standard(topic_filter: str, topic_name: str, expected: bool) -> None:
    assert matches(topic_filter, topic_name) is expected


@given(filters(), NAMES)
@settings(max_examples=500)
def test_matches_says_what_the_pattern_says(topic_filter: str, topic_name: str) -> None:
    assert matches(topic_filter, topic_name) is matches_by_pattern(topic_filter, topic_name)


@given(filters(), filters(), NAMES)
@settings(max_examples=1_000)
def test_what_is_covered_and_matched_is_matched_by_the_grant(
    granted: str, asked: str, topic_name: str
) -> None:
    if covers(granted, asked) and matches(asked, topic_name):
        assert matches(granted, topic_name)


@given(filters(), NAMES)
def test_a_name_is_covered_exactly_when_it_is_matched(granted: str, topic_name: str) -> None:
    assert covers(granted, topic_name) is matches(granted, topic_name) or topic_name.startswith(
        "$share/"
    )


@given(filters())
def test_a_filter_covers_itself(topic_filter: str) -> None:
    assert covers(topic_filter, topic_filter) or topic_filter.startswith("$share/")


@pytest.mark.parametrize(
    ("granted", "asked", "expected"),
    [
        ("devices/1/#", "devices/1/data", True),
        ("devices/1/#", "devices/+/data", False),
        ("devices/1/#", "devices/#", False),
        ("devices/+/data", "devices/#", False),
        ("devices/+/#", "devices/+/data", True),
        ("devices/+/#", "devices/#", False),
        ("#", "+/+", True),
        ("#", "#", True),
        ("#", "$SYS/#", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "#", False),
        ("a/#", "a", True),
        ("a", "a/#", False),
        ("a/b", "$share/g/a/b", True),
        ("a/b", "$share/g/a/c", False),
        ("#", "$share/g/#", True),
        ("#", "$share/g/$SYS/x", False),
        ("#", "$share/g", False),
        ("#", "$share//a", False),
    ],
)
def test_covers(granted: str, asked: str, expected: bool) -> None:
    assert covers(granted, asked) is expected


def test_matching_many_levels_takes_linear_time() -> None:
    assert not matches("/".join(["+"] * 30_000) + "/x", "/".join(["a"] * 30_000) + "/y")
    assert covers("/".join(["+"] * 30_000), "/".join(["+"] * 30_000))


@pytest.mark.parametrize("name", ["a", "/", "a/b", "//", "a b", "ü/ß", "$SYS/x", "x" * 65_535])
def test_good_names_pass(name: str) -> None:
    check_topic_name(name)
    check_topic_filter(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"),
        ("a/+", "wildcard"),
        ("a#", "wildcard"),
        ("a\0b", r"U\+0000"),
        ("\ud800", "surrogate"),
        ("x" * 65_536, "65536 bytes"),
        ("ü" * 32_768, "65536 bytes"),
    ],
)
def test_bad_names_are_refused_in_words(name: str, words: str) -> None:
    with pytest.raises(InvalidTopicError, match=words):
        check_topic_name(name)


@pytest.mark.parametrize(
    "good", ["#", "+", "a/#", "+/+/#", "/", "/+", "$share/g/a", "$share/g/#", "$share/g//"]
)
def test_good_filters_pass(good: str) -> None:
    check_topic_filter(good)


@pytest.mark.parametrize(
    "bad",
    [
        *("", "a#", "a/#/b", "#/", "a+", "+a/b", "++", "a\0", "\ud800", "$share/g", "$share//a"),
        *("$share/g/", "$share/+/a", "$share/#/a", "$share/g/a#", "x" * 65_536),
    ],
)
def test_bad_filters_are_refused(bad: str) -> None:
    with pytest.raises(TopicFilterInvalidError):
        check_topic_filter(bad)


def test_levels_are_bounded() -> None:
    check_topic_name("a/b/c", 3)
    check_topic_filter("$share/g/a/b/c", 3)
    with pytest.raises(InvalidTopicError, match="4 levels; 3 are allowed"):
        check_topic_name("a/b/c/d", 3)
    with pytest.raises(TopicFilterInvalidError, match="4 levels"):
        check_topic_filter("a/b/c/#", 3)


def test_a_shared_filter_is_split() -> None:
    assert split_shared("$share/group/a/+") == ("group", "a/+")
    assert split_shared("a/+") == (None, "a/+")
    assert split_shared("$shared/a/b") == (None, "$shared/a/b")


def test_a_template_matches_fills_and_names_its_filter() -> None:
    template = Template("vm/{machine_id}/slot/{slot}")
    assert template.filter == "vm/+/slot/+"
    assert template.names == ("machine_id", "slot")
    assert template.match("vm/VM01/slot/3") == {"machine_id": "VM01", "slot": "3"}
    assert template.match("vm/VM01/slot") is None
    assert template.match("vm/VM01/slot/3/x") is None
    assert template.fill(slot="3", machine_id="VM01") == "vm/VM01/slot/3"


def test_a_template_without_places_is_a_topic() -> None:
    template = Template("a/b")
    assert template.match("a/b") == {}
    assert template.match("a/c") is None
    assert template.fill() == "a/b"


def test_a_template_may_have_wildcards_but_is_then_not_filled() -> None:
    template = Template("devices/{device_id}/#")
    assert template.match("devices/7/a/b") == {"device_id": "7"}
    with pytest.raises(InvalidTopicError, match="wildcard"):
        template.fill(device_id="7")


def test_a_place_at_the_front_does_not_match_dollar_topics() -> None:
    assert Template("{tenant}/x").match("$SYS/x") is None


@pytest.mark.parametrize(
    "text", ["", "a/{b}c", "a/{}", "a/{b", "{a}/{a}", "a/{1b}", "a/{b c}", "a#", "{a}/#/b"]
)
def test_bad_templates_are_refused(text: str) -> None:
    with pytest.raises(InvalidTopicError):
        Template(text)


@pytest.mark.parametrize("value", ["", "a/b", "+", "#", "a\0", "\ud800"])
def test_a_value_cannot_change_the_topic(value: str) -> None:
    with pytest.raises(InvalidTopicError):
        Template("d/{id}/c").fill(id=value)


def test_missing_and_unknown_values_are_named() -> None:
    with pytest.raises(InvalidTopicError, match="takes id; given other"):
        Template("d/{id}").fill(other="x")
    with pytest.raises(InvalidTopicError, match="takes id; given none"):
        Template("d/{id}").fill()


@given(st.text(max_size=20))
def test_whatever_the_text_a_check_passes_or_refuses(text: str) -> None:
    for check in (check_topic_name, check_topic_filter):
        try:
            check(text)
        except InvalidTopicError:
            continue
        assert matches(text, text) or "+" in text or "#" in text
