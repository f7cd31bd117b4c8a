"""A command that a device's type does not know is refused before anything is stored."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fleetwire.features.commands.batches import BatchService
from fleetwire.features.commands.endpoints import router
from fleetwire.features.commands.service import CommandService
from fleetwire.features.devices.groups import Groups
from fleetwire.features.devicetypes.book import TypeBook
from fleetwire.features.devicetypes.service import DeviceTypeService
from fleetwire.kit import Commands, CommandType, Devices, DeviceType, Parameter
from tests.fakes import caller
from tests.features.http import serving
from tests.features.rooms import Rooms

LAMP = DeviceType(
    "lamp", commands=(CommandType("dim", (Parameter("percent", required=True, low=0, high=100),)),)
)
PATH = "/api/v1/devices/demo/{}/commands"


@pytest.fixture
async def commands(rooms: Rooms, book: TypeBook, types: DeviceTypeService) -> CommandService:
    await types.create(caller(), LAMP)
    for device_id, type in (("lamp", "lamp"), ("other", "thing")):
        await rooms.devices.register(caller(), "demo", device_id, type)
    return CommandService(
        rooms.db,
        rooms.registry,
        rooms.downlink,
        rooms.log,
        rooms.apps,
        check=book.check_command,
        clock=rooms.clock,
    )


@pytest.fixture
async def http(rooms: Rooms, commands: CommandService) -> AsyncIterator[httpx.AsyncClient]:
    services = {Devices: rooms.devices, Commands: commands, CommandService: commands}
    async with serving([router], services) as client:
        yield client


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "explode"}, "name"),
        ({"name": "dim"}, "parameters.percent"),
        ({"name": "dim", "parameters": {"percent": 101}}, "parameters.percent"),
        ({"name": "dim", "parameters": {"percent": 1, "x": 1}}, "parameters.x"),
    ],
)
async def test_it_is_422_with_its_field_and_leaves_nothing(
    http: httpx.AsyncClient, body: dict[str, object], field: str
) -> None:
    refused = await http.post(PATH.format("lamp"), json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert (await http.get(PATH.format("lamp"))).json()["items"] == []


async def test_what_is_declared_is_sent_and_so_is_anything_to_a_device_without_a_type(
    http: httpx.AsyncClient,
) -> None:
    good = {"name": "dim", "parameters": {"percent": 30}}
    assert (await http.post(PATH.format("lamp"), json=good)).status_code == 202
    assert (await http.post(PATH.format("other"), json={"name": "explode"})).status_code == 202


async def test_of_a_batch_only_those_devices_are_refused_that_do_not_take_it(
    rooms: Rooms, commands: CommandService
) -> None:
    groups = Groups(rooms.db, rooms.devices, rooms.audit)
    batches = BatchService(rooms.db, rooms.registry, commands, groups, rooms.clock)
    sent = await batches.send(caller(), "demo", ["lamp", "other"], "explode", {})
    await batches.spread()
    batch = await batches.get(caller(), sent.id)
    assert batch.states == {"queued": 1}
    assert [device_id for device_id, _ in batch.refused] == ["lamp"]
    assert "take no command 'explode'" in batch.refused[0][1]
