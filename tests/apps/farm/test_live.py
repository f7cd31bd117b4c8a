"""Socket.IO: rooms, what they are told, and how often."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fleetwire.apps.farm.terms import Terms
from tests.apps.farm.served import Served, served
from tests.web.realtime.socket_client import SocketIOClient, entered
from tests.web.realtime.talk import Refused

pytestmark = pytest.mark.asyncio(loop_scope="module")

PER_SECOND = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def farm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder: Path = tmp_path_factory.mktemp("farm")
    async with served(folder, Terms(values_per_second=PER_SECOND, broadcast_all=True)) as farm:
        yield farm


async def joined(client: SocketIOClient, *rooms: str) -> None:
    answer = await client.ask("join", list(rooms))
    assert answer["status"] == "success", answer


async def test_who_shows_no_token_is_not_let_in(farm: Served) -> None:
    """«`auth:{token}` (a JWT)»"""
    with pytest.raises(Refused):
        async with entered(farm.port, auth=None):
            pass


async def test_a_value_is_told_to_the_room_of_its_variable(farm: Served) -> None:
    """«`{dataStream{id,value,telemetryDataId,recievedAt},timestamp}`»"""
    sensor = await farm.sensor("temperature", "humidity", uuid="told")
    async with entered(farm.port, auth={"token": farm.token}) as client:
        await joined(client, f"telemetry-{sensor['temperature']}")
        body = b'{"dataStreams":[{"value":40,"variableName":"humidity"},'
        body += b'{"value":21.5,"variableName":"temperature"}]}'
        outcome = await farm.publish("devices/told/datastream", body)
        told = await client.next("new-datastream")
        assert told == {"dataStream": outcome.value[1], "timestamp": told["timestamp"]}
        # To all, as ENABLE_BROADCAST_ALL says here.
        everybody = await client.next("datastreams-update")
        assert everybody["type"] == "create"
        assert everybody["dataStream"] == outcome.value[0]


async def test_500_values_a_second_are_few_events_but_never_silence(farm: Served) -> None:
    """«the latest per variable at most N times a second (setting), never silence»"""
    sensor = await farm.sensor("speed", uuid="fast")
    async with entered(farm.port, auth={"token": farm.token}) as client:
        await joined(client, f"telemetry-{sensor['speed']}")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(250):
            await farm.publish("devices/fast/datastream", str(number).encode())
        took = loop.time() - began
        values: list[int] = []
        while not values or values[-1] != 249:
            values.append((await client.next("new-datastream"))["dataStream"]["value"])
        assert values == sorted(values)
        assert values[0] == 0
        # The first at once, then one for each window, and the last.
        assert len(values) <= took * PER_SECOND + 2
        # The first was told alone; every other one is one of a window, alone or counted.
        batches: list[dict[str, Any]] = []
        while sum(each["count"] for each in batches) + len(values) - 1 - len(batches) < 249:
            batches.append(await client.next("datastream-batch"))
        assert sum(each["count"] for each in batches) + len(values) - 1 - len(batches) == 249
        for each in batches:
            assert each["telemetryDataId"] == sensor["speed"]
            assert each["min"] <= each["avg"] <= each["max"] == each["latest"]["value"]


async def test_a_state_change_is_told_once_to_who_is_in_both_rooms(farm: Served) -> None:
    """«`device-uuid-{uuid}`, `device-{id}` (once per socket even if in both)»"""
    data = await farm.good("POST", "/devices", {"name": "Pump", "uuid": "pump-1"})
    device = data["device"]
    await farm.good("POST", "/device-states", {"deviceId": device["id"], "stateName": "power"})
    async with entered(farm.port, auth={"token": farm.token}) as client:
        await joined(client, f"device-{device['id']}", "device-uuid-pump-1")

        async def set_power(value: str) -> None:
            body = {"deviceUuid": "pump-1", "stateName": "power", "value": value}
            await farm.good("POST", "/device-state-instances", body)

        await set_power("1")
        await set_power("2")
        first = await client.next("device-state-change")
        second = await client.next("device-state-change")
        values = [
            (each["metadata"]["oldValue"], each["metadata"]["newValue"]) for each in (first, second)
        ]
        assert values == [(None, "1"), ("1", "2")]
        assert set(first) == {
            "title",
            "message",
            "type",
            "deviceType",
            "deviceId",
            "deviceUuid",
            "priority",
            "timestamp",
            "metadata",
        }
        await client.ask("leave", f"device-{device['id']}")
        await set_power("3")
        third = await client.next("device-state-change")
        assert third["metadata"]["newValue"] == "3"
        await client.ask("leave", "device-uuid-pump-1")
        await set_power("4")
        await joined(client, "device-uuid-pump-1")
        await set_power("5")
        fifth = await client.next("device-state-change")
        assert fifth["metadata"]["newValue"] == "5"


async def test_rooms_that_are_not_the_caller_s_are_refused(farm: Served) -> None:
    """«Rooms are allowed only inside the caller's organisation.»"""
    async with entered(farm.port, auth={"token": farm.token}) as client:
        cases: list[tuple[Any, int]] = [
            ("telemetry-99999", 404),
            ("device-99999", 404),
            ("device-uuid-nobody", 404),
            ("organization-99999", 404),
            ("everybody", 422),
            ("telemetry-x", 422),
            ([], 422),
            (17, 422),
            (["x" * 200], 422),
        ]
        for room, status in cases:
            answer = await client.ask("join", room)
            assert answer["status"] == status, (room, answer)


async def test_a_value_by_socket_is_the_same_row_and_answer(farm: Served) -> None:
    sensor = await farm.sensor("level", uuid="by-socket")
    body = {"value": 3, "variableName": "level", "recievedAt": "2026-01-31T12:00:00.000Z"}
    async with entered(farm.port, auth={"token": farm.token}) as client:
        answer = await client.ask("datastream", {"deviceUuid": "by-socket", **body})
        outcome = await farm.publish(
            "devices/by-socket/datastream",
            b'{"value":3,"variableName":"level","recievedAt":"2026-01-31T12:00:00Z"}',
        )
        assert answer == {"status": "success", "data": outcome.value}
        assert outcome.value["telemetryDataId"] == sensor["level"]
        wrong = await client.ask("datastream", {"deviceUuid": "by-socket", "value": None})
        refused = await farm.publish("devices/by-socket/datastream", b'{"value":null}')
        assert wrong == {"status": 400, "detail": refused.reason, "field": refused.field}
        unknown = await client.ask("datastream", {"deviceUuid": "nobody", "value": 1})
        assert (unknown["status"], unknown["field"]) == (404, "deviceUuid")


async def test_what_a_device_says_of_itself_and_alarms_are_told(farm: Served) -> None:
    sensor = await farm.sensor("heat", uuid="status-1")
    async with entered(farm.port, auth={"token": farm.token}) as client:
        await joined(client, "device-uuid-status-1", f"organization-{sensor['organizationId']}")
        status = b'{"status":"online","metadata":{"battery":85,"signal":-45}}'
        await farm.publish("devices/status-1/status", status)
        told = await client.next("device-status")
        assert (told["status"], told["metadata"]) == ("online", {"battery": 85, "signal": -45})
        await farm.publish("devices/status-1/datastream", b'{"value":90,"urgent":true}')
        alarm = await client.next("alarm")
        assert (alarm["deviceUuid"], alarm["name"]) == ("status-1", "urgent_value")
