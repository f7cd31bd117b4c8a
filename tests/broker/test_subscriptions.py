"""The tree of subscriptions agrees with the definition of matching, whatever is in it."""

from hypothesis import given, strategies as st

from fleetwire.broker.grants import Grant
from fleetwire.broker.session import Session
from fleetwire.broker.subscriptions import SubscriptionTree
from fleetwire.protocol.packets import Subscription
from fleetwire.protocol.topics import matches

levels = st.sampled_from(["a", "b", "", "$x", "c"])
names = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.one_of(levels, st.just("+")), min_size=1, max_size=4))
    if draw(st.booleans()):
        parts.append("#")
    return "/".join(parts) or "+"


@given(st.lists(filters(), max_size=12), st.lists(names, min_size=1, max_size=5), st.data())
def test_a_route_is_exactly_the_matching_subscriptions(
    topic_filters: list[str], topic_names: list[str], data: st.DataObject
) -> None:
    tree = SubscriptionTree()
    sessions = {}
    for index, topic_filter in enumerate(topic_filters):
        session = Session(str(index), Grant("x", [], []))
        sessions[session] = topic_filter
        tree.subscribe(session, Subscription(topic_filter, 0), 0)
    leaving = [s for s in sessions if data.draw(st.booleans())]
    for session in leaving:
        for topic_name in topic_names:
            tree.find(topic_name)
        tree.unsubscribe(session, sessions.pop(session))
    for topic_name in topic_names:
        found = {target.session for target in tree.find(topic_name).targets}
        assert found == {s for s, f in sessions.items() if matches(f, topic_name)}
    for session, topic_filter in list(sessions.items()):
        tree.unsubscribe(session, topic_filter)
    assert tree.count == 0
    assert tree._root.children == {}
