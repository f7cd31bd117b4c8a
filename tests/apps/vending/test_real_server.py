"""What only a real server shows: rights at the broker, small clients, the command line."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetwire.apps.vending import app
from fleetwire.apps.vending.tables import metadata
from fleetwire.net.client import MessageRefusedError, MQTTClient, SubscriptionRefusedError
from fleetwire.protocol import constants as c
from fleetwire.protocol.packets import Publish, Subscription
from tests.apps.vending.house import WAIT_S, url_of, vending_house
from tests.house import House
from tests.web.realtime.socket_client import entered

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


def tables_of(house: House) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a refused message could have changed; the machine itself may come and go."""
    names = metadata.tables.keys() - {"machines"}
    found = {name: house.select(f"SELECT * FROM {name} ORDER BY id") for name in sorted(names)}
    return found | {"VM01": house.select("SELECT * FROM machines WHERE id = 'VM01'")}


async def test_a_machine_s_credential_is_for_its_own_topics(house: House) -> None:
    """Publishing as another machine, or commands: refused, audited, nothing changed."""
    username, password = registered(house, "VM10")
    heard: list[Publish] = []
    before = tables_of(house)
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
    assert tables_of(house) == before
    await client.publish("vm/VM10/telemetry", b'{"temperature":0}', 1)
    await client.disconnect()
    assert heard == []
    assert house.select("SELECT value FROM temperature_logs WHERE machine_id = 'VM10'") == [(0.0,)]
    deadline = time.monotonic() + WAIT_S  # what is audited of refusals is gathered for a moment
    audited = "SELECT subject, outcome FROM audit WHERE actor = 'device:vending/VM10'"
    while len(rows := house.select(audited)) < len(others):
        assert time.monotonic() < deadline, rows
    assert {outcome for _, outcome in rows} == {"refused"}


async def test_a_backend_s_credential_writes_commands_and_reads_everything(house: House) -> None:
    """«the backend's may write every `command, config` and read `vm/+/#`.»"""
    rights = {"publish": ["vm/+/command", "vm/+/config"], "subscribe": ["vm/+/#"]}
    made = house.http(house.url).post("/api/v1/api-keys", json={"name": "vending_admin", **rights})
    assert made.status_code == 201, made.text
    login = {"username": "vending_admin", "password": made.json()["token"]}
    machine = MQTTClient(
        "VM11", version=c.V311, **dict(zip(login, registered(house, "VM11"), strict=True))
    )
    backend = MQTTClient("backend", version=c.V5, **login)
    for client in (machine, backend):
        await client.connect("127.0.0.1", house.mqtt_port)
    await backend.subscribe(Subscription("vm/+/#", 1))
    await machine.subscribe(Subscription("vm/VM11/command", 1), Subscription("vm/VM11/config", 1))
    async with asyncio.timeout(WAIT_S):
        for leaf in ("command", "config"):
            await backend.publish(f"vm/VM11/{leaf}", b"{}", 1)
            assert (await anext(machine.messages())).topic_name == f"vm/VM11/{leaf}"
        await machine.publish("vm/VM11/telemetry", b'{"temperature":4}', 0)
        heard = [(await anext(backend.messages())).topic_name for _ in range(3)]
    assert heard == ["vm/VM11/command", "vm/VM11/config", "vm/VM11/telemetry"]
    with pytest.raises(MessageRefusedError, match="refused"):
        await backend.publish("vm/VM11/dispense_result", b"{}", 1)
    for client in (machine, backend):
        await client.disconnect()


async def test_machines_and_the_phone_app_come_in_as_they_do_in_the_field(house: House) -> None:
    """«machines are ESP32 with PubSubClient: MQTT 3.1.1, packets ≤ 256 bytes, QoS 0 publishes,
    keep-alive 15-60 s; the phone app speaks MQTT 3.1 with a 29-character client id»
    """
    username, password = registered(house, "VM12")
    will = Publish("vm/VM12/status", b'{"status":"offline"}', 0)
    phone = MQTTClient("p" * 29, version=c.V31, will=will)  # 23 characters is what MQTT 3.1 allows
    await phone.connect("127.0.0.1", house.mqtt_port)

    def is_known_as(*said: str) -> bool:
        return house.select("SELECT status, fw FROM machines WHERE id = 'VM12'") == [said]

    async def come(keep_alive: int, fw: str) -> MQTTClient:
        machine = MQTTClient(
            "VM12", version=c.V311, keep_alive=keep_alive, username=username, password=password
        )
        await machine.connect("127.0.0.1", house.mqtt_port)
        machine.publish_soon("vm/VM12/status", b'{"status":"ONLINE","fw":"%s"}' % fw.encode(), 0)
        await until(lambda: is_known_as("ONLINE", fw))
        return machine

    await (await come(15, "1.0.0")).disconnect()
    await until(lambda: is_known_as("OFFLINE", "1.0.0"))
    machine = await come(60, "1.0.1")
    lose(phone)
    refused = "SELECT 1 FROM quarantine WHERE topic = 'vm/VM12/status'"
    await until(lambda: house.select(refused) != [])
    assert is_known_as("ONLINE", "1.0.1")
    # The demonstration's VM01 is nobody of these.
    assert house.select("SELECT status FROM machines WHERE id = 'VM01'") == [("OFFLINE",)]
    await machine.disconnect()


def lose(client: MQTTClient) -> None:
    """End a client's connection without a word, so that its Will is published."""
    transport = client._transport
    assert transport is not None
    transport.abort()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what QoS 0 tells nobody about."""
    async with asyncio.timeout(WAIT_S):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110  # it is another process
            await asyncio.sleep(0.02)


async def test_a_kiosk_in_a_room_of_socket_io_is_told_every_change(house: House) -> None:
    """Socket.IO/WebSocket room `order:{order_id}` with every state change, failure included."""
    http = house.http(url_of(house))
    order_id, other = (
        http.post("/api/orders", json={"slot_id": 2, "payment_method": "qris"}).json()["order_id"]
        for _ in range(2)
    )
    async with entered(house.app_ports["vending"]) as kiosk:
        room = f"order:{order_id}"
        assert await kiosk.ask("join", room) == {"rooms": [room]}
        assert (await kiosk.next("order.status"))["status"] == "PENDING"
        refused = await kiosk.ask("join", "order:ORD-20260101-AAAAAAAA")
        assert (refused["status"], refused["field"]) == (404, "order_id")
        assert (await kiosk.ask("join", "somewhere"))["field"] == "room"
        for each in (other, order_id):
            url = f"/api/payments/sandbox/{each}?action=refuse"
            assert (await asyncio.to_thread(http.post, url)).status_code == 200
        told = await kiosk.next("order.status")
        assert (told["order_id"], told["status"]) == (order_id, "FAILED")
        assert await kiosk.ask("leave", room) == {"rooms": []}


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


async def test_what_was_acknowledged_survives_a_kill(house: House) -> None:
    """«QoS 1/2 acknowledged means stored.»"""
    username, password = registered(house, "VM13")
    client = MQTTClient("VM13", version=c.V311, username=username, password=password)
    await client.connect("127.0.0.1", house.mqtt_port)
    for value in range(20):
        await client.publish("vm/VM13/telemetry", b'{"temperature":%d}' % value, 1)
    await asyncio.to_thread(house.kill)
    await asyncio.to_thread(house.start)
    found = house.select("SELECT temperature FROM machine_telemetry WHERE machine_id = 'VM13'")
    assert [temperature for (temperature,) in found] == list(range(20))


def test_in_production_nothing_is_open_for_development(tmp_path: Path) -> None:
    """«Debug routes exist in development mode only.»"""
    house = vending_house(tmp_path, {"FLEETWIRE_MODE": "production"})
    try:
        house.start()
        order = {"order_id": "test-order-123"}
        with httpx.Client(base_url=url_of(house)) as http:
            assert http.post("/api/dispense/trigger", json=order).status_code == 401
            assert http.get("/api/debug/mqtt/status").status_code == 404
            assert http.get("/api/payments/sandbox/test-order-123").status_code == 404
            new = {"slot_id": 1, "payment_method": "qris"}
            assert http.post("/api/orders", json=new).status_code == 503  # no gateway is set up
            assert http.get("/api/products").status_code == 200
        assert house.select("SELECT status FROM orders") == [("PAID",)]
    finally:
        house.close()
