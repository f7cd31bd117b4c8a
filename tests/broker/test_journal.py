"""What the broker tells its journal, and what waits until it is stored."""

from collections.abc import Callable

import pytest

from fleetwire.broker.broker import Broker, Limits
from fleetwire.broker.delivery import Ticket
from fleetwire.broker.grants import Grant
from fleetwire.broker.journal import NoJournal
from fleetwire.broker.session import WAIT_PUBCOMP, Outgoing, Session
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Ack, Publish, Suback, Subscription
from tests.broker.conftest import Peer

SECOND = 1_000_000


class SlowJournal(NoJournal):
    """Writes down what it is told; nothing is stored until the test says so."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.waiting: list[Callable[[], None]] = []

    def store(self) -> None:
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action()

    def keep_session(self, session: Session) -> None:
        state = "connected" if session.disconnected_at == 0 else "away"
        self.told.append(f"session {session.client_id} {state}")

    def drop_session(self, session: Session) -> None:
        self.told.append(f"no session {session.client_id}")

    def keep_subscription(
        self, session: Session, subscription: Subscription, identifier: int
    ) -> None:
        self.told.append(f"subscription {session.client_id} {subscription.topic_filter}")

    def drop_subscription(self, session: Session, topic_filter: str) -> None:
        self.told.append(f"no subscription {session.client_id} {topic_filter}")

    def keep_outgoing(self, session: Session, outgoing: Outgoing) -> None:
        payload = outgoing.publish.payload.decode()
        self.told.append(f"outgoing {payload} id {outgoing.packet_id} state {outgoing.state}")

    def drop_outgoing(self, session: Session, outgoing: Outgoing) -> None:
        self.told.append(f"no outgoing {outgoing.publish.payload.decode()}")

    def keep_received(self, session: Session, packet_id: int) -> None:
        self.told.append(f"received {packet_id}")

    def drop_received(self, session: Session, packet_id: int) -> None:
        self.told.append(f"no received {packet_id}")

    def keep_retained(self, publish: Publish, expires_at: int) -> None:
        self.told.append(f"retained {publish.topic_name} {publish.payload.decode()}")

    def keep_will(self, session: Session, will: Publish, delay_s: int, due_at: int) -> None:
        self.told.append(f"will {session.client_id} due {due_at}")

    def drop_will(self, session: Session) -> None:
        self.told.append(f"no will {session.client_id}")

    def hold(self, ticket: Ticket) -> None:
        self.waiting.append(lambda: ticket.release(0))

    def when_stored(self, action: Callable[[], None]) -> None:
        self.waiting.append(action)


@pytest.fixture
def journal() -> SlowJournal:
    return SlowJournal()


@pytest.fixture
def broker(journal: SlowJournal) -> Broker:
    return Broker(Limits(queue_messages=5), None, journal)


@pytest.fixture
def keeper_of(broker: Broker, journal: SlowJournal) -> Callable[..., Peer]:
    """A client with a persistent session, subscribed to everything under t/."""

    def make(client_id: str = "keeper", qos: int = 2) -> Peer:
        one = Peer(broker, client_id, clean=False)
        one.subscribe("t/#", qos)
        journal.store()
        one.read()
        journal.told.clear()
        return one

    return make


def acks(peer: Peer) -> list[tuple[int, int]]:
    return [(each.type, each.packet_id) for each in peer.read() if isinstance(each, Ack)]


def test_puback_waits_for_the_journal_if_a_persistent_session_took_the_message(
    keeper_of: Callable[..., Peer], broker: Broker, journal: SlowJournal
) -> None:
    keeper_of()
    sender = Peer(broker, "s")
    sender.publish("t/1", b"m", qos=1, packet_id=7)
    assert journal.told == ["outgoing m id 1 state 1"]
    assert acks(sender) == []
    journal.store()
    assert acks(sender) == [(c.PUBACK, 7)]


def test_puback_for_connected_clean_sessions_waits_for_nothing(
    broker: Broker, journal: SlowJournal
) -> None:
    clean = Peer(broker, "c")
    clean.subscribe("t/#")
    sender = Peer(broker, "s")
    sender.publish("t/1", b"m", qos=1, packet_id=7)
    assert acks(sender) == [(c.PUBACK, 7)]
    assert journal.told == []


def test_a_puback_that_waits_holds_back_those_after_it(
    keeper_of: Callable[..., Peer], broker: Broker, journal: SlowJournal
) -> None:
    keeper_of()
    other = Peer(broker, "o")
    other.subscribe("u")
    sender = Peer(broker, "s")
    sender.publish("t/1", b"m", qos=1, packet_id=1)
    sender.publish("u", b"m", qos=1, packet_id=2)
    assert acks(sender) == []
    journal.store()
    assert acks(sender) == [(c.PUBACK, 1), (c.PUBACK, 2)]


def test_a_qos_1_message_is_sent_while_it_is_stored(
    keeper_of: Callable[..., Peer], broker: Broker, journal: SlowJournal
) -> None:
    keeper = keeper_of(qos=1)
    Peer(broker, "s").publish("t/1", b"m", qos=1, packet_id=1)
    (message,) = keeper.messages()
    keeper.acknowledge(c.PUBACK, message.packet_id)
    assert journal.told == ["outgoing m id 1 state 1", "no outgoing m"]


def test_each_step_of_a_qos_2_message_waits_until_the_one_before_is_stored(
    keeper_of: Callable[..., Peer], broker: Broker, journal: SlowJournal
) -> None:
    keeper = keeper_of()
    Peer(broker, "s").publish("t/1", b"m", qos=2, packet_id=1)
    assert keeper.messages() == []
    journal.store()
    (message,) = keeper.messages()
    keeper.acknowledge(c.PUBREC, message.packet_id)
    assert acks(keeper) == []
    journal.store()
    assert acks(keeper) == [(c.PUBREL, message.packet_id)]
    keeper.acknowledge(c.PUBCOMP, message.packet_id)
    assert journal.told == [
        "outgoing m id 1 state 2",
        f"outgoing m id 1 state {WAIT_PUBCOMP}",
        "no outgoing m",
    ]


def test_a_client_that_returns_before_its_qos_2_message_is_stored_gets_it_once(
    keeper_of: Callable[..., Peer], broker: Broker, journal: SlowJournal
) -> None:
    keeper = keeper_of()
    Peer(broker, "s").publish("t/1", b"m", qos=2, packet_id=1)
    keeper.leave()
    again = Peer(broker, "keeper", clean=False)
    assert again.messages() == []
    journal.store()
    assert len(again.messages()) == 1


def test_the_packet_id_of_a_received_qos_2_message_is_journaled_until_pubrel(
    broker: Broker, journal: SlowJournal
) -> None:
    sender = Peer(broker, "s", clean=False)
    journal.told.clear()
    sender.publish("nobody", b"m", qos=2, packet_id=9)
    assert acks(sender) == []
    journal.store()
    assert acks(sender) == [(c.PUBREC, 9)]
    sender.acknowledge(c.PUBREL, 9)
    assert acks(sender) == []
    journal.store()
    assert acks(sender) == [(c.PUBCOMP, 9)]
    assert journal.told == ["received 9", "no received 9"]


def test_suback_of_a_persistent_session_waits_for_the_journal(
    broker: Broker, journal: SlowJournal
) -> None:
    one = Peer(broker, "k", clean=False)
    one.subscribe("t/#")
    assert one.read() == []
    journal.store()
    assert [type(each) for each in one.read()] == [Suback]
    assert journal.told == ["session k connected", "subscription k t/#"]


def test_a_retained_message_is_acknowledged_when_it_is_stored(
    broker: Broker, journal: SlowJournal
) -> None:
    sender = Peer(broker, "s")
    sender.publish("t/1", b"m", qos=1, packet_id=1, retain=True)
    assert acks(sender) == []
    journal.store()
    assert acks(sender) == [(c.PUBACK, 1)]
    sender.publish("t/1", b"", qos=1, packet_id=2, retain=True)
    assert journal.told == ["retained t/1 m", "retained t/1 "]


def test_what_the_house_says_of_itself_is_not_journaled(
    broker: Broker, journal: SlowJournal
) -> None:
    broker.publish_own(Publish("$SYS/broker/uptime", b"1", 0, True), 0)
    assert len(broker.retained) == 1
    assert journal.told == []


def test_a_session_that_leaves_and_ends_is_told(broker: Broker, journal: SlowJournal) -> None:
    one = Peer(broker, "k", clean=False, now=0)
    one.now = SECOND
    one.leave()
    broker.tick((Limits().session_expiry_s + 2) * SECOND)
    assert journal.told == ["session k connected", "session k away", "no session k"]


def test_a_will_is_journaled_while_its_connection_stands(
    broker: Broker, journal: SlowJournal
) -> None:
    one = Peer(broker, "w", will=Publish("gone", b"w"))
    one.leave(with_will=True)
    assert journal.told == ["will w due 0", "no will w"]


def test_a_restored_broker_goes_on_where_it_was(journal: SlowJournal) -> None:
    grant = Grant("device:demo/k", [], [])
    session = Session("k", grant)
    session.expiry_interval = 3600
    session.disconnected_at = 5
    session.subscriptions["t/#"] = (Subscription("t/#", 1), 0)
    sent = Outgoing(Publish("t/1", b"sent", 1), 1, False, None, 0, None)
    sent.packet_id, sent.state = 4, 1
    session.inflight[4] = sent
    waiting = Outgoing(Publish("t/1", b"waiting", 1), 1, False, None, 0, None)
    session.queue.append(waiting)
    session.queue_bytes = waiting.size
    sender = Session("w", Grant("device:demo/w", ["#"], []))
    broker = Broker(Limits(), None, journal)
    broker.restore(
        [session],
        [(Publish("t/r", b"kept", 0, True), 0)],
        [(sender, Publish("t/will", b"gone", 1), 10, 0)],
        now=0,
    )
    broker.tick(11 * SECOND)
    anyone = Grant("device:demo/k", ["#"], ["#"])
    back = Peer(broker, "k", clean=False, grant=anyone, now=12 * SECOND)
    assert back.opened.session_present
    assert [(each.payload, each.dup) for each in back.messages()] == [
        (b"sent", True),
        (b"waiting", False),
        (b"gone", False),
    ]
    assert [kept.publish.payload for kept in broker.retained] == [b"kept"]


def test_a_message_that_cannot_be_stored_ends_the_connection_unacknowledged(
    keeper_of: Callable[..., Peer], broker: Broker, journal: SlowJournal
) -> None:
    keeper_of()
    sender = Peer(broker, "s")
    sender.publish("t/1", b"m", qos=1, packet_id=7)
    (ticket,) = sender.link.acks
    ticket.fail()
    assert sender.link.closed_with == (c.UNSPECIFIED_ERROR, "a message could not be stored")
    assert acks(sender) == []


def test_a_command_is_the_ledgers_and_not_the_journals(
    keeper_of: Callable[..., Peer], broker: Broker, journal: SlowJournal
) -> None:
    keeper = keeper_of()
    told: list[str] = []
    broker.send_to_device(
        0, Publish("t/1", b"go", 1), 0, lambda: told.append("delivered"), told.append, 0
    )
    keeper.subscribe("t/1", 1)
    journal.store()
    keeper.read()
    journal.told.clear()
    assert broker.send_to_device(
        0, Publish("t/1", b"go", 1), 0, lambda: told.append("delivered"), told.append, 0
    )
    (message,) = keeper.messages()
    keeper.acknowledge(c.PUBACK, message.packet_id)
    assert told == ["delivered"]
    assert journal.told == []


def test_a_restored_message_of_a_group_finds_its_group_again(journal: SlowJournal) -> None:
    grant = Grant("device:demo/k", [], [])
    member = Session("k", grant)
    member.expiry_interval = 3600
    member.subscriptions["$share/g/t"] = (Subscription("$share/g/t", 1), 0)
    waiting = Outgoing(Publish("t", b"m", 1), 1, False, None, 0, None)
    member.queue.append(waiting)
    broker = Broker(Limits(), None, journal)
    broker.restore([member], [], [], 0, [(member, waiting)])
    (group,) = broker.tree.find("t").groups
    assert waiting.group is group
