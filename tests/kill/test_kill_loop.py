"""Acknowledged means stored: also when the server is killed at the worst moment.

Several devices publish QoS 1 without a pause while the server is killed and started again on the
same data, again and again. Afterwards every message whose PUBACK a device saw is in the database,
once.
"""

import random
import threading
import time
from collections import Counter

import pytest

from tests.house import House
from tests.kill.publisher import Publisher

DEVICES = 4
KILLS = 20
SEED = 20
LONGEST_LIFE_S = 0.4  # after the first acknowledgement
ACKNOWLEDGED_TIMEOUT_S = 20.0
FINISH_TIMEOUT_S = 20.0


@pytest.mark.timeout(180)  # it takes less than a minute; a busy machine may need longer
def test_every_acknowledged_message_survives_twenty_kills_exactly_once(house: House) -> None:
    moments = random.Random(SEED)
    acknowledged = threading.Event()
    publishers = [
        Publisher(house.mqtt_port, house.register_device(f"kill-{n}"), acknowledged.set)
        for n in range(DEVICES)
    ]
    for publisher in publishers:
        publisher.start()

    for _ in range(KILLS):
        acknowledged.clear()
        assert acknowledged.wait(ACKNOWLEDGED_TIMEOUT_S), f"no PUBACK any more\n{house.log()}"
        # Not a wait for something: this is the random moment.
        time.sleep(moments.uniform(0, LONGEST_LIFE_S))
        house.kill()
        house.start()
    for publisher in publishers:
        publisher.finish(FINISH_TIMEOUT_S)
    house.stop()

    rows = Counter(
        house.select(
            """
            SELECT devices.device_id, CAST(readings.number AS INTEGER)
            FROM readings JOIN devices ON devices.id = readings.device
            JOIN metrics ON metrics.id = readings.metric AND metrics.name = 'count'
            """
        )
    )
    promised = {(p.device_id, number) for p in publishers for number in p.acknowledged}
    assert [message for message in promised if rows[message] == 0] == [], "acknowledged, but lost"
    assert [row for row, times in rows.items() if times > 1] == [], "stored more than once"
    # All were acknowledged in the end, so there is nothing in the table but them.
    assert rows.keys() == promised
    assert house.select("PRAGMA integrity_check") == [("ok",)]
    # The load was on at every kill, and each life of the server was used by all devices.
    assert min(publisher.connections for publisher in publishers) > KILLS // 2
