"""What only a real server shows: rights at the broker, small clients, the command line."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwire.apps.vending import app
from fleetwire.net.client import MessageRefusedError, MQTTClient, SubscriptionRefusedError
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription
from tests.apps.vending.house import WAIT_S, url_of, vending_house
from tests.house import House

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = vending_house(tmp_path_factory.mktemp("vending"))
    try:
        house.start()
        yield house
    finally:
        house.close()


def registered(house: House, machine_id: str) -> tuple[str, str]:
    answer = house.http(url_of(house)).post("/api/machines", json={"machine_id": machine_id})
    assert answer.status_code == 201, answer.text
    mqtt = answer.json()["mqtt"]
    return mqtt["username"], mqtt["password"]


async def test_a_machine_s_credential_is_for_its_own_topics(house: House) -> None:
    """Publishing as another machine, or commands: refused, audited, nothing changed."""
    username, password = registered(house, "VM10")
    heard: list[Publish] = []
    client = MQTTClient(
        "VM10", username=username, password=password, version=c.V5, on_message=heard.append
    )
    await client.connect("127.0.0.1", house.mqtt_port)
    others = ("vm/VM01/dispense_result", "vm/VM01/status", "vm/VM01/command", "vm/VM10/command")
    for topic in others:
        with pytest.raises(MessageRefusedError, match="refused"):
            await client.publish(topic, b'{"status":"MAINTENANCE"}', 1)
    for topic_filter in ("vm/VM01/command", "vm/+/command", "#"):
        with pytest.raises(SubscriptionRefusedError, match="refused"):
            await client.subscribe(Subscription(topic_filter, 1))
    await client.publish("vm/VM10/telemetry", b'{"temperature":0}', 1)
    await client.disconnect()
    assert heard == []
    assert house.select("SELECT status FROM machines WHERE id = 'VM01'") == [("OFFLINE",)]
    assert house.select("SELECT value FROM temperature_logs WHERE machine_id = 'VM10'") == [(0.0,)]
    deadline = time.monotonic() + WAIT_S  # what is audited of refusals is gathered for a moment
    while not house.select("SELECT 1 FROM audit WHERE actor = 'device:vending/VM10'"):
        assert time.monotonic() < deadline


def test_a_packet_of_a_small_machine_holds_the_whole_command(house: House) -> None:
    """PubSubClient reads packets of 256 bytes."""
    longest = {
        "cmd": "dispense", "slot": 10_000, "orderId": "ORD-20260131-XXXXXXXX",
        "timeoutMs": 600_000, "itemIndex": 10, "totalItems": 10, "quantity": 10, "attempt": 1000,
    }  # fmt: skip
    name = str(longest.pop("cmd"))
    payload = app.command_payload(name, longest)
    topic = f"vm/{'x' * 64}/dispend"  # the longest name that a machine is registered with
    assert 2 + 2 + len(topic) + 2 + len(payload) <= 256


def test_the_command_line_runs_virtual_machines(house: House) -> None:
    """`fleetwire simulate vending --machines 50 --fault-rate 0.05`"""
    assert house.administrator is not None
    words = [
        sys.executable, "-m", "fleetwire.cli.main", "simulate", "vending", "--machines", "3",
        "--fault-rate", "0.05", "--seed", "7", "--duration", "3s", "--rate", "4",
        "--platform-url", house.url, "--host", "127.0.0.1", "--port", str(house.mqtt_port),
        "--username", house.administrator.username, "--password", house.administrator.password,
    ]  # fmt: skip
    outcome = subprocess.run(
        words, capture_output=True, text=True, timeout=60, cwd=Path(house.folder)
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "telemetry" in outcome.stdout
    rows = house.select("SELECT id, status FROM machines WHERE id LIKE 'sim-vm-%' ORDER BY id")
    assert [id for id, _ in rows] == ["sim-vm-0001", "sim-vm-0002", "sim-vm-0003"]
    assert house.select("SELECT count(*) FROM machine_telemetry")[0][0] > 5
