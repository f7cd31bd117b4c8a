"""Acknowledged means delivered: also to those who are away, and when the server is killed.

Senders with QoS 1 and QoS 2 publish without a pause, receivers with sessions that persist come and
go, and the server is killed and started again on the same data, again and again. Afterwards every
receiver has every message that a sender has an acknowledgement for, and none of QoS 2 twice.
"""

import random
import threading
import time

import pytest

from tests.house import House
from tests.kill.relay_clients import Receiver, Sender

SENDERS = 4  # half of them with either QoS
RECEIVERS = 2
KILLS = 15
SEED = 15
LONGEST_LIFE_S = 0.5  # after the first acknowledgement
MOST_BEHIND = 2_000  # messages a receiver may lack; far below what a session's queue holds
TIMEOUT_S = 30.0


@pytest.mark.slow
@pytest.mark.timeout(240)  # it takes about a minute; a busy machine may need longer
def test_every_acknowledged_message_reaches_persistent_subscribers_through_fifteen_kills(
    house: House,
) -> None:
    moments = random.Random(SEED)
    acknowledged = threading.Event()
    receivers = [Receiver(house.mqtt_port, f"kill-r{n}", SEED + n) for n in range(RECEIVERS)]
    senders: list[Sender] = []

    def may_send() -> bool:
        done = sum(len(sender.acknowledged) for sender in senders)
        return done - min(len(receiver.got) for receiver in receivers) < MOST_BEHIND

    for n in range(SENDERS):
        sender = Sender(house.mqtt_port, f"kill-s{n}", 1 + n % 2, may_send, acknowledged.set)
        senders.append(sender)
    for receiver in receivers:
        receiver.start()
    for receiver in receivers:
        assert receiver.subscribed.wait(TIMEOUT_S), f"no SUBACK\n{house.log()}"
    for sender in senders:
        sender.start()

    for _ in range(KILLS):
        acknowledged.clear()
        went_on = acknowledged.wait(TIMEOUT_S)
        for client in (*senders, *receivers):
            client.check()
        assert went_on, f"nothing is acknowledged any more\n{house.log()}"
        # Not a wait for something: this is the random moment.
        time.sleep(moments.uniform(0, LONGEST_LIFE_S))
        house.kill()
        house.start()
    for sender in senders:
        sender.finish(TIMEOUT_S)
    promised = {(s.client_id, number) for s in senders for number in s.acknowledged}
    for receiver in receivers:
        receiver.expect(promised)
    for receiver in receivers:
        receiver.finish(TIMEOUT_S)
    house.stop()

    for receiver in receivers:
        twice = [
            (sender.client_id, number)
            for sender in senders
            for number in sender.acknowledged
            if sender.qos == 2 and receiver.got[sender.client_id, number] != 1
        ]
        assert twice == [], f"{receiver.client_id}: QoS 2, and not exactly once"
        assert receiver.got.keys() == promised  # all were acknowledged in the end
        for sender_id, order in receiver.order.items():
            assert order == sorted(order), f"{receiver.client_id}: {sender_id} is out of order"
    # The load was on at every kill, and each life of the server was used by everybody.
    assert min(client.connections for client in [*senders, *receivers]) > KILLS // 2
    assert min(len(sender.acknowledged) for sender in senders) > KILLS
