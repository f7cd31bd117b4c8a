"""Shared subscriptions (MQTT 5.0 §4.8.2): each message for one member."""

from collections.abc import Callable

from fleetwire.broker.broker import Broker
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Unsubscribe
from tests.broker.conftest import Peer

Make = Callable[..., Peer]


def payloads(peer: Peer) -> list[bytes]:
    return [message.payload for message in peer.messages()]


def test_each_message_goes_to_one_member_in_turn(peer: Make) -> None:
    members = [peer("a"), peer("b"), peer("c")]
    for member in members:
        member.subscribe("$share/g/jobs/+", 0)
    outsider = peer("o")
    outsider.subscribe("jobs/+", 0)
    sender = peer("s")
    for number in range(6):
        sender.publish("jobs/1", b"%d" % number)
    assert [payloads(member) for member in members] == [[b"0", b"3"], [b"1", b"4"], [b"2", b"5"]]
    assert len(payloads(outsider)) == 6


def test_groups_of_one_filter_each_get_the_message(peer: Make) -> None:
    one, two = peer("a"), peer("b")
    one.subscribe("$share/first/jobs", 0)
    two.subscribe("$share/second/jobs", 0)
    peer("s").publish("jobs")
    assert len(payloads(one)) == len(payloads(two)) == 1


def test_the_member_with_least_in_flight_is_chosen(peer: Make) -> None:
    busy, free = peer("a"), peer("b")
    busy.subscribe("own", 1)
    sender = peer("s")
    for _ in range(3):
        sender.publish("own", qos=1, packet_id=1)
    busy.read()
    for member in (busy, free):
        member.subscribe("$share/g/jobs", 1)
    for number in range(3):
        sender.publish("jobs", b"%d" % number, qos=1, packet_id=2)
    assert payloads(busy) == []
    assert payloads(free) == [b"0", b"1", b"2"]


def test_with_nobody_connected_an_absent_session_keeps_the_message(peer: Make) -> None:
    absent = peer("a", clean=False)
    absent.subscribe("$share/g/jobs", 1)
    absent.leave()
    peer("s").publish("jobs", b"kept", qos=1, packet_id=1)
    assert payloads(peer("a", clean=False)) == [b"kept"]


def test_a_message_without_any_member_left_is_counted_as_dropped(
    peer: Make, broker: Broker
) -> None:
    absent = peer("a", clean=False)
    absent.subscribe("$share/g/jobs", 0)
    absent.leave()
    peer("s").publish("jobs")
    assert broker.stats.messages_dropped == 1


def test_what_a_leaving_member_has_not_acknowledged_goes_to_another(peer: Make) -> None:
    leaving = peer("a", clean=False)
    leaving.subscribe("$share/g/jobs", 1)
    sender = peer("s")
    sender.publish("jobs", b"one", qos=1, packet_id=1)
    sender.publish("jobs", b"two", qos=1, packet_id=2)
    first, _ = leaving.messages()
    leaving.acknowledge(c.PUBACK, first.packet_id)
    staying = peer("b")
    staying.subscribe("$share/g/jobs", 1)
    leaving.leave()
    assert payloads(staying) == [b"two"]
    assert payloads(peer("a", clean=False)) == []


def test_a_sent_qos_2_message_stays_with_the_member_it_was_sent_to(peer: Make) -> None:
    leaving = peer("a", clean=False)
    leaving.subscribe("$share/g/jobs", 2)
    peer("s").publish("jobs", b"mine", qos=2, packet_id=1)
    staying = peer("b")
    staying.subscribe("$share/g/jobs", 2)
    leaving.leave()
    assert payloads(staying) == []
    assert payloads(peer("a", clean=False)) == [b"mine"]


def test_an_unacknowledged_message_of_a_session_that_ends_is_not_lost(peer: Make) -> None:
    leaving = peer("a")
    leaving.subscribe("$share/g/jobs", 1)
    peer("s").publish("jobs", b"one", qos=1, packet_id=1)
    staying = peer("b")
    staying.subscribe("$share/g/jobs", 0)
    leaving.leave()
    (message,) = staying.messages()
    assert (message.payload, message.qos) == (b"one", 0)


def test_retained_messages_are_not_sent_for_a_shared_subscription(peer: Make) -> None:
    peer("s").publish("jobs", b"old", retain=True)
    member = peer("a")
    assert member.subscribe("$share/g/jobs", 0) == [("$share/g/jobs", 0)]
    assert payloads(member) == []


def test_a_share_ends_with_its_unsubscribe(peer: Make, broker: Broker) -> None:
    member = peer("a")
    member.subscribe("$share/g/jobs", 0)
    assert broker.tree.count == 1
    broker.unsubscribe(member.session, Unsubscribe(3, ["$share/g/jobs"]))
    peer("s").publish("jobs")
    assert payloads(member) == []
    assert broker.tree.count == 0


def test_a_bad_share_name_is_refused(peer: Make) -> None:
    member = peer("a", version=5)
    assert member.subscribe("$share/g+/jobs", 0)[0][1] == c.TOPIC_FILTER_INVALID
    assert member.subscribe("$share/g", 0)[0][1] == c.TOPIC_FILTER_INVALID
