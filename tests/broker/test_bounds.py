"""What one client can fill has a bound, whichever way it tries."""

from collections.abc import Callable

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.courier import RETAINED_SLICE_BYTES
from fleetwire.broker.grants import Grant
from fleetwire.broker.stats import QUEUE_FULL, RETAINED_FULL
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish, Subscribe, Subscription
from tests.broker.conftest import Peer

Make = Callable[..., Peer]


def codes(peer: Peer) -> list[int]:
    return [each.reason_code for each in peer.read() if isinstance(each, Ack)]


def with_limits(**limits: int | str) -> Broker:
    return Broker(Limits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_payload_over_the_limit_is_refused_whatever_its_qos(qos: int) -> None:
    broker = with_limits(payload_bytes=10)
    reader = Peer(broker, "r", version=5)
    reader.subscribe("t", 0)
    reader.read()
    sender = Peer(broker, "s", version=5)
    sender.publish("t", b"x" * 11, qos=qos, packet_id=1 if qos else 0)
    assert codes(sender) == ([c.QUOTA_EXCEEDED] if qos else [])
    sender.publish("t", b"x" * 10, qos=qos, packet_id=2 if qos else 0)
    assert [len(message.payload) for message in reader.messages()] == [10]
    assert broker.stats.messages_refused_by_code == {c.QUOTA_EXCEEDED: 1}


@pytest.mark.parametrize("topic", ["a/b/c/d", "längere"])
def test_a_topic_over_the_limits_is_refused(topic: str) -> None:
    broker = with_limits(topic_levels=3, topic_bytes=7)
    sender = Peer(broker, "s", version=5)
    sender.publish(topic, qos=1, packet_id=1)
    sender.publish("a/b/c", qos=1, packet_id=2)
    assert codes(sender) == [c.TOPIC_NAME_INVALID, c.NO_MATCHING_SUBSCRIBERS]


def test_what_is_in_flight_is_bounded_in_bytes() -> None:
    broker = with_limits(queue_bytes=1000)
    reader = Peer(broker, "r")
    reader.subscribe("t", 1)
    sender = Peer(broker, "s")
    for _ in range(10):
        sender.publish("t", b"x" * 400, qos=1, packet_id=1)
    sent = reader.messages()
    assert len(sent) == 3
    assert len(reader.session.queue) == 2
    assert broker.stats.dropped == {QUEUE_FULL: 5}
    for message in sent:
        reader.acknowledge(c.PUBACK, message.packet_id)
    assert len(reader.messages()) == 2
    assert reader.session.inflight_bytes == 2 * 401


def test_a_full_queue_drops_its_oldest_message_where_that_is_asked_for() -> None:
    broker = with_limits(queue_messages=2, queue_policy="drop_oldest")
    away = Peer(broker, "a", clean=False)
    away.subscribe("t", 1)
    away.leave()
    sender = Peer(broker, "s")
    for number in range(4):
        sender.publish("t", b"%d" % number, qos=1, packet_id=1)
    ((session, dropped),) = broker.take_overflowed()
    assert (session.client_id, dropped) == ("a", 2)
    assert broker.take_overflowed() == []
    back = Peer(broker, "a", clean=False)
    assert [message.payload for message in back.messages()] == [b"2", b"3"]


def test_one_subscribe_cannot_ask_for_the_retained_messages_many_times(broker: Broker) -> None:
    sender = Peer(broker, "s")
    for number in range(200):
        sender.publish(f"t/{number}", b"x" * 1000, retain=True)
    reader = Peer(broker, "r")
    broker.subscribe(reader.session, Subscribe(1, [Subscription("#", 0)] * 200), 0)
    assert sum(map(len, reader.link.output)) <= RETAINED_SLICE_BYTES + 2000
    assert len(reader.messages()) == 200


def test_retained_messages_come_in_slices_and_all_of_them(broker: Broker) -> None:
    sender = Peer(broker, "s")
    for number in range(2000):
        sender.publish(f"t/{number}", b"x" * 1000, retain=True)
    reader = Peer(broker, "r")
    reader.subscribe("t/#", 0)
    counts = []
    while reader.session.retained_waiting:
        counts.append(len(reader.messages()))
        broker.uncongested(reader.session, 0)
    counts.append(len(reader.messages()))
    assert sum(counts) == 2000
    assert len(counts) > 5


def test_more_retained_messages_than_the_queue_holds_all_arrive_with_qos_1() -> None:
    broker = with_limits(queue_messages=5, window=3)
    sender = Peer(broker, "s")
    for number in range(20):
        sender.publish(f"t/{number}", b"x", qos=1, packet_id=1, retain=True)
    reader = Peer(broker, "r")
    reader.subscribe("t/#", 1)
    arrived = 0
    while messages := reader.messages():
        arrived += len(messages)
        for message in messages:
            reader.acknowledge(c.PUBACK, message.packet_id)
    assert arrived == 20
    assert broker.stats.messages_dropped == 0


def test_retained_messages_are_bounded_in_bytes() -> None:
    broker = with_limits(retained_bytes=100)
    sender = Peer(broker, "s")
    sender.publish("a", b"x" * 90, retain=True)
    sender.publish("b", b"x" * 90, retain=True)
    assert [kept.publish.topic_name for kept in broker.retained] == ["a"]
    assert broker.stats.dropped == {RETAINED_FULL: 1}
    sender.publish("a", b"", retain=True)
    sender.publish("b", b"x" * 90, retain=True)
    assert broker.retained.bytes == 91


def test_more_sessions_than_allowed_are_refused() -> None:
    broker = with_limits(sessions=1)
    Peer(broker, "a")
    assert Peer(broker, "b").opened.reason_code == c.QUOTA_EXCEEDED
    assert Peer(broker, "a").opened.reason_code == 0


def test_a_wildcard_finds_retained_messages_as_a_filter_matches(broker: Broker) -> None:
    names = ["a", "a/b", "a/b/c", "a//c", "$SYS/x", "b"]
    for name in names:
        broker.retained.store(Publish(name, b"x", 0, True), 0)

    def found(topic_filter: str) -> set[str]:
        return {kept.publish.topic_name for kept in broker.retained.find(topic_filter, 0)}

    assert found("#") == {"a", "a/b", "a/b/c", "a//c", "b"}
    assert found("a/#") == {"a", "a/b", "a/b/c", "a//c"}
    assert found("a/+/c") == {"a/b/c", "a//c"}
    assert found("+") == {"a", "b"}
    assert found("+/x") == set()
    assert found("$SYS/#") == {"$SYS/x"}
    broker.retained.remove("a/b")
    assert found("a/+") == set()
    assert found("a/b/c") == {"a/b/c"}


def test_nobody_publishes_what_the_house_says_of_itself() -> None:
    broker = with_limits()
    sender = Peer(broker, "s", version=5, grant=Grant("key:1/k", ["#", "$SYS/#"], []))
    sender.publish("$SYS/broker/uptime", b"1", qos=1, packet_id=1, retain=True)
    assert codes(sender) == [c.NOT_AUTHORIZED]
    assert len(broker.retained) == 0


def test_the_house_finds_room_for_its_own_retained_messages() -> None:
    broker = with_limits(retained_messages=0)
    broker.publish_own(Publish("$SYS/broker/uptime", b"1", 0, True), 0)
    broker.publish_own(Publish("other", b"1", 0, True), 0)
    assert [kept.publish.topic_name for kept in broker.retained] == ["$SYS/broker/uptime"]
