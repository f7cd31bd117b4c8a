"""Runs of plain QoS 1 messages: handed on at once, answered in the order they came in."""

from collections.abc import Callable

import pytest

from fleetwire.broker.broker import Broker
from fleetwire.broker.grants import Grant
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Packet, Publish
from tests.broker.conftest import Keeper, Peer

MakePeer = Callable[..., Peer]


class RunKeeper(Keeper):
    """A taker that is given messages many at a time."""

    takes_runs = True


@pytest.fixture
def runs(broker: Broker) -> RunKeeper:
    keeper = RunKeeper()
    broker.tree.add_taker("in/#", keeper)
    return keeper


def _run(first: int, last: int, topic: str = "in/a", qos: int = 1) -> list[Publish]:
    # One name object for all, as the decoder gives a read of one topic.
    return [Publish(topic, b"%d" % n, qos, packet_id=n) for n in range(first, last + 1)]


def _send(peer: Peer, *publishes: Publish) -> None:
    peer.broker.publish(peer.session, list(publishes), peer.now)


def _ids(packets: list[Packet]) -> list[int]:
    return [packet.packet_id for packet in packets if isinstance(packet, Ack)]


def test_a_run_is_answered_when_all_of_it_is_stored(peer: MakePeer, runs: RunKeeper) -> None:
    sender = peer("a")
    _send(sender, *_run(1, 3))
    ticket = runs.deliveries[0].ticket
    assert ticket is not None
    assert [delivery.ticket for delivery in runs.deliveries] == [ticket] * 3
    ticket.release_stored(2)
    assert sender.read() == []
    ticket.release_stored(1)
    assert sender.read() == [Ack(c.PUBACK, 1), Ack(c.PUBACK, 2), Ack(c.PUBACK, 3)]
    ticket.release_stored(3)
    assert sender.read() == []


@pytest.mark.parametrize("version", [c.V311, c.V5])
def test_one_of_a_run_that_is_refused_has_its_own_reason_code(
    peer: MakePeer, runs: RunKeeper, version: int
) -> None:
    sender = peer("a", version=version)
    _send(sender, *_run(1, 3))
    ticket = runs.deliveries[0].ticket
    assert ticket is not None
    ticket.release_stored(2)
    ticket.release_one(2, c.PAYLOAD_FORMAT_INVALID)
    code = c.PAYLOAD_FORMAT_INVALID if version == c.V5 else 0
    assert sender.read() == [Ack(c.PUBACK, 1), Ack(c.PUBACK, 2, code), Ack(c.PUBACK, 3)]


def test_a_run_waits_for_what_came_before_it_and_holds_what_came_after(
    peer: MakePeer, runs: RunKeeper
) -> None:
    sender = peer("a")
    _send(sender, *_run(1, 1, "in/x", qos=2), *_run(2, 3), *_run(4, 4, "in/y", qos=2))
    first, run, _, last = [delivery.ticket for delivery in runs.deliveries]
    assert first is not None
    assert run is not None
    assert last is not None
    last.release(0)
    run.release_stored(2)
    assert sender.read() == []
    first.release(0)
    assert [(ack.type, ack.packet_id) for ack in sender.read() if isinstance(ack, Ack)] == [
        (c.PUBREC, 1), (c.PUBACK, 2), (c.PUBACK, 3), (c.PUBREC, 4),
    ]  # fmt: skip


def test_a_run_ends_where_topic_qos_or_retain_change(peer: MakePeer, runs: RunKeeper) -> None:
    sender = peer("a")
    retained = Publish("in/a", b"r", 1, True, packet_id=3)
    _send(sender, *_run(1, 2), retained, *_run(4, 5), *_run(6, 6, "in/b"), Publish("in/a", b"7"))
    tickets = [delivery.ticket for delivery in runs.deliveries]
    assert len({id(ticket) for ticket in tickets[:-1]}) == 4
    assert tickets[-1] is None
    for ticket in dict.fromkeys(tickets[:-1]):
        assert ticket is not None
        ticket.release(0)
    assert _ids(sender.read()) == [1, 2, 3, 4, 5, 6]


def test_a_run_that_cannot_be_stored_is_not_answered(peer: MakePeer, runs: RunKeeper) -> None:
    sender = peer("a")
    _send(sender, *_run(1, 3))
    ticket = runs.deliveries[0].ticket
    assert ticket is not None
    ticket.fail()
    assert sender.link.closed_with == (c.UNSPECIFIED_ERROR, "a message could not be stored")
    assert _ids(sender.read()) == []


def test_a_run_without_permission_goes_to_nobody(
    peer: MakePeer, runs: RunKeeper, refusals: Keeper
) -> None:
    sender = peer("a", version=c.V5, grant=Grant("device:a", ["other/#"], ["#"]))
    _send(sender, *_run(1, 2))
    assert runs.deliveries == []
    assert len(refusals.deliveries) == 2


@pytest.mark.parametrize("version", [c.V311, c.V5])
def test_a_run_for_one_subscriber_arrives_in_order_and_is_answered(
    peer: MakePeer, version: int
) -> None:
    sender, receiver = peer("a"), peer("b", version=version)
    receiver.subscribe("out/#")
    _send(sender, *_run(11, 13, "out/x"))
    assert _ids(sender.read()) == [11, 12, 13]
    assert [(got.payload, got.packet_id) for got in receiver.messages()] == [
        (b"11", 1), (b"12", 2), (b"13", 3),
    ]  # fmt: skip
    assert receiver.session.inflight_bytes == 3 * len("out/x11")
    for packet_id in (1, 2, 3):
        receiver.acknowledge(c.PUBACK, packet_id)
    assert receiver.session.inflight_bytes == 0
    assert len(receiver.session.packet_ids) == 0


def test_a_run_larger_than_the_window_is_queued_for_the_rest(peer: MakePeer) -> None:
    sender = peer("a")
    receiver = peer("b", version=c.V5, properties={c.RECEIVE_MAXIMUM: 2})
    receiver.subscribe("out/#")
    _send(sender, *_run(1, 4, "out/x"))
    assert _ids(sender.read()) == [1, 2, 3, 4]
    assert [got.payload for got in receiver.messages()] == [b"1", b"2"]
    receiver.acknowledge(c.PUBACK, 1)
    assert [got.payload for got in receiver.messages()] == [b"3"]


def test_a_run_for_the_sender_itself_with_no_local_goes_to_nobody(peer: MakePeer) -> None:
    sender = peer("a", version=c.V5)
    sender.subscribe("out/#", no_local=True)
    _send(sender, *_run(1, 2, "out/x"))
    assert sender.messages() == []


def test_a_run_for_a_subscriber_with_qos_0_needs_no_packet_ids(peer: MakePeer) -> None:
    sender, receiver = peer("a"), peer("b")
    receiver.subscribe("out/#", qos=0)
    _send(sender, *_run(1, 2, "out/x"))
    assert [(got.qos, got.payload) for got in receiver.messages()] == [(0, b"1"), (0, b"2")]
    assert _ids(sender.read()) == [1, 2]
