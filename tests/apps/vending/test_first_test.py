"""«First test of every user»: the lines of the contract, word for word, on a real server."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.vending.house import WAIT_S, at_ports, running, vending_house
from tests.house import House

pytestmark = [pytest.mark.slow, pytest.mark.needs_mosquitto]

SUBSCRIBE = "mosquitto_sub -h localhost -t vm/VM01/command"
TRIGGER = """curl -X POST localhost:3001/api/dispense/trigger -d '{"order_id":"test-order-123"}'"""
ANSWER = (
    "mosquitto_pub -h localhost -t vm/VM01/dispense_result "
    """-m '{"orderId":"test-order-123","slot":1,"success":true,"dropDetected":true,"""
    """"durationMs":1850,"error":""}'"""
)
LOGS = "SELECT * FROM dispense_logs ORDER BY command_sent_at DESC"
ORDERS = "SELECT id,status,dispensed_at FROM orders"
STOCK_LOGS = "SELECT * FROM stock_logs ORDER BY created_at DESC"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = vending_house(tmp_path)
    try:
        house.start()
        yield house
    finally:
        house.close()


def run(words: list[str]) -> str:
    return subprocess.run(words, check=True, timeout=WAIT_S, capture_output=True, text=True).stdout


async def test_the_first_test_of_every_user(house: House) -> None:
    """Subscribe, trigger, answer; then the tables show it.

    «First test of every user: subscribe to `vm/VM01/command`; `curl -X POST
    localhost:3001/api/dispense/trigger -d '{"order_id":"test-order-123"}'` (demo»
    «The backend logs `Subscribed to vm/…` once per topic filter.»
    """
    words = at_ports(house, SUBSCRIBE)
    # -d says when it is subscribed; without a terminal it would say so late.
    with running(["stdbuf", "-oL", words[0], "-d", *words[1:]]) as machine:
        assert machine.stdout is not None
        async with asyncio.timeout(WAIT_S):
            seen = ""
            while "Subscribed" not in seen:
                seen = await asyncio.to_thread(machine.stdout.readline)
            answer = json.loads(await asyncio.to_thread(run, at_ports(house, TRIGGER)))
            while '"cmd"' not in seen:
                seen = await asyncio.to_thread(machine.stdout.readline)
    assert answer["status"] == "DISPENSING"
    command = {"cmd": "dispense", "slot": 1, "orderId": "test-order-123", "timeoutMs": 2150}
    assert answer["command"] == command
    assert json.loads(seen) == command

    run(at_ports(house, ANSWER))
    deadline = time.monotonic() + WAIT_S
    while ("test-order-123", "COMPLETED") not in [row[:2] for row in house.select(ORDERS)]:
        assert time.monotonic() < deadline, house.select(ORDERS)  # QoS 0: nobody says when
        await asyncio.sleep(0.02)
    ((_, _, dispensed_at),) = house.select(ORDERS)
    assert dispensed_at > 1_700_000_000_000_000
    assert len(house.select(LOGS)) == 1
    assert len(house.select(STOCK_LOGS)) == 1
    # The backend logs `Subscribed to vm/…` once per topic filter.
    for leaf in ("telemetry", "status", "dispense_result"):
        assert house.log().count(f"Subscribed to vm/+/{leaf}") == 1


async def test_the_same_trigger_again_dispenses_nothing(house: House) -> None:
    first = json.loads(run(at_ports(house, TRIGGER)))
    second = json.loads(run(at_ports(house, TRIGGER)))
    assert (first["status"], second["status"]) == ("PENDING_DISPENSE", "PENDING_DISPENSE")
    assert second["error"]
    assert len(house.select(LOGS)) == 1
