"""States: setting a device is a row, a command on the ledger, and an event."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from fleetwire.apps.farm.states import STATE_EVENT, priority_of
from fleetwire.apps.farm.tables import state_instances
from fleetwire.kit import Commands, Devices, Store
from fleetwire.testing import TestHub
from tests.apps.farm.barn import Barn


async def test_a_new_state_reaches_the_device_and_is_delivered_by_its_puback(
    hub: TestHub, barn: Barn
) -> None:
    """«`{"type":"device_state_change","deviceUuid","deviceName","deviceType","stateName","oldValue","newValue","initiatedBy","timestamp","priority","metadata":{deviceId,isCritical,initiatorId}}`»"""
    row = await barn.device("pump-1")
    await barn.state(row, "power", "on", "off", defaultValue="off")
    device = await barn.connected("pump-1")
    body = {"deviceUuid": "pump-1", "stateName": "power", "value": "on", "initiatedBy": "user"}
    answer = await barn.ask("POST", "/device-state-instances", body)
    assert answer.status_code == 201
    made = answer.json()["data"]["deviceStateInstance"]
    assert (made["value"], made["oldValue"]) == ("on", "off")
    message = await device.next_message()
    assert message.topic == "devices/pump-1/state"
    said = message.json()
    assert said == {
        "type": "device_state_change",
        "deviceUuid": "pump-1",
        "deviceName": "pump-1",
        "deviceType": "actuator",
        "stateName": "power",
        "oldValue": "off",
        "newValue": "on",
        "initiatedBy": "user",
        "timestamp": said["timestamp"],
        "priority": "high",
        "metadata": {
            "deviceId": row["id"],
            "isCritical": False,
            "initiatorId": said["metadata"]["initiatorId"],
        },
    }
    await hub.event("command.delivered")
    await hub.settle()
    record = await hub.service(Commands).get(hub.caller, made["commandId"])
    assert record.state == "delivered"


async def test_a_device_that_is_away_gets_it_when_it_comes(hub: TestHub, barn: Barn) -> None:
    row = await barn.device("pump-1")
    await barn.state(row, "speed", dataType="number")
    body = {"deviceUuid": "pump-1", "stateName": "speed", "value": 7}
    made = (await barn.good("POST", "/device-state-instances", body))["deviceStateInstance"]
    record = await hub.service(Commands).get(hub.caller, made["commandId"])
    assert record.state == "queued"
    device = await barn.connected("pump-1")
    assert (await device.next_message()).json()["newValue"] == "7"


async def test_a_value_that_is_not_allowed_is_400_and_nothing_happens(
    hub: TestHub, barn: Barn
) -> None:
    """«(400 value not allowed; this is the farm's command)»"""
    row = await barn.device("pump-1")
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"allowedValues": ["on", "off"]}, "perhaps"),
        ({"dataType": "number"}, "warm"),
        ({"dataType": "integer"}, 1.5),
        ({"dataType": "percentage"}, 101),
        ({"dataType": "boolean"}, "maybe"),
    ]
    for number, (state, value) in enumerate(cases):
        name = f"state{number}"
        await barn.state(row, name, **state)
        body = {"deviceUuid": "pump-1", "stateName": name, "value": value}
        answer = await barn.ask("POST", "/device-state-instances", body)
        assert (answer.status_code, answer.json()["field"]) == (400, "value")
    found = await hub.service(Store).read(lambda c: c.execute(select(state_instances)).all())
    assert list(found) == []
    record = await hub.service(Devices).get(hub.caller, "farm", "pump-1")
    assert (await hub.service(Commands).list(hub.caller, record)).items == []
    assert not [event for event in hub.events if event.name == STATE_EVENT]


async def test_unknown_devices_and_states_are_named(barn: Barn) -> None:
    row = await barn.device("pump-1")
    await barn.state(row)
    for uuid, name, status, field in (
        ("nobody", "power", 404, "deviceUuid"),
        ("pump-1", "nothing", 400, "stateName"),
    ):
        body = {"deviceUuid": uuid, "stateName": name, "value": "on"}
        answer = await barn.ask("POST", "/device-state-instances", body)
        assert (answer.status_code, answer.json()["field"]) == (status, field)


async def test_current_and_history_tell_what_a_state_was(barn: Barn) -> None:
    """«`GET /current/:stateId`, `GET /history/:stateId`»"""
    row = await barn.device("pump-1")
    state = await barn.state(row)
    assert await barn.good("GET", f"/device-state-instances/current/{state['id']}") == {
        "deviceStateInstance": None
    }
    for value in ("a", "b", "c"):
        body = {"deviceUuid": "pump-1", "stateName": "power", "value": value}
        await barn.good("POST", "/device-state-instances", body)
    path = f"/device-state-instances/current/{state['id']}"
    current = (await barn.good("GET", path))["deviceStateInstance"]
    assert (current["value"], current["toAt"]) == ("c", None)
    path = f"/device-state-instances/history/{state['id']}"
    answer = (await barn.ask("GET", path, params={"limit": 2})).json()
    assert [each["value"] for each in answer["data"]["deviceStateInstances"]] == ["c", "b"]
    rest = await barn.good("GET", path, params={"cursor": answer["nextCursor"]})
    [first] = rest["deviceStateInstances"]
    assert first["value"] == "a"
    assert first["toAt"] is not None


async def test_allowed_values_come_as_a_list_and_go_as_json_text(barn: Barn) -> None:
    """«given as list, **returned as a JSON string**»"""
    row = await barn.device("pump-1")
    await barn.state(row, "power", "on", "off", 3)
    [state] = (await barn.good("GET", f"/device-states/device/{row['id']}"))["deviceStates"]
    assert json.loads(state["allowedValues"]) == ["on", "off", 3]
    bad = {"deviceId": row["id"], "stateName": "x", "allowedValues": ["a"], "defaultValue": "b"}
    answer = await barn.ask("POST", "/device-states", bad)
    assert (answer.status_code, answer.json()["field"]) == (400, "defaultValue")


@pytest.mark.parametrize(
    ("is_critical", "name", "old", "new", "priority"),
    [
        (True, "power", "1", "1", "high"),
        (False, "pumpFault", "a", "b", "high"),
        (False, "power", None, "a", "high"),
        (False, "power", "true", "false", "high"),
        (False, "power", "on", "off", "high"),
        (False, "speed", "100", "151", "high"),
        (False, "speed", "0", "1", "high"),
        (False, "speed", "100", "150", "normal"),
        (False, "mode", "eco", "boost", "normal"),
    ],
)
def test_priority_follows_the_contract(
    is_critical: bool, name: str, old: str | None, new: str | None, priority: str
) -> None:
    """«critical device, state name with error/fault/alarm/emergency/critical, null ↔ value, boolean flip, change > 50 %»"""  # noqa: E501 a quotation
    assert priority_of(is_critical, name, old, new) == priority
