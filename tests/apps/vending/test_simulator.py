"""Virtual machines: the same again for the same seed, and a shop that agrees with them."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from fleetwire.apps.vending.simulator import Simulator, VirtualMachine
from fleetwire.kit import Store
from fleetwire.kit.simulation import Link, Received, SimulationSettings
from fleetwire.runtime.loader import simulator_of
from fleetwire.testing import HubDevice
from tests.apps.vending.field import Field
from tests.apps.vending.truth import Truth

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOCK = 100


class Diary(Link):
    """A link to nowhere that gives so many commands, each on both topics."""

    def __init__(self, machine: VirtualMachine, commands: int) -> None:
        self.lines: list[tuple[str, Any]] = []
        self._inbox: list[Received] = []
        for number in range(commands):
            said = {"cmd": "dispense", "slot": number % 6 + 1, "orderId": f"o{number}"}
            for leaf in ("command", "dispend"):
                topic = f"vm/{machine.device_id}/{leaf}"
                self._inbox.append(Received(topic, msgspec.json.encode(said)))

    @property
    def is_over(self) -> bool:
        return not self._inbox

    async def connect(self) -> None:
        self.lines.append(("connect", None))

    async def publish(self, topic: str, body: object, *, qos: int = 1) -> bool:
        self.lines.append((topic, body))
        return True

    async def receive(self, timeout_s: float) -> Received | None:
        return self._inbox.pop(0) if self._inbox else None

    async def disconnect(self) -> None:
        self.lines.append(("disconnect", None))

    def drop(self) -> None:
        self.lines.append(("drop", None))

    async def pause(self, seconds: float) -> None:
        return


async def life(seed: int, fault_rate: float = 0.1) -> tuple[Simulator, Diary]:
    simulator = Simulator(SimulationSettings(1, seed, fault_rate=fault_rate))
    (machine,) = simulator.devices()
    diary = Diary(machine, 200)
    await machine.live(diary)
    return simulator, diary


async def test_the_same_seed_is_the_same_machine() -> None:
    assert (await life(7))[1].lines == (await life(7))[1].lines
    assert (await life(7))[1].lines != (await life(8))[1].lines


async def test_a_machine_acts_once_on_both_topics() -> None:
    simulator, diary = await life(7, fault_rate=0)
    assert simulator.faults() == []
    assert (simulator.counts["commands"], simulator.counts["repeated"]) == (200, 200)
    assert sum(simulator.machines[0].dropped.values()) == 200
    results = [body for topic, body in diary.lines if topic.endswith("/dispense_result")]
    assert len(results) == 200


async def test_what_goes_wrong_goes_wrong_as_often_as_asked() -> None:
    simulator, diary = await life(7)
    summary = {name: int(value) for name, value in simulator.summary().items()}
    for fate in ("jam", "lost", "twice", "late"):
        assert 8 <= summary[fate] <= 40, summary
    assert summary["dropped"] == 200 - summary["jam"]
    assert summary["deaths"] > 0
    results = [body for topic, body in diary.lines if topic.endswith("/dispense_result")]
    assert len(results) == 200 - summary["lost"] + summary["twice"]


async def test_the_command_line_finds_it_by_the_app_s_name() -> None:
    assert simulator_of("vending") is Simulator


class HubLink(Link):
    """A virtual machine's connection to a house without sockets."""

    def __init__(self, device: HubDevice) -> None:
        self._device = device
        self._is_connected = False
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def end(self) -> None:
        self._over.set()

    async def connect(self) -> None:
        if not self._is_connected:
            await self._device.connect()
            self._is_connected = True

    async def publish(self, topic: str, body: object, *, qos: int = 1) -> bool:
        return self._is_connected and (await self._device.send(topic, body, qos=qos)).is_stored

    async def receive(self, timeout_s: float) -> Received | None:
        try:
            async with asyncio.timeout(timeout_s):
                found = await self._device.next_message()
        except TimeoutError:
            return None
        return Received(found.topic, found.payload, found.command_id)

    async def disconnect(self) -> None:
        self.drop()

    def drop(self) -> None:
        if self._is_connected:
            self._is_connected = False
            self._device.disconnect()

    async def pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return


async def prepare(field: Field, simulator: Simulator) -> dict[str, list[int]]:
    """Give each virtual machine a credential and six full slots; return their ids."""
    store = field.hub.service(Store)  # type: ignore[type-abstract]  # by interface
    found = {}
    for machine in simulator.machines:
        answer = await field.operator.post("/api/machines", json={"machine_id": machine.device_id})
        assert answer.status_code == 201, answer.text
        await store.write(
            lambda tx, id=machine.device_id: tx.execute(  # type: ignore[misc]
                text(
                    "INSERT INTO slots (machine_id, slot_number, product_id, capacity, "
                    "current_stock, reserved_stock, motor_duration_ms, is_active, updated_at) "
                    "SELECT :id, slot_number, product_id, :stock, :stock, 0, 500, 1, 0 "
                    "FROM slots WHERE machine_id = 'VM01'"
                ),
                {"id": id, "stock": STOCK},
            )
        )
        rows = await field.rows("SELECT id FROM slots WHERE machine_id = :id", id=machine.device_id)
        found[machine.device_id] = [row["id"] for row in rows]
    return found


async def test_a_shop_in_trouble_agrees_with_its_machines(field: Field) -> None:
    """The short form of "under fire" webhooks in threes, triggers beside them, all the faults."""
    simulator = Simulator(SimulationSettings(3, 5, interval_s=0.02, fault_rate=0.12))
    slots = await prepare(field, simulator)
    links = [HubLink(await field.hub.device(id, is_connected=False)) for id in slots]
    lives = [
        asyncio.create_task(machine.live(link))
        for machine, link in zip(simulator.machines, links, strict=True)
    ]
    paid = 0
    try:
        for number in range(5):
            for own in slots.values():
                order_id = await field.order_many((own[number % 6], 1), (own[(number + 1) % 6], 2))
                answers = await asyncio.gather(
                    *(field.notify(order_id) for _ in range(3)),
                    field.operator.post("/api/dispense/trigger", json={"order_id": order_id}),
                )
                assert {answer.status_code for answer in answers[:3]} == {200}
                paid += 1
        async with asyncio.timeout(20):
            while sum(len(machine.jobs) for machine in simulator.machines) < 2 * paid:  # noqa: ASYNC110  # they tell nobody
                await asyncio.sleep(0.01)
    finally:
        for link in links:
            link.end()
        await asyncio.gather(*lives)
    await field.pass_time(100)

    database_path = field.hub.house.settings.data_dir / "fleetwire.db"
    with closing(sqlite3.connect(database_path)) as database:

        def select(statement: str, *values: object) -> list[tuple[Any, ...]]:
            return database.execute(statement, values).fetchall()

        truth = Truth(simulator, select, STOCK)
        assert truth.check_before_anybody_looked()
        for machine_id in slots:
            found = await field.operator.get(
                f"/api/dispense/logs/{machine_id}", params={"unconfirmed": True}
            )
            for attempt in found.json()["logs"]:
                answer = await field.operator.post(
                    "/api/dispense/confirm", json=truth.confirmation(attempt)
                )
                assert answer.status_code == 200, answer.text
        truth.check()
    assert all(simulator.counts[fate] for fate in ("jam", "lost", "twice", "late"))
