"""FilterTree and `overlap` against MQTT's rules, on many random filters and names."""

from hypothesis import given, strategies as st

from fleetwire.apps.messaging.tree import FilterTree
from fleetwire.kit.topics import matches, overlap

levels = st.sampled_from(["a", "b", "", "$x"])
names = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)
filters = (
    st.tuples(
        st.lists(st.sampled_from(["a", "b", "", "$x", "+"]), min_size=1, max_size=4),
        st.booleans(),
    )
    .map(lambda parts: "/".join([*parts[0], *(["#"] if parts[1] else [])]))
    .filter(bool)
) | st.just("#")


@given(st.lists(filters, max_size=8), st.lists(filters, max_size=4), names)
def test_a_tree_finds_what_matches(added: list[str], removed: list[str], name: str) -> None:
    tree = FilterTree()
    kept = set(added)
    for each in added:
        tree.add(each)
    for each in removed:
        if each in kept:
            kept.remove(each)
            tree.remove(each)
    found = list(tree.find(name))
    assert sorted(found) == sorted(each for each in kept if matches(each, name))


@given(filters, filters, names)
def test_filters_with_a_name_in_common_overlap(one: str, other: str, name: str) -> None:
    if matches(one, name) and matches(other, name):
        assert overlap(one, other)
        assert overlap(other, one)


def test_filters_without_one_do_not() -> None:
    for one, other in (
        ("a/b", "a/c"),
        ("a/+", "a/b/c"),
        ("a/#", "b/#"),
        ("+/a", "+/b"),
        ("a", "b"),
    ):
        assert not overlap(one, other)
