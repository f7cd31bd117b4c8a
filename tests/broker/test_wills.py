"""Wills that wait (MQTT 5.0 §3.1.3.2.2), and what ends the waiting."""

from collections.abc import Callable

from fleetwire.broker.broker import Broker
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Properties, Publish
from tests.broker.conftest import Peer

SECOND = 1_000_000
Make = Callable[..., Peer]
DELAYED: Properties = {c.WILL_DELAY_INTERVAL: 30, c.CONTENT_TYPE: "text/plain"}


def leaver(peer: Make, expiry_s: int = 600) -> Peer:
    return peer(
        "w",
        version=5,
        will=Publish("gone/w", b"bye", 0, False, False, 0, dict(DELAYED)),
        properties={c.SESSION_EXPIRY_INTERVAL: expiry_s},
    )


def watcher(peer: Make) -> Peer:
    watching = peer("watcher", version=5)
    watching.subscribe("gone/#", 0)
    watching.read()
    return watching


def test_a_will_goes_out_when_its_delay_has_passed(peer: Make, broker: Broker) -> None:
    watching = watcher(peer)
    leaver(peer).leave(with_will=True)
    broker.tick(29 * SECOND)
    assert watching.messages() == []
    broker.tick(30 * SECOND)
    (will,) = watching.messages()
    assert will.properties == {c.CONTENT_TYPE: "text/plain"}
    broker.tick(31 * SECOND)
    assert watching.messages() == []


def test_a_client_that_is_back_in_time_keeps_its_will_unsaid(peer: Make, broker: Broker) -> None:
    watching = watcher(peer)
    leaver(peer).leave(with_will=True)
    again = peer("w", version=5, clean=False, properties={c.SESSION_EXPIRY_INTERVAL: 600})
    assert again.opened.session_present
    broker.tick(60 * SECOND)
    assert watching.messages() == []


def test_the_end_of_the_session_sends_the_will_before_its_delay(peer: Make, broker: Broker) -> None:
    watching = watcher(peer)
    leaver(peer, expiry_s=10).leave(with_will=True)
    broker.tick(9 * SECOND)
    assert watching.messages() == []
    broker.tick(10 * SECOND)
    assert len(watching.messages()) == 1


def test_a_clean_start_ends_the_session_and_sends_the_will(peer: Make) -> None:
    watching = watcher(peer)
    leaver(peer).leave(with_will=True)
    peer("w", version=5, clean=True)
    assert len(watching.messages()) == 1


def test_a_will_of_a_session_that_ends_with_its_connection_waits_for_nothing(peer: Make) -> None:
    watching = watcher(peer)
    leaver(peer, expiry_s=0).leave(with_will=True)
    assert len(watching.messages()) == 1


def test_a_take_over_discards_a_will_with_a_delay(peer: Make, broker: Broker) -> None:
    watching = watcher(peer)
    leaver(peer)
    peer("w", version=5, clean=False, properties={c.SESSION_EXPIRY_INTERVAL: 600})
    broker.tick(60 * SECOND)
    assert watching.messages() == []


def test_a_normal_disconnect_discards_the_will(peer: Make, broker: Broker) -> None:
    watching = watcher(peer)
    leaver(peer).leave(with_will=False)
    broker.tick(60 * SECOND)
    assert watching.messages() == []
