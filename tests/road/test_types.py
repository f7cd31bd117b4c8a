"""Device types on a real server: what they flag, whom they let publish, what survives a restart."""

import json
from typing import Any

import pytest

from fleetwire.net.client import MessageRefusedError, MQTTClient
from tests.house import House, Login

TYPE = {
    "name": "cool_box",
    "metrics": [{"name": "temperature", "unit": "Cel", "low": 2, "high": 8}],
    "states": ["cooling", "idle"],
    "commands": [{"name": "defrost", "parameters": [{"name": "minutes", "required": True}]}],
    "publishes": ["devices/{device_id}/data", "devices/{device_id}/status"],
}
ALARMS = "/api/v1/alarms"
NOT_AUTHORIZED = 0x87


async def publish(house: House, login: Login, *messages: tuple[str, dict[str, Any]]) -> None:
    """Publish as a device with QoS 1, each once the one before it is acknowledged."""
    client = MQTTClient(login.username, username=login.username, password=login.password)
    await client.connect("127.0.0.1", house.mqtt_port)
    try:
        for topic, body in messages:
            await client.publish(topic, json.dumps(body).encode())
    finally:
        await client.disconnect()


def alarms_of(house: House, device_id: str) -> list[tuple[str, Any]]:
    found = house.http(house.url).get(ALARMS, params={"device_id": device_id}).json()["items"]
    return [
        (each["name"], each["detail"].get("value", each["detail"].get("state")))
        for each in reversed(found)
    ]


async def test_a_type_is_held_against_what_comes_also_after_a_restart(house: House) -> None:
    http = house.http(house.url)
    assert http.post("/api/v1/device-types", json=TYPE).status_code == 201
    login = house.register_device("box-1", "cool_box")
    data, status = "devices/box-1/data", "devices/box-1/status"

    def reading(value: float) -> tuple[str, dict[str, Any]]:
        return data, {"metric_type": "temperature", "value": value, "unit": "Cel"}

    await publish(house, login, reading(5), reading(30), (status, {"status": "on fire"}))
    assert alarms_of(house, "box-1") == [("out_of_range", 30), ("undeclared_state", "on fire")]
    latest = http.get("/api/v1/devices/medical/box-1/readings").json()["items"]
    assert {each["value"]: each["flagged"] for each in latest} == {5: False, 30: True}
    assert http.get("/api/v1/devices/medical/box-1").json()["status"] == "on fire"

    house.kill()
    house.start()
    await publish(house, login, reading(31), reading(6), (status, {"status": "on fire"}))
    assert alarms_of(house, "box-1")[2:] == [("out_of_range", 31)]
    http, medical = house.http(house.url), house.http(house.medical_url)
    for body, field in (
        ({"name": "explode"}, "name"),
        ({"name": "defrost", "parameters": {"minutes": "1"}}, "parameters.minutes"),
    ):
        refused = http.post("/api/v1/devices/medical/box-1/commands", json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field)
    refused = medical.post("/devices/box-1/command", json={"command": "explode", "parameters": {}})
    assert refused.status_code == 422
    good = {"command": "defrost", "parameters": {"minutes": 3}}
    assert medical.post("/devices/box-1/command", json=good).status_code == 202


async def test_a_device_of_a_type_publishes_on_no_topic_that_its_type_does_not_name(
    house: House,
) -> None:
    http = house.http(house.url)
    narrow = TYPE | {"publishes": ["devices/{device_id}/data"]}
    assert http.post("/api/v1/device-types", json=narrow).status_code == 201
    login = house.register_device("box-2", "cool_box")
    body = {"metric_type": "temperature", "value": 5, "unit": "Cel"}
    await publish(house, login, ("devices/box-2/data", body))
    with pytest.raises(MessageRefusedError) as refused:
        await publish(house, login, ("devices/box-2/status", {"status": "idle"}))
    assert refused.value.reason_code == NOT_AUTHORIZED
    asked = {
        action: http.get(
            "/api/v1/acl/test",
            params={"identity": "device:medical/box-2", "action": "publish", "topic": topic},
        ).json()["allowed"]
        for action, topic in (("data", "devices/box-2/data"), ("status", "devices/box-2/status"))
    }
    assert asked == {"data": True, "status": False}
