"""What the broker decides between packets."""

from collections.abc import Callable

from fleetwire.broker.broker import Broker
from fleetwire.broker.grants import Grant
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish, Suback
from tests.broker.conftest import Keeper, Peer

MakePeer = Callable[..., Peer]


def acks(peer: Peer) -> list[tuple[int, int, int]]:
    return [(p.type, p.packet_id, p.reason_code) for p in peer.read() if isinstance(p, Ack)]


def test_a_message_reaches_a_subscriber_with_the_lower_qos(peer: MakePeer) -> None:
    sender, reader = peer("s"), peer("r")
    reader.subscribe("a/+", qos=1)
    reader.read()
    sender.publish("a/b", b"zero", qos=0)
    sender.publish("a/b", b"one", qos=1, packet_id=9)
    sender.publish("a/b", b"two", qos=2, packet_id=10)
    assert [(m.payload, m.qos) for m in reader.messages()] == [
        (b"zero", 0),
        (b"one", 1),
        (b"two", 1),
    ]


def test_a_message_that_only_clients_take_is_acknowledged_at_once(peer: MakePeer) -> None:
    sender, reader = peer("s"), peer("r")
    reader.subscribe("a")
    sender.publish("a", qos=1, packet_id=3)
    sender.publish("a", qos=2, packet_id=4)
    assert acks(sender) == [(c.PUBACK, 3, 0), (c.PUBREC, 4, 0)]


def test_mqtt5_is_told_that_nobody_listens(peer: MakePeer) -> None:
    sender = peer("s", version=5)
    sender.publish("nobody", qos=1, packet_id=3)
    assert acks(sender) == [(c.PUBACK, 3, c.NO_MATCHING_SUBSCRIBERS)]


def test_puback_waits_for_the_house(peer: MakePeer, keeper: Keeper) -> None:
    sender = peer("s")
    sender.publish("in/x", qos=1, packet_id=3)
    assert acks(sender) == []
    keeper.release(0)
    keeper.release(0)
    assert acks(sender) == [(c.PUBACK, 3, 0)]


def test_acknowledgements_leave_in_the_order_of_the_publishes(
    peer: MakePeer, keeper: Keeper
) -> None:
    sender = peer("s")
    sender.publish("in/x", qos=1, packet_id=1)
    sender.publish("in/x", qos=1, packet_id=2)
    sender.publish("elsewhere", qos=1, packet_id=3)
    keeper.release(1)
    assert acks(sender) == []
    keeper.release(0)
    assert [packet_id for _, packet_id, _ in acks(sender)] == [1, 2, 3]


def test_a_reason_code_reaches_an_mqtt5_sender_only(peer: MakePeer, keeper: Keeper) -> None:
    five, four = peer("five", version=5), peer("four")
    five.publish("in/x", qos=1, packet_id=1)
    four.publish("in/x", qos=1, packet_id=1)
    keeper.release(0, 0x99)
    keeper.release(1, 0x99)
    assert acks(five) == [(c.PUBACK, 1, 0x99)]
    assert acks(four) == [(c.PUBACK, 1, 0)]


def test_qos2_is_delivered_once_however_often_it_is_sent(peer: MakePeer, keeper: Keeper) -> None:
    sender = peer("s")
    sender.publish("in/x", qos=2, packet_id=1)
    sender.publish("in/x", qos=2, packet_id=1, dup=True)
    assert acks(sender) == []
    keeper.release(0)
    sender.publish("in/x", qos=2, packet_id=1, dup=True)
    assert acks(sender) == [(c.PUBREC, 1, 0), (c.PUBREC, 1, 0)]
    sender.acknowledge(c.PUBREL, 1)
    sender.publish("in/x", qos=2, packet_id=1)
    assert len(keeper.deliveries) == 2


def test_qos2_sent_again_on_a_new_connection_is_answered_there_after_the_commit(
    peer: MakePeer, keeper: Keeper
) -> None:
    sender = peer("s", clean=False)
    sender.publish("in/x", qos=2, packet_id=1)
    sender.leave()
    again = peer("s", clean=False)
    again.publish("in/x", qos=2, packet_id=1, dup=True)
    keeper.release(0)
    assert len(keeper.deliveries) == 1
    assert acks(again) == [(c.PUBREC, 1, 0)]


def test_an_acknowledgement_never_reaches_a_later_connection(
    peer: MakePeer, keeper: Keeper
) -> None:
    sender = peer("s", clean=False)
    sender.publish("in/x", qos=1, packet_id=1)
    sender.leave()
    again = peer("s", clean=False)
    keeper.release(0)
    assert again.read() == []


def test_an_absent_client_gets_its_messages_on_return(peer: MakePeer) -> None:
    reader = peer("r", clean=False)
    reader.subscribe("a", qos=2)
    reader.leave()
    sender = peer("s")
    sender.publish("a", b"zero", qos=0)
    sender.publish("a", b"one", qos=1, packet_id=1)
    sender.publish("a", b"two", qos=2, packet_id=2)
    back = peer("r", clean=False)
    assert back.opened.session_present
    assert [(m.payload, m.qos, m.dup) for m in back.messages()] == [
        (b"one", 1, False),
        (b"two", 2, False),
    ]


def test_what_was_not_acknowledged_is_sent_again_with_dup(peer: MakePeer) -> None:
    reader, sender = peer("r", clean=False), peer("s")
    reader.subscribe("a", qos=2)
    sender.publish("a", b"1", qos=1, packet_id=1)
    sender.publish("a", b"2", qos=2, packet_id=2)
    sender.publish("a", b"3", qos=2, packet_id=3)
    first, _, third = reader.messages()
    reader.acknowledge(c.PUBREC, third.packet_id)
    reader.leave()
    back = peer("r", clean=False)
    packets = back.read()
    assert [(p.payload, p.dup) for p in packets if isinstance(p, Publish)] == [
        (b"1", True),
        (b"2", True),
    ]
    assert [(p.type, p.packet_id) for p in packets if isinstance(p, Ack)] == [
        (c.PUBREL, third.packet_id)
    ]
    back.acknowledge(c.PUBACK, first.packet_id)
    back.acknowledge(c.PUBCOMP, third.packet_id)
    assert len(back.session.inflight) == 1


def test_receive_maximum_of_the_client_is_kept(peer: MakePeer) -> None:
    reader = peer("r", version=5, properties={c.RECEIVE_MAXIMUM: 2})
    sender = peer("s")
    reader.subscribe("a")
    for number in range(1, 5):
        sender.publish("a", bytes([number]), qos=1, packet_id=number)
    got = reader.messages()
    assert len(got) == 2
    reader.acknowledge(c.PUBACK, got[0].packet_id)
    assert [m.payload for m in reader.messages()] == [b"\x03"]


def test_a_full_queue_drops_and_counts(peer: MakePeer, broker: Broker) -> None:
    reader = peer("r", clean=False)
    reader.subscribe("a")
    reader.leave()
    sender = peer("s")
    for number in range(1, 9):
        sender.publish("a", qos=1, packet_id=number)
    assert len(reader.session.queue) == 5
    assert broker.stats.messages_dropped == 3


def test_a_slow_reader_loses_qos0_and_keeps_qos1(peer: MakePeer, broker: Broker) -> None:
    reader, sender = peer("r"), peer("s")
    reader.subscribe("a")
    reader.read()
    reader.link.congested = True
    sender.publish("a", b"0", qos=0)
    sender.publish("a", b"1", qos=1, packet_id=1)
    assert reader.read() == []
    reader.link.congested = False
    broker.uncongested(reader.session, 0)
    assert [m.payload for m in reader.messages()] == [b"1"]
    assert broker.stats.messages_dropped == 1


def test_overlapping_subscriptions_deliver_once_with_the_highest_qos(peer: MakePeer) -> None:
    reader, sender = peer("r"), peer("s")
    reader.subscribe("a/#", qos=0)
    reader.subscribe("a/b", qos=2)
    reader.read()
    sender.publish("a/b", qos=2, packet_id=1)
    assert [m.qos for m in reader.messages()] == [2]


def test_wildcards_do_not_match_dollar_topics(peer: MakePeer, broker: Broker) -> None:
    reader = peer("r")
    reader.subscribe("#")
    reader.subscribe("+/x")
    reader.read()
    broker.publish_own(Publish("$SYS/x", b"1"), 0)
    assert reader.messages() == []


def test_clients_may_not_publish_to_dollar_topics(peer: MakePeer, refusals: Keeper) -> None:
    sender = peer("s", version=5)
    sender.publish("$SYS/x", qos=1, packet_id=1)
    refusals.release(0, c.NOT_AUTHORIZED)
    assert acks(sender) == [(c.PUBACK, 1, c.NOT_AUTHORIZED)]


def test_retained_messages_come_with_the_subscription(peer: MakePeer) -> None:
    sender, reader = peer("s"), peer("r")
    sender.publish("a/b", b"old", retain=True)
    sender.publish("a/b", b"new", qos=1, packet_id=1, retain=True)
    sender.publish("a/c", b"gone", retain=True)
    sender.publish("a/c", b"", retain=True)
    reader.subscribe("a/#")
    assert [(m.payload, m.retain, m.qos) for m in reader.messages()] == [(b"new", True, 1)]
    sender.publish("a/b", b"live", retain=True)
    assert [(m.payload, m.retain) for m in reader.messages()] == [(b"live", False)]


def test_retain_handling_and_retain_as_published(peer: MakePeer) -> None:
    sender, reader = peer("s"), peer("r", version=5)
    sender.publish("a", b"1", retain=True)
    reader.subscribe("a", retain_handling=2)
    assert reader.messages() == []
    reader.subscribe("a", retain_handling=1)
    assert reader.messages() == []
    reader.subscribe("a", retain_handling=0, retain_as_published=True)
    assert len(reader.messages()) == 1
    sender.publish("a", b"2", retain=True)
    assert [m.retain for m in reader.messages()] == [True]


def test_no_local_keeps_own_messages_away(peer: MakePeer) -> None:
    client = peer("c", version=5)
    client.subscribe("a", no_local=True)
    client.read()
    client.publish("a")
    assert client.messages() == []


def test_the_will_goes_out_only_if_the_client_left_without_a_word(peer: MakePeer) -> None:
    reader = peer("r")
    reader.subscribe("will")
    reader.read()
    peer("a", will=Publish("will", b"a")).leave(with_will=False)
    peer("b", will=Publish("will", b"b")).leave(with_will=True)
    assert [m.payload for m in reader.messages()] == [b"b"]


def test_a_newer_connection_takes_the_session_over(peer: MakePeer, broker: Broker) -> None:
    old = peer("c", version=5, clean=False, properties={c.SESSION_EXPIRY_INTERVAL: 100})
    old.subscribe("a")
    new = peer("c", version=5, clean=False)
    assert old.link.closed_with is not None
    assert old.link.closed_with[0] == c.SESSION_TAKEN_OVER
    assert new.opened.session_present
    old.leave(with_will=True)
    assert broker.sessions["c"].link is new.link


def test_a_client_id_in_use_cannot_be_taken_by_another_identity(peer: MakePeer) -> None:
    owner = peer("c", grant=Grant("device:medical/a", ["#"], ["#"], device=1))
    thief = peer("c", grant=Grant("device:medical/b", ["#"], ["#"], device=2))
    assert thief.opened.reason_code == c.CLIENT_IDENTIFIER_NOT_VALID
    assert owner.link.closed_with is None


def test_a_session_that_waits_is_neither_resumed_nor_ended_by_another_identity(
    peer: MakePeer,
) -> None:
    owner = peer("c", clean=False, grant=Grant("device:medical/a", ["#"], ["#"], device=1))
    owner.subscribe("secret")
    owner.leave()
    peer("s").publish("secret", b"kept", qos=1, packet_id=1)
    for clean in (False, True):
        other = Peer(
            owner.broker,
            "c",
            clean=clean,
            grant=Grant("device:medical/b", ["#"], ["#"], device=2),
        )
        assert other.opened.reason_code == c.CLIENT_IDENTIFIER_NOT_VALID
    back = peer("c", clean=False, grant=Grant("device:medical/a", ["#"], ["#"], device=1))
    assert [message.payload for message in back.messages()] == [b"kept"]


def test_an_anonymous_session_gives_way_to_somebody_with_a_name(peer: MakePeer) -> None:
    nobody = peer("c", clean=False)
    nobody.subscribe("t")
    nobody.leave()
    named = peer("c", clean=False, grant=Grant("device:medical/b", ["#"], ["#"], device=2))
    assert not named.opened.session_present
    assert named.session.subscriptions == {}


def test_a_session_ends_with_its_expiry(peer: MakePeer, broker: Broker) -> None:
    five = {"version": 5, "clean": False, "properties": {c.SESSION_EXPIRY_INTERVAL: 10}}
    client = peer("c", **five)
    client.leave()
    broker.tick(9_000_000)
    assert "c" in broker.sessions
    broker.tick(10_000_000)
    assert "c" not in broker.sessions
    peer("d").leave()
    assert "d" not in broker.sessions


def test_a_subscription_wider_than_the_grant_is_refused(peer: MakePeer) -> None:
    grant = Grant("device:medical/a", [], ["devices/a/commands"], device=1)
    five, four = peer("5", version=5, grant=grant), peer("4", grant=grant)
    assert five.subscribe("devices/+/commands") == [("devices/+/commands", c.NOT_AUTHORIZED)]
    assert four.subscribe("#") == [("#", c.NOT_AUTHORIZED)]
    assert five.subscribe("devices/a/commands") == [("devices/a/commands", 1)]
    assert [p.reason_codes for p in four.read() if isinstance(p, Suback)] == [[0x80]]
    assert five.subscribe("a/#/b") == [("a/#/b", c.TOPIC_FILTER_INVALID)]


def test_a_publish_beyond_the_grant_goes_to_the_refusals_and_nowhere_else(
    peer: MakePeer, keeper: Keeper, refusals: Keeper
) -> None:
    reader = peer("r")
    reader.subscribe("#")
    reader.read()
    thief = peer("t", grant=Grant("device:medical/a", ["in/a"], [], device=1))
    thief.publish("in/b", qos=1, packet_id=1)
    assert reader.messages() == []
    assert keeper.deliveries == []
    assert "may not publish" in refusals.deliveries[0].refused
    assert acks(thief) == []
    refusals.release(0, c.NOT_AUTHORIZED)
    assert acks(thief) == [(c.PUBACK, 1, 0)]


def test_properties_pass_on_and_hop_properties_do_not(peer: MakePeer) -> None:
    sender, reader = peer("s", version=5), peer("r", version=5)
    reader.subscribe("a")
    reader.read()
    sender.publish(
        "a",
        qos=1,
        packet_id=1,
        properties={
            c.TOPIC_ALIAS: 3,
            c.USER_PROPERTY: [("k", "1"), ("k", "2")],
            c.MESSAGE_EXPIRY_INTERVAL: 30,
        },
    )
    [message] = reader.messages()
    assert message.properties == {
        c.USER_PROPERTY: [("k", "1"), ("k", "2")],
        c.MESSAGE_EXPIRY_INTERVAL: 30,
    }


def test_a_message_that_expired_while_waiting_is_not_sent(peer: MakePeer, broker: Broker) -> None:
    reader = peer("r", version=5, clean=False, properties={c.SESSION_EXPIRY_INTERVAL: 1000})
    reader.subscribe("a")
    reader.leave()
    sender = peer("s", version=5)
    for seconds in (5, 50):
        sender.publish(
            "a", qos=1, packet_id=seconds, properties={c.MESSAGE_EXPIRY_INTERVAL: seconds}
        )
    back = peer("r", version=5, clean=False, now=20_000_000)
    [message] = back.messages()
    assert message.properties == {c.MESSAGE_EXPIRY_INTERVAL: 30}
    assert broker.stats.messages_expired == 1


class Outcome:
    def __init__(self) -> None:
        self.said: list[str] = []

    def send(self, broker: Broker, expires_at: int = 0) -> bool:
        return broker.send_to_device(
            7,
            Publish("cmd/7", b"go", 1),
            expires_at,
            lambda: self.said.append("delivered"),
            self.said.append,
            0,
        )


def device_grant() -> Grant:
    return Grant("device:medical/7", [], ["cmd/7"], device=7)


def test_delivered_means_the_devices_own_puback(peer: MakePeer, broker: Broker) -> None:
    outcome = Outcome()
    monitor = peer("monitor")
    monitor.subscribe("cmd/#")
    assert not outcome.send(broker)
    assert monitor.messages() == []
    device = peer("7", grant=device_grant())
    device.subscribe("cmd/7")
    assert outcome.send(broker)
    [seen] = monitor.messages()
    monitor.acknowledge(c.PUBACK, seen.packet_id)
    assert outcome.said == []
    [command] = device.messages()
    device.acknowledge(c.PUBACK, command.packet_id)
    device.acknowledge(c.PUBACK, command.packet_id)
    assert outcome.said == ["delivered"]


def test_a_device_that_goes_for_good_loses_the_message(peer: MakePeer, broker: Broker) -> None:
    outcome = Outcome()
    device = peer("7", grant=device_grant())
    device.subscribe("cmd/7")
    outcome.send(broker)
    device.leave()
    assert len(outcome.said) == 1
    assert outcome.said != ["delivered"]


def test_a_device_that_comes_back_to_its_session_may_still_acknowledge(
    peer: MakePeer, broker: Broker
) -> None:
    outcome = Outcome()
    device = peer("7", grant=device_grant(), clean=False)
    device.subscribe("cmd/7")
    outcome.send(broker)
    device.leave()
    back = peer("7", grant=device_grant(), clean=False)
    [command] = back.messages()
    assert command.dup
    back.acknowledge(c.PUBACK, command.packet_id)
    assert outcome.said == ["delivered"]


def test_a_message_to_a_device_is_not_sent_after_its_deadline(
    peer: MakePeer, broker: Broker
) -> None:
    outcome = Outcome()
    device = peer("7", grant=device_grant(), clean=False)
    device.subscribe("cmd/7")
    outcome.send(broker, expires_at=10)
    device.leave()
    back = peer("7", grant=device_grant(), clean=False, now=11)
    assert back.messages() == []
    assert "expired" in outcome.said[0]


def test_with_qos0_delivery_cannot_be_known(peer: MakePeer, broker: Broker) -> None:
    outcome = Outcome()
    device = peer("7", grant=device_grant())
    device.subscribe("cmd/7", qos=0)
    assert outcome.send(broker)
    assert len(device.messages()) == 1
    assert "QoS 0" in outcome.said[0]


def test_ending_a_session_closes_its_connection_with_the_reason(
    peer: MakePeer, broker: Broker
) -> None:
    reader = peer("r")
    reader.subscribe("will")
    reader.read()
    client = peer("c", version=5, will=Publish("will", b"x"))
    broker.end(client.session, c.NOT_AUTHORIZED, "revoked", 0)
    assert client.link.closed_with == (c.NOT_AUTHORIZED, "revoked")
    assert "c" not in broker.sessions
    assert reader.messages() == []


def test_what_is_larger_than_the_client_accepts_is_not_sent(peer: MakePeer, broker: Broker) -> None:
    reader, sender = peer("r", version=5, properties={c.MAXIMUM_PACKET_SIZE: 50}), peer("s")
    reader.subscribe("a")
    reader.read()
    for qos in (0, 1):
        sender.publish("a", b"x" * 100, qos=qos, packet_id=qos)
        sender.publish("a", b"small", qos=qos, packet_id=qos * 2)
    assert [m.payload for m in reader.messages()] == [b"small", b"small"]
    assert broker.stats.messages_dropped == 2
    assert len(reader.session.inflight) == 1
