"""Messages of devices that nobody registered: they wait for the device's row, and are not lost."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from fleetwire.broker.delivery import Delivery
from fleetwire.errors import StoreUnavailableError
from fleetwire.ingest.preparation import Preparation
from fleetwire.ingest.router import Router
from fleetwire.ingest.unknown import Unknown
from fleetwire.kit import App, Device, Reading
from tests.ingest.test_road import House

ONE = b'{"value": 1}'


class Registrar(Unknown):
    """Registers who is let in; `objections` are by device_id, `failures` how often it cannot."""

    def __init__(self) -> None:
        self.objections: dict[str, str] = {}
        self.known: dict[tuple[str, str], Device] = {}
        self.asked: list[list[tuple[str, str]]] = []
        self.failures = 0
        self.released_before: list[int] = []
        self.released: list[tuple[str, int]] = []

    def objection(self, app: str, device_id: str, delivery: Delivery) -> str | None:
        return self.objections.get(device_id)

    async def enrol(self, found: Mapping[tuple[str, str], Delivery]) -> None:
        self.asked.append(list(found))
        self.released_before.append(len(self.released))
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("away")
        for app, device_id in found:
            if device_id != "taken":
                device = Device(100 + len(self.known), app, device_id, 1, "unknown", {})
                self.known[(app, device_id)] = device

    def find(self, app: str, device_id: str) -> Device | None:
        return self.known.get((app, device_id))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path / "road.db")
    house.disk.open()
    yield house
    await house.disk.close()


@pytest.fixture
def registrar(house: House) -> Registrar:
    registrar = Registrar()
    registrar.released = house.released
    preparation = house.road.preparation
    preparation.unknown = registrar
    known = preparation._find_device
    preparation._find_device = lambda app, device_id: (
        known(app, device_id) or registrar.find(app, device_id)
    )
    return registrar


async def test_its_first_messages_are_stored_once_it_is_registered(
    house: House, registrar: Registrar
) -> None:
    house.send(ONE, "a", "d/new/data")
    house.send(ONE, "b", "d/one/data")
    house.send(b'{"value": 2}', "c", "d/new/data")
    house.send(ONE, "d", "d/other/data")
    await house.finish()
    assert registrar.asked == [[("demo", "new"), ("demo", "other")]]
    assert registrar.released_before == [0]
    assert house.released == [("a", 0), ("b", 0), ("c", 0), ("d", 0)]
    rows = house.rows("SELECT device, number FROM readings ORDER BY id")
    assert rows == [(100, 1.0), (7, 1.0), (100, 2.0), (101, 1.0)]
    assert house.rows("SELECT count(*) FROM quarantine") == [(0,)]


async def test_who_may_not_is_quarantined_with_the_reason(
    house: House, registrar: Registrar
) -> None:
    registrar.objections = {"plain": "", "late": "too many in a minute"}
    for device_id in ("plain", "late", "taken"):
        house.send(ONE, device_id, f"d/{device_id}/data")
    await house.finish()
    assert [code for _, code in house.released] == [0x87, 0x87, 0x87]
    assert house.rows("SELECT reason FROM quarantine ORDER BY id") == [
        ("Device 'plain' is not registered with 'demo'",),
        ("Device 'late' is not registered with 'demo': too many in a minute",),
        ("Device 'taken' is not registered with 'demo'",),
    ]


async def test_nothing_is_acknowledged_while_it_cannot_be_registered(
    house: House, registrar: Registrar
) -> None:
    registrar.failures = 2
    house.send(ONE, "a", "d/new/data")
    await house.finish()
    assert registrar.released_before == [0, 0, 0]
    assert house.road.counters.retries == 2
    assert house.released == [("a", 0)]


async def test_a_message_that_is_carried_again_enrols_nobody(
    house: House, registrar: Registrar
) -> None:
    house.send(ONE, "a", "d/new/data")
    deliveries = await house.source.swap(10)
    batch = await house.road.rehearse(deliveries)
    assert [refused.reason_code for refused in batch.refused] == [0x87]
    assert registrar.asked == []


async def test_of_apps_that_share_a_topic_the_first_that_lets_it_in_has_it(
    house: House, registrar: Registrar
) -> None:
    class Choosy(Registrar):
        def objection(self, app: str, device_id: str, delivery: Delivery) -> str | None:
            return "not here" if app == "strict" or device_id == "nobody" else None

    apps = []
    for name in ("strict", "open", "later"):
        app = App(name)

        @app.subscribe("d/{device_id}/data")
        def data(device: Device, body: dict[str, float]) -> Reading:
            return Reading(device, "t", body["value"])

        apps.append(app)
    choosy = Choosy()
    house.road.preparation = Preparation(Router(apps), choosy.find)
    house.road.preparation.unknown = choosy
    for device_id in ("new", "nobody"):
        house.send(ONE, device_id, f"d/{device_id}/data")
        house.send(ONE, device_id, f"d/{device_id}/data")
    await house.finish()
    assert choosy.asked == [[("open", "new")]]
    assert [code for _, code in house.released] == [0, 0, 0x87, 0x87]
    ((reason,), _) = house.rows("SELECT reason FROM quarantine ORDER BY id")
    assert reason == "The device is registered with none of later, open, strict: not here"
